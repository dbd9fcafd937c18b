"""Who is at the other end of a connection of this machine, as Linux tells it under /proc."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path


def family_of(pid: int) -> Iterator[int]:
    """Name a process and all that descend from it, parents first."""
    yield pid
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text("ascii").split():
                yield from family_of(int(child))


def inode_of(port: int) -> str | None:
    """Find the socket of this machine that is bound to a port and connected."""
    for line in Path("/proc/net/tcp").read_text("ascii").splitlines()[1:]:
        words = line.split()
        if int(words[1].partition(":")[2], 16) == port and words[2].partition(":")[2] != "0000":
            return words[9]
    return None


def inodes_of(pid: int) -> set[str]:
    """Name the sockets that a process has open."""
    found = set()
    with contextlib.suppress(OSError):
        for link in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                found.add(str(link.readlink()).removeprefix("socket:[").removesuffix("]"))
    return found

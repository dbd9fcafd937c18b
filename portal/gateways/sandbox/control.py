"""The switches that tests turn while the sandbox runs; they are forgotten at a restart."""

import asyncio
from dataclasses import dataclass, field

from portal.gateways.sandbox.profile import FaultLevel


def _open_gate() -> asyncio.Event:
    gate = asyncio.Event()
    gate.set()
    return gate


@dataclass(slots=True)
class Control:
    """Faults of the profile, whether answers are held, and how many requests are failed next.

    Shape: made inside the event loop; `stopping` ends every wait at once.
    """

    faults: FaultLevel
    fail_next: int = 0
    fail_status: int = 503
    gate: asyncio.Event = field(default_factory=_open_gate)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def is_holding(self) -> bool:
        """Whether answers wait."""
        return not self.gate.is_set()

    def hold(self, *, is_held: bool) -> None:
        """Hold all answers from now on, or let them go."""
        if is_held:
            self.gate.clear()
        else:
            self.gate.set()

    def take_failure(self) -> bool:
        """Take one of the failures that were ordered, where any is left."""
        if self.fail_next <= 0:
            return False
        self.fail_next -= 1
        return True

    def stop(self) -> None:
        """Let everything go: the server ends."""
        self.gate.set()
        self.stopping.set()

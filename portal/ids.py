"""Ids: UUIDv7 inside, shown outside with a prefix that says what they name (`inv_…`)."""

import base64
from uuid import UUID

from uuid_utils import compat

LETTERS = 26  # 128 bits at five to a letter.
PREFIXES = {
    "invoice": "inv",
    "payment": "pay",
    "attempt": "att",
    "payer": "pyr",
    "run": "run",
    "item": "itm",
    "schedule": "sch",
    "deposit": "dep",
    "payout": "pot",
    "file": "fil",
    "message": "msg",
    "inbox_message": "inb",
    "brake": "brk",
    "gateway_account": "gwa",
    "refund": "rfd",
    "case": "cas",
}


def new_id() -> UUID:
    """Make an id that sorts by the time it was made."""
    return compat.uuid7()


def public_id(noun: str, value: UUID) -> str:
    """Write an id for the outside: prefix and 26 letters and digits."""
    letters = base64.b32encode(value.bytes).decode().rstrip("=").lower()
    return f"{PREFIXES[noun]}_{letters}"


def parse_public_id(noun: str, text: str) -> UUID | None:
    """Read an id from the outside; None when it is none of this noun."""
    prefix, _, letters = text.partition("_")
    if prefix != PREFIXES[noun] or len(letters) != LETTERS:
        return None
    try:
        return UUID(bytes=base64.b32decode(letters.upper() + "======"))
    except ValueError:
        return None

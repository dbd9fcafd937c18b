"""Ids: UUIDv7 inside, shown outside with a prefix that says what they name (`inv_…`)."""

import base64
from uuid import UUID

from uuid_utils import compat

LETTERS = 26  # 128 bits at five to a letter.
PADDING = 2  # What the last letter holds beyond them.
# A list shows a hundred ids, and the standard library's base 32 writes each letter by itself.
_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"
_PAIRS = [first + second for first in _ALPHABET for second in _ALPHABET]
_SHIFTS = range(5 * LETTERS - 10, -1, -10)
PREFIXES = {
    "invoice": "inv",
    "payment": "pay",
    "attempt": "att",
    "payer": "pyr",
    "run": "run",
    "item": "itm",
    "schedule": "sch",
    "sequence": "seq",
    "sequence_run": "sqr",
    "deposit": "dep",
    "payout": "pot",
    "payout_item": "poi",
    "file": "fil",
    "message": "msg",
    "inbox_message": "inb",
    "brake": "brk",
    "gateway_account": "gwa",
    "refund": "rfd",
    "case": "cas",
    "dispute": "dsp",
    "reminder": "rmd",
    "event": "evt",
}


def new_id() -> UUID:
    """Make an id that sorts by the time it was made."""
    return compat.uuid7()


def public_id(noun: str, value: UUID) -> str:
    """Write an id for the outside: prefix and 26 letters and digits."""
    bits = value.int << PADDING
    return f"{PREFIXES[noun]}_{''.join([_PAIRS[bits >> shift & 1023] for shift in _SHIFTS])}"


def parse_public_id(noun: str, text: str) -> UUID | None:
    """Read an id from the outside; None when it is none of this noun."""
    prefix, _, letters = text.partition("_")
    if prefix != PREFIXES[noun] or len(letters) != LETTERS:
        return None
    try:
        return UUID(bytes=base64.b32decode(letters.upper() + "======"))
    except ValueError:
        return None

"""What the sandbox decides about each charge: by its amount where that is magic, else by a draw.

Magic amounts end, in minor units, in one of these five digits (777.01 means no funds):

    77700  approved, and never with a technical fault
    77701  declined, AM04 no funds (may succeed later)
    77702  declined, MD01 no mandate (never)
    77703  declined, AC04 closed account (never)
    77704  declined, 51 no funds on a card
    77705  declined, 14 no such card
    77706  approved, returned one business date later with AM04
    77707  approved, returned two business dates later with MD06
    77708  approved, the event is lost: only asking tells
    77709  approved, the event comes twice
    77710  approved, the event comes late
    77711  accepted, and no answer until long after every deadline
    77712  accepted, answered with a fault (HTTP 500)
    77713  a fault (HTTP 503) before anything was done, once per reference
    77714  connection reset before anything was done, once per reference
    77715  too many requests (HTTP 429), once per reference
    77716  accepted, answered with another amount
    77717  accepted, answered with broken JSON
    77718  accepted, connection reset instead of an answer
    77719  approved, the event comes behind later ones
    77720  accepted, connection reset, and for a while a status query does not find it
    77721  approved, disputed one business date later; an answer wins it
    77722  approved, disputed one business date later; lost whatever is answered

A refund of such an amount meets the same, but is never returned or disputed; a notice about it
meets only what goes wrong on the wire. A dispute is answered within three days of business dates,
or it is lost.

A draw depends on the seed and the merchant reference only: the same seed gives the same outcomes,
and another attempt of the same payment is another draw. Codes: ISO 8583 and ISO 20022 external
code lists (status and return reasons), in our own words.
"""

import hashlib
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TypeVar

MAGIC_MODULUS = 100_000


class Fault(StrEnum):
    """One way to go wrong on the wire; what the charge itself becomes is another question."""

    SERVER_ERROR_BEFORE = "server_error_before"
    RESET_BEFORE = "reset_before"
    TOO_MANY_REQUESTS = "too_many_requests"
    TIMEOUT_AFTER = "timeout_after"
    SERVER_ERROR_AFTER = "server_error_after"
    RESET_AFTER = "reset_after"
    STALE_QUERY = "stale_query"
    AMOUNT_MISMATCH = "amount_mismatch"
    MALFORMED_ANSWER = "malformed_answer"
    EVENT_LOST = "event_lost"
    EVENT_DUPLICATE = "event_duplicate"
    EVENT_LATE = "event_late"
    EVENT_OUT_OF_ORDER = "event_out_of_order"
    FAILED_BY_CONTROL = "failed_by_control"


class FaultLevel(StrEnum):
    """How often faults are drawn; magic amounts work at every level."""

    NONE = "none"
    ROUGH = "rough"


BEFORE_FAULTS = frozenset({Fault.SERVER_ERROR_BEFORE, Fault.RESET_BEFORE, Fault.TOO_MANY_REQUESTS})
EVENT_FAULTS = frozenset(
    {Fault.EVENT_LOST, Fault.EVENT_DUPLICATE, Fault.EVENT_LATE, Fault.EVENT_OUT_OF_ORDER}
)

REASONS = {
    "AM04": "Insufficient funds",
    "MS03": "The bank gives no reason",
    "MD01": "No mandate",
    "MD06": "The payer asked for the money back",
    "MD07": "The payer has died",
    "AC04": "The account is closed",
    "AC06": "The account is blocked",
    "SL01": "The payer's bank offers a service that stopped it",
    "MS02": "The payer gives no reason",
    "51": "Insufficient funds",
    "61": "Above the amount limit of the card",
    "65": "Used too often in its period",
    "91": "The issuer cannot be reached",
    "05": "The issuer does not honour it",
    "14": "No such card number",
    "41": "The card is reported lost",
    "43": "The card is reported stolen",
    "54": "The card has expired",
}
SOFT_REASONS = (("AM04", 50), ("51", 20), ("MS03", 10), ("91", 8), ("61", 4), ("65", 4), ("05", 4))
HARD_REASONS = (
    ("MD01", 35),
    ("AC04", 25),
    ("AC06", 12),
    ("14", 10),
    ("54", 10),
    ("MD07", 2),
    ("41", 3),
    ("43", 3),
)
RETURN_REASONS = (("AM04", 50), ("MD06", 20), ("MD01", 10), ("AC04", 8), ("MS02", 6), ("SL01", 6))

# Shares of a thousand; the rest is approved.
SOFT_DECLINES, HARD_DECLINES, RETURNS = 50, 20, 20
REFUND_FAILURES = 20
# Only under `rough`, of the charges that are approved and not returned.
DISPUTES = 15
DISPUTE_REASONS = (
    ("fraudulent", 40),
    ("product_not_received", 25),
    ("duplicate", 15),
    ("unrecognized", 20),
)

# Shares of a thousand under `rough`: 120 of the charges and 120 of the events.
ROUGH_CHARGE_FAULTS: tuple[tuple[Fault | None, int], ...] = (
    (Fault.SERVER_ERROR_BEFORE, 25),
    (Fault.SERVER_ERROR_AFTER, 25),
    (Fault.RESET_BEFORE, 20),
    (Fault.RESET_AFTER, 20),
    (Fault.STALE_QUERY, 5),
    (Fault.TOO_MANY_REQUESTS, 20),
    (Fault.TIMEOUT_AFTER, 5),  # each holds a place in flight for a whole deadline
    (None, 880),
)
ROUGH_EVENT_FAULTS: tuple[tuple[Fault | None, int], ...] = (
    (Fault.EVENT_DUPLICATE, 40),
    (Fault.EVENT_LATE, 30),
    (Fault.EVENT_OUT_OF_ORDER, 30),
    (Fault.EVENT_LOST, 20),
    (None, 880),
)


@dataclass(frozen=True, slots=True)
class Contest:
    """How a charge is disputed: after how many closed business dates, why, and what comes of it.

    Shape: is_winnable says whether an answer in time wins it.
    """

    after: int
    reason_code: str
    is_winnable: bool


@dataclass(frozen=True, slots=True)
class Outcome:
    """What becomes of a charge.

    Shape: declined_code is None when approved; return_after counts closed business dates.
    """

    declined_code: str | None = None
    return_after: int | None = None
    return_code: str | None = None
    charge_fault: Fault | None = None
    event_fault: Fault | None = None
    dispute: Contest | None = None


APPROVED = Outcome()
MAGIC_OUTCOMES: dict[int, Outcome] = {
    77700: APPROVED,
    77701: Outcome(declined_code="AM04"),
    77702: Outcome(declined_code="MD01"),
    77703: Outcome(declined_code="AC04"),
    77704: Outcome(declined_code="51"),
    77705: Outcome(declined_code="14"),
    77706: Outcome(return_after=1, return_code="AM04"),
    77707: Outcome(return_after=2, return_code="MD06"),
    77708: Outcome(event_fault=Fault.EVENT_LOST),
    77709: Outcome(event_fault=Fault.EVENT_DUPLICATE),
    77710: Outcome(event_fault=Fault.EVENT_LATE),
    77711: Outcome(charge_fault=Fault.TIMEOUT_AFTER),
    77712: Outcome(charge_fault=Fault.SERVER_ERROR_AFTER),
    77713: Outcome(charge_fault=Fault.SERVER_ERROR_BEFORE),
    77714: Outcome(charge_fault=Fault.RESET_BEFORE),
    77715: Outcome(charge_fault=Fault.TOO_MANY_REQUESTS),
    77716: Outcome(charge_fault=Fault.AMOUNT_MISMATCH),
    77717: Outcome(charge_fault=Fault.MALFORMED_ANSWER),
    77718: Outcome(charge_fault=Fault.RESET_AFTER),
    77719: Outcome(event_fault=Fault.EVENT_OUT_OF_ORDER),
    77720: Outcome(charge_fault=Fault.STALE_QUERY),
    77721: Outcome(dispute=Contest(1, "product_not_received", is_winnable=True)),
    77722: Outcome(dispute=Contest(1, "fraudulent", is_winnable=False)),
}

Choice = TypeVar("Choice")


def decide(*, seed: str, merchant_ref: str, amount_minor: int, faults: FaultLevel) -> Outcome:
    """Decide what becomes of a charge and what goes wrong on the way."""
    magic = MAGIC_OUTCOMES.get(amount_minor % MAGIC_MODULUS)
    if magic is not None:
        return magic
    outcome = _drawn(seed, merchant_ref)
    if faults == FaultLevel.NONE:
        return outcome
    return Outcome(
        declined_code=outcome.declined_code,
        return_after=outcome.return_after,
        return_code=outcome.return_code,
        charge_fault=_choose(ROUGH_CHARGE_FAULTS, draw(seed, "charge fault", merchant_ref)),
        event_fault=_choose(ROUGH_EVENT_FAULTS, draw(seed, "event fault", merchant_ref)),
        dispute=_drawn_dispute(seed, merchant_ref) if outcome == APPROVED else None,
    )


def decide_refund(
    *, seed: str, merchant_ref: str, amount_minor: int, faults: FaultLevel
) -> Outcome:
    """Decide what becomes of a refund and what goes wrong on the way; it is never returned."""
    magic = MAGIC_OUTCOMES.get(amount_minor % MAGIC_MODULUS)
    if magic is not None:
        return replace(magic, return_after=None, return_code=None, dispute=None)
    place = draw(seed, "refund outcome", merchant_ref) % 1_000
    failed_code = "AC04" if place < REFUND_FAILURES else None
    if faults == FaultLevel.NONE:
        return Outcome(declined_code=failed_code)
    return Outcome(
        declined_code=failed_code,
        charge_fault=_choose(ROUGH_CHARGE_FAULTS, draw(seed, "refund fault", merchant_ref)),
        event_fault=_choose(ROUGH_EVENT_FAULTS, draw(seed, "refund event", merchant_ref)),
    )


def decide_notice(
    *, seed: str, merchant_ref: str, amount_minor: int, faults: FaultLevel
) -> Outcome:
    """Decide what goes wrong on the way of a notice, which is never declined."""
    magic = MAGIC_OUTCOMES.get(amount_minor % MAGIC_MODULUS)
    if magic is not None:
        return Outcome(charge_fault=magic.charge_fault)
    if faults == FaultLevel.NONE:
        return APPROVED
    return Outcome(
        charge_fault=_choose(ROUGH_CHARGE_FAULTS, draw(seed, "notice fault", merchant_ref))
    )


def draw(seed: str, question: str, merchant_ref: str) -> int:
    """Draw a whole number below 2**64 that depends on nothing but its arguments."""
    text = f"{seed}\x00{question}\x00{merchant_ref}".encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:8], "big")


def _drawn(seed: str, merchant_ref: str) -> Outcome:
    place = draw(seed, "outcome", merchant_ref) % 1_000
    reason = draw(seed, "reason", merchant_ref)
    if place < SOFT_DECLINES:
        return Outcome(declined_code=_choose(SOFT_REASONS, reason))
    if place < SOFT_DECLINES + HARD_DECLINES:
        return Outcome(declined_code=_choose(HARD_REASONS, reason))
    if place < SOFT_DECLINES + HARD_DECLINES + RETURNS:
        days = 1 + draw(seed, "days", merchant_ref) % 3
        return Outcome(return_after=days, return_code=_choose(RETURN_REASONS, reason))
    return APPROVED


def _drawn_dispute(seed: str, merchant_ref: str) -> Contest | None:
    drawn = draw(seed, "dispute", merchant_ref)
    if drawn % 1_000 >= DISPUTES:
        return None
    reason = _choose(DISPUTE_REASONS, draw(seed, "dispute reason", merchant_ref))
    return Contest(1 + drawn // 1_000 % 2, reason, is_winnable=drawn // 2_000 % 2 == 0)


def _choose(shares: tuple[tuple[Choice, int], ...], drawn: int) -> Choice:
    place = drawn % sum(share for _, share in shares)
    for choice, share in shares:
        if place < share:
            return choice
        place -= share
    raise AssertionError("the shares add up to their sum")

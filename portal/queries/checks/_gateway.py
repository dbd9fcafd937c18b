"""The gateway's own record against our attempts: a comparison of two lists, nothing else."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple, Protocol
from uuid import UUID

from portal.domain.payments import AttemptState
from portal.sql import fetch_plain

# While the outcome is open here, the gateway may know more than we do.
_IN_FLIGHT = frozenset({AttemptState.SENDING, AttemptState.PENDING, AttemptState.UNKNOWN})
_MOVED_MONEY = frozenset({AttemptState.SUCCEEDED, AttemptState.RETURNED})


class GatewayEffect(Protocol):
    """One charge that moved money, as a gateway's record has it."""

    @property
    def merchant_ref(self) -> str:
        """Our reference of the attempt."""

    @property
    def payment_ref(self) -> str:
        """Our reference of the payment."""

    @property
    def amount_minor(self) -> int:
        """What was charged."""

    @property
    def currency(self) -> str:
        """Its currency."""

    @property
    def state(self) -> str:
        """`succeeded`, or `returned` when the money was taken back."""

    @property
    def refunded_minor(self) -> int:
        """What was given back of it."""

    @property
    def disputed_minor(self) -> int:
        """What disputes have taken of it that are open or lost."""


class OurAttempt(NamedTuple):
    """An attempt through one gateway account, as far as the gateway could know it.

    Shape: `refunding_minor` is what the gateway may have given back without our knowing yet, and
    `disputing_minor` what disputes took that it may have let go.
    """

    id: UUID
    merchant_ref: str
    payment_id: UUID
    invoice_id: UUID | None
    invoice_total_minor: int | None
    amount_minor: int
    currency: str
    state: str
    refunded_minor: int = 0
    refunding_minor: int = 0
    disputed_minor: int = 0
    disputing_minor: int = 0


class DifferenceKind(StrEnum):
    """How a gateway's record and ours differ."""

    MISSING_HERE = "missing_here"
    MISSING_THERE = "missing_there"
    AMOUNT_DIFFERS = "amount_differs"
    STATUS_DIFFERS = "status_differs"
    DUPLICATE = "duplicate"  # one payment, or one attempt, was charged more than once
    OVERCHARGED = "overcharged"  # an invoice was charged beyond its total


class Difference(NamedTuple):
    """One thing on which the two records do not agree.

    Shape: `ours` and `theirs` say it in words: an amount with its currency, or a state.
    """

    kind: DifferenceKind
    reference: str
    ours: str
    theirs: str


def list_our_attempts(gateway_account_id: UUID) -> list[OurAttempt]:
    """List every attempt through one gateway account, by its reference."""
    rows = fetch_plain(
        "SELECT t.id, t.merchant_ref, t.payment_id, i.id, i.total_minor, t.amount_minor,"
        # The gateway says of a charge that a dispute took for good that it succeeded.
        " t.currency, CASE WHEN t.state = 'returned' AND d.lost THEN 'succeeded' ELSE t.state END,"
        " COALESCE(r.refunded, 0)::bigint, COALESCE(r.refunding, 0)::bigint,"
        " COALESCE(d.disputed, 0)::bigint, COALESCE(d.disputing, 0)::bigint"
        " FROM payment_attempts t JOIN payments y ON y.id = t.payment_id"
        " LEFT JOIN invoices i ON i.id = y.invoice_id LEFT JOIN (SELECT attempt_id,"
        " sum(amount_minor) FILTER (WHERE state = 'succeeded') AS refunded,"
        " sum(amount_minor) FILTER (WHERE state = 'submitted') AS refunding"
        " FROM refunds GROUP BY attempt_id) r ON r.attempt_id = t.id LEFT JOIN (SELECT attempt_id,"
        " bool_or(state = 'lost') AS lost,"
        " sum(amount_minor) FILTER (WHERE state <> 'won') AS disputed,"
        " sum(amount_minor) FILTER (WHERE state NOT IN ('won', 'lost')) AS disputing"
        " FROM disputes GROUP BY attempt_id) d ON d.attempt_id = t.id"
        " WHERE t.gateway_account_id = %s ORDER BY t.merchant_ref",
        (gateway_account_id,),
    )
    return [OurAttempt._make(row) for row in rows]


def compare_with_gateway(
    effects: Iterable[GatewayEffect], attempts: Sequence[OurAttempt]
) -> tuple[Difference, ...]:
    """List where a gateway's record of what moved money and our attempts differ.

    Shape: an attempt whose outcome is still open here is no difference; sorted by kind and
    reference. The judgement of double charges rests on the gateway's record alone.
    """
    theirs = list(effects)
    ours = {attempt.merchant_ref: attempt for attempt in attempts}
    differences = [
        *_compare_known(theirs, ours),
        *_missing_there(theirs, attempts),
        *_charged_twice(theirs),
        *_overcharged(theirs, ours),
    ]
    return tuple(sorted(set(differences)))


def _compare_known(
    effects: Iterable[GatewayEffect], ours: Mapping[str, OurAttempt]
) -> Iterator[Difference]:
    for effect in effects:
        attempt = ours.get(effect.merchant_ref)
        there = _amount(effect.amount_minor, effect.currency)
        if attempt is None:
            yield Difference(DifferenceKind.MISSING_HERE, effect.merchant_ref, "", there)
            continue
        here = _amount(attempt.amount_minor, attempt.currency)
        if here != there:
            yield Difference(DifferenceKind.AMOUNT_DIFFERS, effect.merchant_ref, here, there)
        back = effect.refunded_minor - attempt.refunded_minor
        if not 0 <= back <= attempt.refunding_minor:
            yield Difference(
                DifferenceKind.AMOUNT_DIFFERS,
                effect.merchant_ref,
                f"{_amount(attempt.refunded_minor, attempt.currency)} given back",
                f"{_amount(effect.refunded_minor, effect.currency)} given back",
            )
        kept = attempt.disputed_minor - effect.disputed_minor
        if not 0 <= kept <= attempt.disputing_minor:
            yield Difference(
                DifferenceKind.AMOUNT_DIFFERS,
                effect.merchant_ref,
                f"{_amount(attempt.disputed_minor, attempt.currency)} disputed",
                f"{_amount(effect.disputed_minor, effect.currency)} disputed",
            )
        state = AttemptState(attempt.state)
        if state not in _IN_FLIGHT and state.value != str(effect.state):
            yield Difference(
                DifferenceKind.STATUS_DIFFERS, effect.merchant_ref, state.value, str(effect.state)
            )


def _missing_there(
    effects: Iterable[GatewayEffect], attempts: Iterable[OurAttempt]
) -> Iterator[Difference]:
    known = {effect.merchant_ref for effect in effects}
    for attempt in attempts:
        if AttemptState(attempt.state) in _MOVED_MONEY and attempt.merchant_ref not in known:
            here = _amount(attempt.amount_minor, attempt.currency)
            yield Difference(DifferenceKind.MISSING_THERE, attempt.merchant_ref, here, "")


def _charged_twice(effects: Sequence[GatewayEffect]) -> Iterator[Difference]:
    kept = [
        effect
        for effect in effects
        if str(effect.state) == AttemptState.SUCCEEDED
        and effect.disputed_minor < effect.amount_minor
    ]
    for references in (
        Counter(effect.merchant_ref for effect in effects),
        Counter(effect.payment_ref for effect in kept if effect.payment_ref),
    ):
        for reference, times in references.items():
            if times > 1:
                yield Difference(
                    DifferenceKind.DUPLICATE, reference, "one charge", f"{times} charges"
                )


def _overcharged(
    effects: Iterable[GatewayEffect], ours: Mapping[str, OurAttempt]
) -> Iterator[Difference]:
    charged: dict[tuple[UUID, int, str], int] = defaultdict(int)
    for effect in effects:
        attempt = ours.get(effect.merchant_ref)
        if attempt is None or attempt.invoice_id is None or attempt.invoice_total_minor is None:
            continue
        if str(effect.state) == AttemptState.SUCCEEDED:
            invoice = (attempt.invoice_id, attempt.invoice_total_minor, effect.currency)
            charged[invoice] += effect.amount_minor - effect.refunded_minor - effect.disputed_minor
    for (invoice_id, total_minor, currency), amount_minor in charged.items():
        if amount_minor > total_minor:
            yield Difference(
                DifferenceKind.OVERCHARGED,
                str(invoice_id),
                _amount(total_minor, currency),
                _amount(amount_minor, currency),
            )


def _amount(amount_minor: int, currency: str) -> str:
    return f"{amount_minor} {currency}"

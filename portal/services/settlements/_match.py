"""Matching what gateways paid out to our attempts, and payouts to the lines of the bank."""

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import NamedTuple
from uuid import UUID

from portal.db import current_organisation_id, transaction
from portal.domain.batches import ItemOutcome
from portal.domain.ledger import AccountKind, EntryKind
from portal.domain.money import format_amount
from portal.domain.settlements import (
    SETTLEMENT_MOVES,
    MatchState,
    PayoutState,
    SettlementState,
)
from portal.domain.users import Actor
from portal.services.events import record_events
from portal.services.ledger import Account, LedgerBook
from portal.services.outcomes import ItemResult
from portal.services.settlements._items import Tally, match_items, tally_items
from portal.sql import execute, fetch_plain

UNFINISHED = {
    state.value: state for state in SettlementState if state not in SETTLEMENT_MOVES.final
}


class Booking(NamedTuple):
    """A locked settlement with the payout it books."""

    id: UUID
    state: SettlementState
    payout_id: UUID
    gateway_ref: str
    account_id: UUID
    account_code: str
    currency: str
    net_minor: int


class Step(NamedTuple):
    """A move of a settlement with what is left unexplained after it."""

    booking: Booking
    event: str
    residual_minor: int


def match_settlements(
    *, settlement_ids: Sequence[UUID], actor: Actor, now: datetime, business_on: date
) -> list[ItemResult]:
    """Match payouts to attempts and to the bank, book what is explained, and close what arrived.

    Shape: one result per settlement in the order given; parked ones are to be tried again, and
    say what they wait for. Only a payout that is explained to the last minor unit is booked.
    """
    with transaction():
        known = {each.id: each for each in _lock_settlements(settlement_ids)}
        waiting = [each for each in known.values() if each.state is not SettlementState.BALANCED]
        results, balanced = _match(waiting, business_on, actor=actor, now=now)
        balanced |= {each.id for each in known.values() if each.state is SettlementState.BALANCED}
        results |= _close(
            [known[each] for each in sorted(balanced)], business_on, actor=actor, now=now
        )
    nothing = "There is no such settlement here that is not closed."
    return [
        results.get(each) or ItemResult(each, ItemOutcome.FILTERED, "not_open", nothing)
        for each in settlement_ids
    ]


def _lock_settlements(settlement_ids: Sequence[UUID]) -> list[Booking]:
    rows = fetch_plain(
        "SELECT s.id, s.state, p.id, p.gateway_ref, g.id, g.code, p.currency, p.net_minor"
        " FROM settlements s JOIN payouts p ON p.id = s.payout_id"
        " JOIN gateway_accounts g ON g.id = p.gateway_account_id"
        " WHERE s.id = ANY(%s) AND s.state = ANY(%s) ORDER BY s.id FOR UPDATE OF s",
        (list(settlement_ids), list(UNFINISHED)),
    )
    return [Booking(row[0], UNFINISHED[row[1]], *row[2:]) for row in rows]


def _match(
    bookings: Sequence[Booking], business_on: date, *, actor: Actor, now: datetime
) -> tuple[dict[UUID, ItemResult], set[UUID]]:
    """Match the items and book payouts that are explained; return the results of the others."""
    if not bookings:
        return {}, set()
    match_items({each.payout_id: each.account_id for each in bookings})
    tallies = tally_items([each.payout_id for each in bookings])
    explained = [each for each in bookings if tallies[each.payout_id].is_explained]
    _post_matched(explained, tallies, business_on)
    steps = [
        Step(
            each,
            "balance" if tallies[each.payout_id].is_explained else "match",
            tallies[each.payout_id].residual_minor,
        )
        for each in bookings
    ]
    _move(steps, actor=actor, now=now)
    results = {
        each.id: _parked(each, tallies[each.payout_id])
        for each in bookings
        if not tallies[each.payout_id].is_explained
    }
    return results, {each.id for each in explained}


def _parked(booking: Booking, tally: Tally) -> ItemResult:
    residual = f"{format_amount(tally.residual_minor, booking.currency)} {booking.currency}"
    if tally.awaited and tally.awaited == tally.open:
        message = f"The results of {tally.awaited} items have not reached us yet ({residual})."
        return ItemResult(booking.id, ItemOutcome.PARKED, "results_awaited", message)
    counts = ", ".join(f"{count} {name}" for name, count in tally.discrepancies)
    found = (
        f"{tally.open} items are not explained ({counts})"
        if counts
        else ("The items do not add up to the payout")
    )
    message = f"{found}; {residual} is left."
    return ItemResult(booking.id, ItemOutcome.PARKED, "not_explained", message)


def _move(steps: Iterable[Step], *, actor: Actor, now: datetime) -> None:
    """Move settlements that can; one that stays in its state only learns its residual."""
    changes = [
        (
            booking,
            SETTLEMENT_MOVES.next(booking.state, event)
            if SETTLEMENT_MOVES.may(booking.state, event)
            else booking.state,
            residual_minor,
        )
        for booking, event, residual_minor in steps
    ]
    execute(
        "UPDATE settlements s SET state = c.state, residual_minor = c.residual,"
        " closed_at = CASE WHEN c.state = %(closed)s THEN %(now)s END, version = s.version + 1"
        " FROM unnest(%(ids)s::uuid[], %(states)s::text[], %(residuals)s::bigint[])"
        " AS c (id, state, residual) WHERE s.organisation_id = %(o)s AND s.id = c.id"
        " AND (s.state, s.residual_minor) IS DISTINCT FROM (c.state, c.residual)",
        {
            "closed": SettlementState.CLOSED.value,
            "now": now,
            "ids": [booking.id for booking, _, _ in changes],
            "states": [state.value for _, state, _ in changes],
            "residuals": [residual_minor for _, _, residual_minor in changes],
            "o": current_organisation_id(),
        },
    )
    record_events(
        (
            (f"settlement.{state.value}", booking.id)
            for booking, state, _ in changes
            if state is not booking.state
        ),
        actor=actor,
        now=now,
    )


def _post_matched(
    explained: Sequence[Booking], tallies: dict[UUID, Tally], business_on: date
) -> None:
    """Move what is paid out from clearing into transit, and book what the gateway kept.

    Shape: the fee of a return or dispute was booked with it, so it is left out here.
    """
    book = LedgerBook()
    for each in explained:
        clearing = Account(AccountKind.GATEWAY_CLEARING, each.currency, each.account_code)
        entry_id = book.add_entry(
            EntryKind.PAYOUT_MATCHED,
            source_type="settlement",
            source_id=each.id,
            effective_on=business_on,
        )
        in_transit = Account(AccountKind.PAYOUTS_IN_TRANSIT, each.currency)
        book.post(entry_id, in_transit, clearing, each.net_minor)
        fees = Account(AccountKind.FEES, each.currency)
        book.post(entry_id, fees, clearing, tallies[each.payout_id].fee_minor)
    book.write()


def _close(
    bookings: Sequence[Booking], business_on: date, *, actor: Actor, now: datetime
) -> dict[UUID, ItemResult]:
    """Close what the bank confirms; a payout of nothing needs no line of the bank."""
    lines, differing = _find_bank_lines(bookings)
    closing = [each for each in bookings if each.net_minor == 0 or each.payout_id in lines]
    if closing:
        _take_bank_lines(lines, actor=actor, now=now)
        _post_banked([each for each in closing if each.net_minor], business_on)
        execute(
            "UPDATE payouts SET state = %s WHERE id = ANY(%s)",
            (PayoutState.PAID.value, [each.payout_id for each in closing]),
        )
        balanced = [each._replace(state=SettlementState.BALANCED) for each in closing]
        _move((Step(each, "close", 0) for each in balanced), actor=actor, now=now)
    results = {each.id: _awaiting_bank(each, differing) for each in bookings}
    results |= {
        each.id: ItemResult(each.id, ItemOutcome.DONE, amount_minor=abs(each.net_minor))
        for each in closing
    }
    return results


def _awaiting_bank(booking: Booking, differing: dict[UUID, int]) -> ItemResult:
    net = f"{format_amount(booking.net_minor, booking.currency)} {booking.currency}"
    if booking.payout_id in differing:
        arrived = format_amount(differing[booking.payout_id], booking.currency)
        message = f"The bank shows {arrived} for this payout instead of {net}."
        return ItemResult(booking.id, ItemOutcome.PARKED, "bank_amount_differs", message)
    message = f"Everything is explained; the bank has not shown the {net} yet."
    return ItemResult(booking.id, ItemOutcome.PARKED, "bank_line_awaited", message)


def _find_bank_lines(bookings: Sequence[Booking]) -> tuple[dict[UUID, UUID], dict[UUID, int]]:
    """Lock the bank's lines that name these payouts.

    Shape: payout to line where the amount is right, payout to amount where it is not.
    """
    rows = fetch_plain(
        "SELECT id, reference, currency, amount_minor FROM bank_lines"
        " WHERE reference = ANY(%s) AND match_state = %s ORDER BY id FOR UPDATE",
        ([each.gateway_ref for each in bookings], MatchState.UNMATCHED.value),
    )
    expected: dict[tuple[str, str], list[Booking]] = {}
    for each in bookings:
        expected.setdefault((each.gateway_ref, each.currency), []).append(each)
    lines: dict[UUID, UUID] = {}
    differing: dict[UUID, int] = {}
    for line_id, reference, currency, amount_minor in rows:
        for each in expected.get((reference, currency), ()):
            if each.payout_id in lines:
                continue
            if each.net_minor == amount_minor:
                lines[each.payout_id] = line_id
                break
            differing[each.payout_id] = amount_minor
    return lines, differing


def _take_bank_lines(lines: dict[UUID, UUID], *, actor: Actor, now: datetime) -> None:
    execute(
        "UPDATE bank_lines SET match_state = %s WHERE id = ANY(%s)",
        (MatchState.MATCHED.value, list(lines.values())),
    )
    record_events((("bank_line.matched", each) for each in lines.values()), actor=actor, now=now)


def _post_banked(bookings: Iterable[Booking], business_on: date) -> None:
    book = LedgerBook()
    for each in bookings:
        entry_id = book.add_entry(
            EntryKind.PAYOUT_BANKED,
            source_type="settlement",
            source_id=each.id,
            effective_on=business_on,
        )
        book.post(
            entry_id,
            Account(AccountKind.BANK, each.currency),
            Account(AccountKind.PAYOUTS_IN_TRANSIT, each.currency),
            each.net_minor,
        )
    book.write()

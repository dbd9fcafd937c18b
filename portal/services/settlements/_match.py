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
from portal.services.rulesets import load_rule_set
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
    """A move of a settlement with what is left unexplained, or was tolerated, after it."""

    booking: Booking
    event: str
    residual_minor: int
    tolerated_minor: int = 0


class Arrival(NamedTuple):
    """A locked line of the bank that names a payout, and what it shows beyond it."""

    line_id: UUID
    amount_minor: int
    excess_minor: int


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
            step,
            SETTLEMENT_MOVES.next(step.booking.state, step.event)
            if SETTLEMENT_MOVES.may(step.booking.state, step.event)
            else step.booking.state,
        )
        for step in steps
    ]
    execute(
        "UPDATE settlements s SET state = c.state, residual_minor = c.residual,"
        " tolerated_minor = c.tolerated,"
        " closed_at = CASE WHEN c.state = %(closed)s THEN %(now)s END, version = s.version + 1"
        " FROM unnest(%(ids)s::uuid[], %(states)s::text[], %(residuals)s::bigint[],"
        " %(tolerated)s::bigint[]) AS c (id, state, residual, tolerated)"
        " WHERE s.organisation_id = %(o)s AND s.id = c.id"
        " AND (s.state, s.residual_minor) IS DISTINCT FROM (c.state, c.residual)",
        {
            "closed": SettlementState.CLOSED.value,
            "now": now,
            "ids": [step.booking.id for step, _ in changes],
            "states": [state.value for _, state in changes],
            "residuals": [step.residual_minor for step, _ in changes],
            "tolerated": [step.tolerated_minor for step, _ in changes],
            "o": current_organisation_id(),
        },
    )
    record_events(
        (
            (f"settlement.{state.value}", step.booking.id)
            for step, state in changes
            if state is not step.booking.state
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
    arrivals = _find_bank_lines(bookings)
    taken, differing = _part_arrivals(arrivals, bookings, business_on)
    closing = [each for each in bookings if each.net_minor == 0 or each.payout_id in taken]
    if closing:
        _take_bank_lines(taken.values(), actor=actor, now=now)
        _post_banked([each for each in closing if each.net_minor], taken, business_on)
        execute(
            "UPDATE payouts SET state = %s WHERE id = ANY(%s)",
            (PayoutState.PAID.value, [each.payout_id for each in closing]),
        )
        steps = []
        for each in closing:
            excess_minor = taken[each.payout_id].excess_minor if each.payout_id in taken else 0
            balanced = each._replace(state=SettlementState.BALANCED)
            steps.append(Step(balanced, "close", 0, excess_minor))
        _move(steps, actor=actor, now=now)
    results = {each.id: _awaiting_bank(each, differing.get(each.payout_id)) for each in bookings}
    results |= {each.id: _closed(each, taken.get(each.payout_id)) for each in closing}
    return results


def _closed(booking: Booking, arrival: Arrival | None) -> ItemResult:
    amount_minor = abs(booking.net_minor)
    if arrival is None or not arrival.excess_minor:
        return ItemResult(booking.id, ItemOutcome.DONE, amount_minor=amount_minor)
    message = (
        f"The bank shows {format_amount(arrival.amount_minor, booking.currency)} for a payout of"
        f" {format_amount(booking.net_minor, booking.currency)} {booking.currency}; the agreement"
        " tolerates that."
    )
    return ItemResult(
        booking.id, ItemOutcome.DONE, "difference_tolerated", message, amount_minor=amount_minor
    )


def _awaiting_bank(booking: Booking, differing: Arrival | None) -> ItemResult:
    net = f"{format_amount(booking.net_minor, booking.currency)} {booking.currency}"
    if differing is not None:
        arrived = format_amount(differing.amount_minor, booking.currency)
        message = f"The bank shows {arrived} for this payout instead of {net}."
        return ItemResult(booking.id, ItemOutcome.PARKED, "bank_amount_differs", message)
    message = f"Everything is explained; the bank has not shown the {net} yet."
    return ItemResult(booking.id, ItemOutcome.PARKED, "bank_line_awaited", message)


def _find_bank_lines(bookings: Sequence[Booking]) -> dict[UUID, Arrival]:
    """Lock the bank's lines that name these payouts.

    Shape: by payout, the first line with the very amount, or else the last one with another.
    """
    rows = fetch_plain(
        "SELECT id, reference, currency, amount_minor FROM bank_lines"
        " WHERE reference = ANY(%s) AND match_state = %s ORDER BY id FOR UPDATE",
        ([each.gateway_ref for each in bookings], MatchState.UNMATCHED.value),
    )
    expected: dict[tuple[str, str], list[Booking]] = {}
    for each in bookings:
        expected.setdefault((each.gateway_ref, each.currency), []).append(each)
    found: dict[UUID, Arrival] = {}
    for line_id, reference, currency, amount_minor in rows:
        for each in expected.get((reference, currency), ()):
            known = found.get(each.payout_id)
            if known is not None and not known.excess_minor:
                continue
            excess_minor = amount_minor - each.net_minor
            found[each.payout_id] = Arrival(line_id, amount_minor, excess_minor)
            if not excess_minor:
                break
    return found


def _part_arrivals(
    arrivals: dict[UUID, Arrival], bookings: Sequence[Booking], business_on: date
) -> tuple[dict[UUID, Arrival], dict[UUID, Arrival]]:
    """Part the lines that are taken from those that differ by more than the agreement tolerates.

    Shape: no line is taken for two payouts, and one with the very amount goes first.
    """
    taken = {payout: each for payout, each in arrivals.items() if not each.excess_minor}
    differing = {payout: each for payout, each in arrivals.items() if each.excess_minor}
    if not differing:
        return taken, differing
    _, rule_set = load_rule_set(on=business_on)
    net_minor = {each.payout_id: each.net_minor for each in bookings}
    used = {each.line_id for each in taken.values()}
    for payout_id, arrival in sorted(differing.items()):
        is_tolerated = rule_set.is_difference_tolerated(arrival.excess_minor, net_minor[payout_id])
        if net_minor[payout_id] and is_tolerated and arrival.line_id not in used:
            used.add(arrival.line_id)
            taken[payout_id] = differing.pop(payout_id)
    return taken, differing


def _take_bank_lines(arrivals: Iterable[Arrival], *, actor: Actor, now: datetime) -> None:
    line_ids = [each.line_id for each in arrivals]
    execute(
        "UPDATE bank_lines SET match_state = %s WHERE id = ANY(%s)",
        (MatchState.MATCHED.value, line_ids),
    )
    record_events((("bank_line.matched", each) for each in line_ids), actor=actor, now=now)


def _post_banked(
    bookings: Iterable[Booking], taken: dict[UUID, Arrival], business_on: date
) -> None:
    """Move what arrived into the bank; a difference that is tolerated is nobody's any more."""
    book = LedgerBook()
    for each in bookings:
        entry_id = book.add_entry(
            EntryKind.PAYOUT_BANKED,
            source_type="settlement",
            source_id=each.id,
            effective_on=business_on,
        )
        arrival = taken[each.payout_id]
        in_transit = Account(AccountKind.PAYOUTS_IN_TRANSIT, each.currency)
        bank = Account(AccountKind.BANK, each.currency)
        book.post(entry_id, bank, in_transit, arrival.amount_minor)
        rounding = Account(AccountKind.ROUNDING, each.currency)
        book.post(entry_id, rounding, in_transit, -arrival.excess_minor)
    book.write()

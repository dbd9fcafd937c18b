"""What any gateway must do, as cases over a bench that speaks its vendor's dialect.

A vendor's test module builds a bench and runs CASES; nothing here knows the sandbox.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from datetime import date, timedelta
from typing import Any, Protocol

from portal.gateways.base import (
    AnswerKind,
    ChargeOrder,
    EffectState,
    EventKind,
    Gateway,
    GatewayAnswer,
    GatewayEvent,
    ItemKind,
    NoticeOrder,
    PayoutReport,
    call_all,
)

DAY = date(2026, 11, 20)
WAIT_SECONDS_MAX = 20.0


class Bench(Protocol):
    """One fresh account at a gateway, and the ways to make it do what a case is about."""

    def open(self) -> AbstractAsyncContextManager[Gateway]:
        """Open the account."""

    def order(self, wish: str) -> ChargeOrder:
        """Make an order that will be `approved`, `declined` or `returned`."""

    def notice(self) -> NoticeOrder:
        """Make a notice that nobody made before."""

    async def told(self) -> list[tuple[str, str, int]]:
        """List what its own record says went out: reference, name and amount of each notice."""

    async def wait_event(self, kind: EventKind, merchant_ref: str) -> GatewayEvent:
        """Wait for a pushed event and verify its signature."""


async def settled(gateway: Gateway, merchant_ref: str) -> GatewayAnswer:
    """Ask until the result is there."""
    until = time.monotonic() + WAIT_SECONDS_MAX
    answer = await gateway.query(merchant_ref)
    while answer.kind == AnswerKind.PENDING and time.monotonic() < until:
        await asyncio.sleep(0.02)
        answer = await gateway.query(merchant_ref)
    return answer


async def an_accepted_charge_succeeds_and_says_so(bench: Bench) -> None:
    """The event, the query and the order tell one story."""
    order = bench.order("approved")
    async with bench.open() as gateway:
        answer = await gateway.charge(order)
        assert answer.kind in (AnswerKind.PENDING, AnswerKind.SUCCEEDED)
        event = await bench.wait_event(EventKind.CHARGE_SUCCEEDED, order.merchant_ref)
        asked = await gateway.query(order.merchant_ref)
    assert asked.kind == AnswerKind.SUCCEEDED
    assert event.gateway_ref == asked.gateway_ref == answer.gateway_ref
    assert (event.amount_minor, event.currency) == (order.amount_minor, order.currency)
    assert (asked.amount_minor, asked.currency) == (order.amount_minor, order.currency)
    assert event.fee_minor == asked.fee_minor > 0
    assert event.occurred_at.tzinfo is not None


async def the_answer_repeats_amount_and_currency(bench: Bench) -> None:
    """What was ordered is what was answered."""
    order = replace(bench.order("approved"), currency="CHF")
    async with bench.open() as gateway:
        answer = await gateway.charge(order)
    assert (answer.amount_minor, answer.currency) == (order.amount_minor, "CHF")


async def a_declined_charge_has_a_reason_and_moves_nothing(bench: Bench) -> None:
    """A business no is told with its code, and no effect is on the gateway's record."""
    order = bench.order("declined")
    async with bench.open() as gateway:
        await gateway.charge(order)
        event = await bench.wait_event(EventKind.CHARGE_DECLINED, order.merchant_ref)
        asked = await gateway.query(order.merchant_ref)
        assert await gateway.list_effects() == ()
    assert asked.kind == AnswerKind.DECLINED
    assert asked.reason_code == event.reason_code
    assert asked.reason_code
    assert asked.reason


async def the_same_order_sent_twice_charges_once(bench: Bench) -> None:
    """One key is one charge, also when both sends are under way at once."""
    order = bench.order("approved")
    async with bench.open() as gateway:
        answers = await call_all(gateway.charge, [order] * 8, 8)
        await settled(gateway, order.merchant_ref)
        effects = await gateway.list_effects()
    assert len({answer.gateway_ref for answer in answers}) == 1
    assert [effect.merchant_ref for effect in effects] == [order.merchant_ref]


async def a_used_key_with_another_amount_is_never_a_success(bench: Bench) -> None:
    """The first order stands; the second one is not booked and not taken for declined."""
    order = bench.order("approved")
    other = replace(order, amount_minor=order.amount_minor + 100)
    async with bench.open() as gateway:
        await gateway.charge(order)
        answer = await gateway.charge(other)
        await settled(gateway, order.merchant_ref)
        effects = await gateway.list_effects()
    assert answer.kind in (AnswerKind.UNKNOWN, AnswerKind.MISMATCH)
    assert [effect.amount_minor for effect in effects] == [order.amount_minor]


async def a_used_reference_under_another_key_is_never_a_success(bench: Bench) -> None:
    """A reference names one charge for ever."""
    order = bench.order("approved")
    async with bench.open() as gateway:
        await gateway.charge(order)
        answer = await gateway.charge(replace(order, idempotency_key="another-key-entirely"))
        await settled(gateway, order.merchant_ref)
        effects = await gateway.list_effects()
    assert answer.kind in (AnswerKind.UNKNOWN, AnswerKind.MISMATCH)
    assert len(effects) == 1


async def what_was_never_sent_is_not_found(bench: Bench) -> None:
    """The gateway says so itself."""
    async with bench.open() as gateway:
        answer = await gateway.query("never-sent")
    assert answer.kind == AnswerKind.NOT_FOUND


async def closing_a_day_again_gives_the_same_payouts(bench: Bench) -> None:
    """A payout holds each success once, adds up, and is not paid out on another day again."""
    orders = [bench.order("approved") for _ in range(5)] + [bench.order("declined")]
    async with bench.open() as gateway:
        await call_all(gateway.charge, orders, 6)
        await call_all(gateway.query, [order.merchant_ref for order in orders], 6)
        for order in orders:
            await settled(gateway, order.merchant_ref)
        first = await gateway.close_day(DAY)
        again = await gateway.close_day(DAY)
        following = await gateway.close_day(DAY + timedelta(days=1))
    assert first == again
    assert following == ()
    (payout,) = first
    assert payout.business_date == DAY
    assert_adds_up(payout)
    succeeded = {order.merchant_ref for order in orders[:5]}
    assert {item.merchant_ref for item in payout.items} == succeeded
    assert payout.gross_minor == sum(order.amount_minor for order in orders[:5])


async def what_comes_after_the_closing_waits_for_the_next_payout(bench: Bench) -> None:
    """A closed date stays as it was told, also when a charge of that date arrives later."""
    order, late = bench.order("approved"), bench.order("approved")
    async with bench.open() as gateway:
        await gateway.charge(order)
        await settled(gateway, order.merchant_ref)
        first = await gateway.close_day(DAY)
        await gateway.charge(late)
        await settled(gateway, late.merchant_ref)
        assert await gateway.close_day(DAY) == first
        (following,) = await gateway.close_day(DAY + timedelta(days=1))
    assert [item.merchant_ref for item in following.items] == [late.merchant_ref]


async def currencies_are_paid_out_apart(bench: Bench) -> None:
    """One payout has one currency."""
    euro, franc = bench.order("approved"), replace(bench.order("approved"), currency="CHF")
    async with bench.open() as gateway:
        await call_all(gateway.charge, [euro, franc], 2)
        await settled(gateway, euro.merchant_ref)
        await settled(gateway, franc.merchant_ref)
        payouts = await gateway.close_day(DAY)
    by_currency = {payout.currency: payout.items[0].merchant_ref for payout in payouts}
    assert by_currency == {"EUR": euro.merchant_ref, "CHF": franc.merchant_ref}


async def a_returned_charge_is_told_and_set_off(bench: Bench) -> None:
    """The return comes on a later business date, with its reason and fee, and lowers a payout."""
    order, later = bench.order("returned"), bench.order("approved")
    later = replace(later, amount_minor=order.amount_minor * 2 // 100_000 * 100_000 + 77700)
    later = replace(later, business_date=DAY + timedelta(days=1))
    async with bench.open() as gateway:
        await call_all(gateway.charge, [order, later], 2)
        await settled(gateway, order.merchant_ref)
        await settled(gateway, later.merchant_ref)
        await gateway.close_day(DAY)
        before = await gateway.query(order.merchant_ref)
        (payout,) = await gateway.close_day(DAY + timedelta(days=1))
        event = await bench.wait_event(EventKind.CHARGE_RETURNED, order.merchant_ref)
        asked = await gateway.query(order.merchant_ref)
        effects = {effect.merchant_ref: effect for effect in await gateway.list_effects()}
    assert before.kind == AnswerKind.SUCCEEDED
    assert asked.kind == AnswerKind.RETURNED
    assert asked.reason_code == event.reason_code
    assert event.reason_code
    assert_adds_up(payout)
    (item,) = [item for item in payout.items if item.kind == ItemKind.RETURN]
    assert item.merchant_ref == order.merchant_ref
    assert item.gross_minor == -order.amount_minor
    assert item.fee_minor == event.fee_minor == effects[order.merchant_ref].return_fee_minor
    assert effects[order.merchant_ref].state == EffectState.RETURNED


async def effects_are_the_sum_of_what_succeeded(bench: Bench) -> None:
    """The gateway's own record agrees with what it answered, charge by charge."""
    wishes = ["approved", "declined", "approved", "approved", "declined"]
    orders = [bench.order(wish) for wish in wishes]
    async with bench.open() as gateway:
        await call_all(gateway.charge, orders, 5)
        answers = [await settled(gateway, order.merchant_ref) for order in orders]
        effects = await gateway.list_effects()
    told = {
        (order.merchant_ref, order.payment_ref, order.invoice_ref, order.amount_minor)
        for order, answer in zip(orders, answers, strict=True)
        if answer.kind == AnswerKind.SUCCEEDED
    }
    kept = {
        (effect.merchant_ref, effect.payment_ref, effect.invoice_ref, effect.amount_minor)
        for effect in effects
    }
    assert len(told) == 3
    assert kept == told


async def listed_events_are_the_pushed_ones(bench: Bench) -> None:
    """Who was away catches up behind a cursor, and behind the last event there is nothing."""
    first, second = bench.order("approved"), bench.order("declined")
    async with bench.open() as gateway:
        await gateway.charge(first)
        pushed = await bench.wait_event(EventKind.CHARGE_SUCCEEDED, first.merchant_ref)
        events, cursor = await gateway.list_events(None)
        assert events == (pushed,)
        assert await gateway.list_events(cursor) == ((), cursor)
        await gateway.charge(second)
        pushed = await bench.wait_event(EventKind.CHARGE_DECLINED, second.merchant_ref)
        events, _ = await gateway.list_events(cursor)
    assert events == (pushed,)


async def a_notice_goes_out_once_however_often_it_comes(bench: Bench) -> None:
    """One key is one notice, also when several sends are under way; and it moves no money."""
    order = bench.notice()
    async with bench.open() as gateway:
        answers = await call_all(gateway.notify, [order] * 8, 8)
        assert await gateway.list_effects() == ()
    assert {answer.kind for answer in answers} == {AnswerKind.SUCCEEDED}
    assert await bench.told() == [(order.merchant_ref, order.payer_name, order.amount_minor)]


async def a_notice_that_comes_again_with_other_words_was_taken_before(bench: Bench) -> None:
    """What it says is read anew for each try; whatever it is by then, nobody is told twice."""
    order = bench.notice()
    async with bench.open() as gateway:
        await gateway.notify(order)
        answer = await gateway.notify(replace(order, payer_name="Somebody Else"))
    assert answer.kind == AnswerKind.SUCCEEDED
    assert answer.error
    assert await bench.told() == [(order.merchant_ref, order.payer_name, order.amount_minor)]


async def a_used_reference_under_another_key_tells_nobody(bench: Bench) -> None:
    """A reference names one notice for ever."""
    order = bench.notice()
    async with bench.open() as gateway:
        await gateway.notify(order)
        answer = await gateway.notify(replace(order, idempotency_key="another-key-entirely"))
    assert answer.kind in (AnswerKind.UNKNOWN, AnswerKind.MISMATCH)
    assert len(await bench.told()) == 1


def assert_adds_up(payout: PayoutReport) -> None:
    """Check a payout against its own items."""
    assert payout.net_minor == payout.gross_minor - payout.fee_minor
    assert payout.gross_minor == sum(item.gross_minor for item in payout.items)
    assert payout.fee_minor == sum(item.fee_minor for item in payout.items)
    for item in payout.items:
        assert item.net_minor == item.gross_minor - item.fee_minor


CASES: tuple[Callable[[Bench], Coroutine[Any, Any, None]], ...] = (
    an_accepted_charge_succeeds_and_says_so,
    the_answer_repeats_amount_and_currency,
    a_declined_charge_has_a_reason_and_moves_nothing,
    the_same_order_sent_twice_charges_once,
    a_used_key_with_another_amount_is_never_a_success,
    a_used_reference_under_another_key_is_never_a_success,
    what_was_never_sent_is_not_found,
    closing_a_day_again_gives_the_same_payouts,
    what_comes_after_the_closing_waits_for_the_next_payout,
    currencies_are_paid_out_apart,
    a_returned_charge_is_told_and_set_off,
    effects_are_the_sum_of_what_succeeded,
    listed_events_are_the_pushed_ones,
    a_notice_goes_out_once_however_often_it_comes,
    a_notice_that_comes_again_with_other_words_was_taken_before,
    a_used_reference_under_another_key_tells_nobody,
)

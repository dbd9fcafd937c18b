from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from flask import Flask

from portal.db import transaction
from portal.gateways.base import EventKind, GatewayEvent
from portal.ids import new_id
from portal.services.messages import store_events
from portal.services.payments import ResultKind, handle_inbox
from portal.sql import execute
from tests import factories
from tests.factories import CLERK, NOW, QUERY_POLICY, gateway_account_of
from tests.services.books import assert_books_hold, events_of, rows
from tests.services.collecting import case_of, expire, make_case, run_together, tell_one


def event(attempt: Any, kind: EventKind, **over: Any) -> GatewayEvent:
    wanted = {
        "event_id": f"evt_{new_id().hex}",
        "kind": kind,
        "merchant_ref": attempt.merchant_ref,
        "gateway_ref": f"gw-{attempt.merchant_ref}",
        "amount_minor": attempt.amount_minor,
        "currency": attempt.currency,
        "reason_code": None if kind is EventKind.CHARGE_SUCCEEDED else "AM04",
        "fee_minor": 350 if kind is EventKind.CHARGE_RETURNED else 25,
        "occurred_at": NOW,
        "payload": {"returned_on": "2026-03-25"} if kind is EventKind.CHARGE_RETURNED else {},
    }
    return GatewayEvent(**{**wanted, **over})


def arrive(*events: GatewayEvent) -> int:
    account = gateway_account_of()
    with transaction(factories.home.get()):
        return store_events(
            gateway_account_id=account.id, events=events, raws=[b"{}"] * len(events), now=NOW
        )


def handle(limit: int = 100) -> int:
    with transaction(factories.home.get()):
        return handle_inbox(limit=limit, policy=QUERY_POLICY, actor=CLERK, now=NOW)


def states() -> dict[str, tuple[str, int]]:
    found = rows("SELECT event_ref, state, tries FROM inbox_messages")
    return {row.event_ref: (row.state, row.tries) for row in found}


def test_an_event_is_kept_once_and_handled_once(organisation: UUID) -> None:
    case = make_case("pending")
    told = event(case.attempt, EventKind.CHARGE_SUCCEEDED)

    assert [arrive(told), arrive(told, told)] == [1, 0]
    assert [handle(), handle()] == [1, 0]

    assert states() == {told.event_id: ("done", 1)}
    assert events_of(case.payment.id).count("payment.succeeded") == 1
    assert_books_hold()


def test_a_repeat_under_another_id_changes_nothing(organisation: UUID) -> None:
    case = make_case("pending")
    told = [event(case.attempt, EventKind.CHARGE_SUCCEEDED) for _ in range(3)]
    arrive(*told)

    assert [handle() for _ in range(4)] == [1, 1, 1, 0]

    assert set(states().values()) == {("done", 1)}
    assert events_of(case.payment.id).count("payment.succeeded") == 1
    assert_books_hold()


def test_events_of_one_attempt_are_handled_in_their_order(organisation: UUID) -> None:
    case = make_case("pending")
    success = event(case.attempt, EventKind.CHARGE_SUCCEEDED)
    later = NOW + timedelta(hours=1)
    arrive(event(case.attempt, EventKind.CHARGE_RETURNED, occurred_at=later), success)

    assert handle() == 1
    assert states()[success.event_id] == ("done", 1)
    assert case_of(case.payment.id).attempt.state == "succeeded"
    assert handle() == 1
    after = case_of(case.payment.id)
    assert (after.attempt.state, after.attempt.return_fee_minor) == ("returned", 350)
    (entry,) = rows("SELECT effective_on FROM ledger_entries WHERE kind = 'payment_returned'")
    assert entry.effective_on.isoformat() == "2026-03-25"
    assert_books_hold()


def test_a_reference_that_is_not_ours_is_parked_and_books_nothing(organisation: UUID) -> None:
    case = make_case("pending")
    strange = event(case.attempt, EventKind.CHARGE_SUCCEEDED, merchant_ref="att_of_nobody")
    arrive(strange)

    assert handle() == 1

    assert states() == {strange.event_id: ("parked", 1)}
    (row,) = rows("SELECT last_error FROM inbox_messages")
    assert row.last_error == "no attempt of ours has this reference"
    assert case_of(case.payment.id) == case


def test_a_payout_event_needs_nothing_but_is_kept(organisation: UUID) -> None:
    case = make_case("pending")
    told = event(case.attempt, EventKind.PAYOUT_PAID, merchant_ref="")
    arrive(told)

    assert handle() == 1

    assert states() == {told.event_id: ("done", 1)}


def test_what_is_not_possible_now_waits_and_is_parked_in_the_end(organisation: UUID) -> None:
    case = make_case("created")
    told = event(case.attempt, EventKind.CHARGE_DECLINED)
    arrive(told)
    assert handle() == 0
    assert states() == {told.event_id: ("ready", 1)}
    assert handle() == 0, "it waits before it is tried again"
    assert states() == {told.event_id: ("ready", 1)}

    for _ in range(7):
        expire("inbox_messages")
        handle()

    assert states() == {told.event_id: ("parked", 8)}
    assert case_of(case.payment.id).attempt.state == "created"


def test_what_was_not_possible_is_applied_once_it_is(organisation: UUID) -> None:
    case = make_case("created")
    told = event(case.attempt, EventKind.CHARGE_SUCCEEDED)
    arrive(told)
    handle()
    assert case_of(case.payment.id).payment.worklist == "conflicting_outcome"
    factories.answer_attempt(case.attempt, ResultKind.ACCEPT)

    expire("inbox_messages")

    assert handle() == 1
    assert states() == {told.event_id: ("done", 2)}
    after = case_of(case.payment.id)
    # Why it was told before anything was sent is still for a person to find out.
    assert (after.payment.state, after.payment.worklist) == ("succeeded", "conflicting_outcome")
    assert events_of(case.payment.id).count("payment.contradicted") == 1
    assert_books_hold()


def test_an_event_about_another_amount_is_for_a_person(organisation: UUID) -> None:
    case = make_case("pending")
    arrive(event(case.attempt, EventKind.CHARGE_SUCCEEDED, amount_minor=11_901))

    handle()

    after = case_of(case.payment.id)
    assert (after.attempt.state, after.payment.worklist) == ("unknown", "mismatch")
    assert_books_hold()


@pytest.mark.parametrize("place", [0, 2, 4])
def test_an_event_that_breaks_does_not_hold_up_the_others(organisation: UUID, place: int) -> None:
    cases = [make_case("pending") for _ in range(5)]
    told = [event(case.attempt, EventKind.CHARGE_RETURNED) for case in cases]
    told[place] = event(
        cases[place].attempt, EventKind.CHARGE_RETURNED, payload={"returned_on": "yesterday"}
    )
    arrive(*told)

    assert handle() == 4

    found = states()
    assert found.pop(told[place].event_id) == ("ready", 1)
    assert set(found.values()) == {("done", 1)}
    attempts = [case_of(case.payment.id).attempt.state for case in cases]
    assert attempts.count("returned") == 4
    assert attempts[place] == "pending"
    (row,) = rows("SELECT last_error FROM inbox_messages WHERE state = 'ready'")
    assert "yesterday" in row.last_error
    for _ in range(7):
        expire("inbox_messages")
        handle()
    assert states()[told[place].event_id] == ("parked", 8)
    asked = case_of(cases[place].payment.id).attempt.next_query_at
    assert asked > datetime.now(UTC) - timedelta(minutes=5), "the gateway is asked instead"
    assert_books_hold()


def test_no_more_than_the_limit_is_handled_at_once(organisation: UUID) -> None:
    cases = [make_case("pending") for _ in range(3)]
    arrive(*(event(case.attempt, EventKind.CHARGE_SUCCEEDED) for case in cases))

    assert [handle(2), handle(2), handle(2)] == [2, 1, 0]


def test_two_threads_handle_each_event_once(organisation: UUID, app: Flask) -> None:
    cases = [make_case("pending") for _ in range(6)]
    for _ in range(2):
        arrive(*(event(case.attempt, EventKind.CHARGE_SUCCEEDED) for case in cases))

    def drain() -> int:
        return sum(iter(partial(handle, 3), 0))

    first, second = run_together(app, drain, drain)

    expire("inbox_messages")
    assert first + second + drain() == 12
    assert {state for state, _ in states().values()} == {"done"}
    happened = [events_of(case.payment.id).count("payment.succeeded") for case in cases]
    assert happened == [1] * 6
    assert_books_hold()


def test_events_and_answers_about_the_same_attempts_at_once(organisation: UUID, app: Flask) -> None:
    cases = [make_case("unknown") for _ in range(6)]
    arrive(*(event(case.attempt, EventKind.CHARGE_SUCCEEDED) for case in cases))

    def answer() -> None:
        for case in reversed(cases):
            tell_one(case.attempt, ResultKind.ACCEPT, gateway_ref=f"gw-{case.attempt.merchant_ref}")

    found = run_together(app, handle, answer)

    assert found == [6, None]
    assert {case_of(case.payment.id).attempt.state for case in cases} == {"succeeded"}
    assert_books_hold()


def test_another_organisations_events_are_left_alone(
    organisation: UUID, other_organisation: UUID
) -> None:
    case = make_case("pending")
    arrive(event(case.attempt, EventKind.CHARGE_SUCCEEDED))

    with transaction(other_organisation):
        assert handle_inbox(limit=10, policy=QUERY_POLICY, actor=CLERK, now=NOW) == 0
        assert execute("UPDATE inbox_messages SET state = 'done'") == 0

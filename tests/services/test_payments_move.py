"""A planned retry is moved by a person to another working day, once, and stays on record."""

from __future__ import annotations

from datetime import date
from typing import Any
from uuid import UUID

import pytest
from flask import Flask

from portal.db import acting_for, transaction
from portal.domain.batches import ItemOutcome
from portal.queries.payments import PaymentMissing, get_payment
from portal.queries.tables import ATTEMPT_TABLE, parse_request, read_page
from portal.services.payments import (
    MoveReasonInvalid,
    PaymentChanged,
    PaymentUnderWay,
    ResultKind,
    RetryDayInvalid,
    RetryNotMovable,
    move_retry,
)
from portal.sql import execute
from tests import factories
from tests.factories import BUSINESS_ON, CLERK, NOW
from tests.services.books import events_of, rows
from tests.services.collecting import case_of, make_case, retry, run_together, tell_one
from tests.services.test_payments_by_hand import assert_proofs_hold, planned, put_on

LATER = date(2026, 3, 25)
REASON = "The payer is paid on the 25th."


def move(payment: Any, day: date = LATER, **over: Any) -> None:
    with acting_for(factories.home.get()):
        move_retry(
            payment_id=payment.id,
            version=over.get("version", payment.version),
            day=day,
            reason=over.get("reason", REASON),
            on=BUSINESS_ON,
            actor=CLERK,
            now=NOW,
        )


def shown(payment_id: UUID) -> Any:
    with acting_for(factories.home.get()):
        return get_payment(payment_id)


def monitored() -> list[dict[str, Any]]:
    """Read the rows of the retry monitor."""
    with acting_for(factories.home.get()):
        asked = parse_request(ATTEMPT_TABLE, [], today=BUSINESS_ON, currency="EUR")
        page = read_page(ATTEMPT_TABLE, asked)
    places = ATTEMPT_TABLE.places()
    return [{name: row[place] for name, place in places.items()} for row in page.rows]


def test_a_planned_try_is_moved_and_made_on_the_new_day_only(organisation: UUID) -> None:
    case = planned()

    move(case.payment)

    after = case_of(case.payment.id)
    assert (after.payment.next_attempt_on, after.payment.version) == (
        LATER, case.payment.version + 1
    )  # fmt: skip
    assert (after.payment.state, after.invoice) == ("scheduled", case.invoice)
    (event,) = rows("SELECT * FROM events WHERE kind = 'payment.moved'")
    assert (event.subject_id, event.actor_name, event.reason) == (
        case.payment.id, CLERK.name, REASON
    )  # fmt: skip
    assert event.details == {
        "from": str(case.payment.next_attempt_on), "to": "2026-03-25", "attempts": 1
    }  # fmt: skip
    (early,) = retry(case.payment.id, on=case.payment.next_attempt_on)
    assert (early.outcome, early.code) == (ItemOutcome.FILTERED, "not_scheduled")
    (made,) = retry(case.payment.id, on=LATER)
    assert made.outcome is ItemOutcome.DONE
    assert case_of(case.payment.id).attempt.number == 2
    assert_proofs_hold()


def test_who_moved_it_is_said_as_long_as_the_plan_is_theirs(organisation: UUID) -> None:
    case = planned()
    before = shown(case.payment.id)
    assert (before.moved_by, before.moved_from) == (None, None)

    move(case.payment)

    moved = shown(case.payment.id)
    assert (moved.moved_by, moved.moved_from) == (CLERK.name, case.payment.next_attempt_on)
    (row,) = monitored()
    assert (row["next"], row["moved"]) == (LATER, CLERK.name)
    retry(case.payment.id, on=LATER)
    again = case_of(case.payment.id).attempt
    tell_one(factories.answer_attempt(again), ResultKind.DECLINE, reason_code="AM04")
    with transaction(organisation):
        # Even where the agreement happens to plan the same day once more.
        execute("UPDATE payments SET next_attempt_on = %s", (LATER,))
    assert shown(case.payment.id).moved_by is None
    assert [row["moved"] for row in monitored()] == [None, None]


def test_it_is_moved_again_from_where_it_stands(organisation: UUID) -> None:
    case = planned()
    move(case.payment)

    move(case_of(case.payment.id).payment, date(2026, 3, 20))

    assert shown(case.payment.id).moved_from == LATER
    assert events_of(case.payment.id).count("payment.moved") == 2


@pytest.mark.parametrize(
    ("day", "said"),
    [
        (date(2026, 3, 17), "2026-03-17 is in the past"),
        (date(2026, 3, 28), "Saturday, 2026-03-28; the next working day is Monday, 2026-03-30"),
        (date(2026, 4, 3), "Friday, 2026-04-03; the next working day is Tuesday, 2026-04-07"),
        (date(2026, 6, 17), "more than 90 days away; choose a day up to 2026-06-16"),
    ],
)
def test_a_day_that_does_not_do_is_refused_with_what_would(
    organisation: UUID, day: date, said: str
) -> None:
    case = planned()

    with pytest.raises(RetryDayInvalid, match=said) as refused:
        move(case.payment, day)

    assert refused.value.field == "day"
    assert case_of(case.payment.id) == case
    assert "payment.moved" not in events_of(case.payment.id)


def test_the_calendar_is_that_of_the_organisation(organisation: UUID) -> None:
    case = planned()
    spring_bank_holiday = date(2026, 5, 25)
    with transaction(organisation):
        execute("UPDATE organisations SET holiday_calendar = 'GB' WHERE id = %s", (organisation,))

    with pytest.raises(RetryDayInvalid, match="2026-05-26"):
        move(case.payment, spring_bank_holiday)


@pytest.mark.parametrize("day", [BUSINESS_ON, date(2026, 6, 16)])
def test_the_first_and_the_last_day_do(organisation: UUID, day: date) -> None:
    case = planned()
    move(case.payment, day)
    assert case_of(case.payment.id).payment.next_attempt_on == day


def test_the_same_day_is_no_move(organisation: UUID) -> None:
    case = planned()
    with pytest.raises(RetryNotMovable, match="already"):
        move(case.payment, case.payment.next_attempt_on)
    assert case_of(case.payment.id) == case


@pytest.mark.parametrize("reason", ["", "  \n ", "x" * 501, "a\x07b"])
def test_a_move_needs_a_reason(organisation: UUID, reason: str) -> None:
    case = planned()
    with pytest.raises(MoveReasonInvalid):
        move(case.payment, reason=reason)
    assert case_of(case.payment.id) == case


@pytest.mark.parametrize("state", ["created", "sending", "pending", "unknown"])
def test_what_is_under_way_is_not_moved(organisation: UUID, state: str) -> None:
    case = make_case(state)
    with pytest.raises(PaymentUnderWay, match="cannot be moved"):
        move(case.payment)
    assert case_of(case.payment.id) == case


def test_what_is_over_or_waits_for_a_person_is_not_moved(organisation: UUID) -> None:
    paid = make_case("succeeded")
    with pytest.raises(RetryNotMovable, match="Succeeded"):
        move(paid.payment)
    waiting = planned()
    put_on("outcome_unknown", waiting.payment.id)
    with pytest.raises(RetryNotMovable, match="waits for a person"):
        move(case_of(waiting.payment.id).payment)


def test_of_two_who_have_seen_the_same_one_moves(organisation: UUID, app: Flask) -> None:
    case = planned()

    def attempt(day: date) -> str:
        try:
            move(case.payment, day)
        except PaymentChanged:
            return "changed"
        return "moved"

    said = run_together(app, lambda: attempt(LATER), lambda: attempt(date(2026, 3, 26)))

    assert sorted(said) == ["changed", "moved"]
    assert case_of(case.payment.id).payment.version == case.payment.version + 1
    assert events_of(case.payment.id).count("payment.moved") == 1


def test_another_organisations_payment_does_not_exist(organisation: UUID) -> None:
    case = planned()
    rivertown = factories.make_organisation("rivertown")
    with pytest.raises(PaymentMissing), acting_for(rivertown):
        move_retry(
            payment_id=case.payment.id, version=case.payment.version, day=LATER, reason=REASON,
            on=BUSINESS_ON, actor=CLERK, now=NOW,
        )  # fmt: skip
    assert case_of(case.payment.id) == case

"""A gateway's own record against ours: each difference is a case while it lasts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from portal.db import acting_for
from portal.domain.cases import DIFFERENCE_KINDS, CaseKind
from portal.gateways.base import Effect, EffectState
from portal.ids import public_id
from portal.services.cases import (
    Limits,
    Watched,
    claim_comparisons,
    close_case,
    compare_record,
    watch,
)
from tests.factories import (
    BUSINESS_ON,
    CLERK,
    attempt_of,
    gateway_account_of,
    make_inbox_message,
    make_succeeded_payment,
)
from tests.services.books import events_of, rows
from tests.services.collecting import make_case

LATER = datetime(2026, 3, 19, 9, 30, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _here(organisation: UUID) -> Any:
    """Act for the harbour city."""
    with acting_for(organisation):
        yield


def collected() -> Any:
    """Collect an invoice of 119.00 and return the attempt."""
    return attempt_of(make_succeeded_payment())


def effect_of(attempt: Any, **over: Any) -> Effect:
    """Return what the gateway's record says about an attempt when nothing differs."""
    wanted = {
        "merchant_ref": attempt.merchant_ref,
        "payment_ref": public_id("payment", attempt.payment_id),
        "invoice_ref": "",
        "amount_minor": attempt.amount_minor,
        "currency": attempt.currency,
        "state": EffectState.SUCCEEDED,
        "gateway_ref": f"gw-{attempt.merchant_ref}",
        "business_date": BUSINESS_ON,
    }
    return Effect(**{**wanted, **over})


def compare(*effects: Effect, now: datetime = LATER) -> Watched:
    return compare_record(
        gateway_account_id=gateway_account_of().id, effects=effects, read_at=now, now=now
    )


def cases() -> list[Any]:
    return rows("SELECT * FROM cases ORDER BY opened_at, kind, id")


def test_two_records_that_agree_are_no_case() -> None:
    attempt = collected()
    make_case("pending")
    assert compare(effect_of(attempt)) == Watched(0, 0)
    assert cases() == []


def test_each_class_of_difference_is_a_case_with_its_money() -> None:
    unknown, short, returned, twice = (collected() for _ in range(4))
    found = compare(
        effect_of(short, amount_minor=11_000),
        effect_of(returned, state=EffectState.RETURNED),
        effect_of(twice),
        effect_of(twice, merchant_ref="again"),
        effect_of(twice, merchant_ref="stranger", payment_ref="pay_x", amount_minor=777),
    )

    told = {(one.kind, one.subject_type, one.subject_id): one for one in cases()}
    assert found == Watched(len(told), 0)
    assert {one.kind for one in told.values()} == set(DIFFERENCE_KINDS)
    assert {one.gateway_account_id for one in told.values()} == {gateway_account_of().id}
    amount = told[CaseKind.AMOUNT_DIFFERS, "attempt", short.id]
    assert (amount.amount_minor, amount.details) == (
        900, {"ours": "11900 EUR", "theirs": "11000 EUR"},
    )  # fmt: skip
    missing = told[CaseKind.MISSING_THERE, "attempt", unknown.id]
    assert (missing.amount_minor, missing.subject_name) == (11_900, unknown.merchant_ref)
    assert told[CaseKind.STATUS_DIFFERS, "attempt", returned.id].amount_minor == 11_900
    double = told[CaseKind.DUPLICATE, "payment", twice.payment_id]
    assert (double.amount_minor, double.details["theirs"]) == (11_900, "2 charges")
    strangers = [one for one in told.values() if one.kind == CaseKind.MISSING_HERE]
    assert {one.subject_name: one.amount_minor for one in strangers} == {
        "again": 11_900, "stranger": 777,
    }  # fmt: skip


def test_more_than_an_invoice_comes_to_is_another_amount() -> None:
    attempt = collected()
    compare(effect_of(attempt, amount_minor=20_000))
    (case, invoice) = sorted(cases(), key=lambda one: str(one.subject_type))
    assert (case.subject_type, case.amount_minor) == ("attempt", 8_100)
    assert (invoice.subject_type, invoice.amount_minor) == ("invoice", 8_100)


def test_a_difference_is_one_case_until_it_is_gone_and_a_new_one_after() -> None:
    attempt = collected()
    compare()
    compare(now=LATER + timedelta(days=1))
    (case,) = cases()
    assert (case.state, case.since_at) == ("open", LATER)

    assert compare(effect_of(attempt), now=LATER + timedelta(days=2)) == Watched(0, 1)
    assert compare(now=LATER + timedelta(days=3)) == Watched(1, 0)
    assert [one.state for one in cases()] == ["resolved", "open"]
    assert events_of(case.id) == ["case.opened", "case.resolved"]


def test_what_a_person_has_closed_stays_closed() -> None:
    collected()
    compare()
    (case,) = cases()
    close_case(case_id=case.id, reason="An old test of theirs.", actor=CLERK, now=LATER)
    assert compare(now=LATER + timedelta(days=1)) == Watched(0, 0)
    assert [one.state for one in cases()] == ["closed"]


def test_what_is_still_moving_is_compared_the_next_time() -> None:
    attempt = collected()
    (decided,) = rows("SELECT decided_at FROM payment_attempts WHERE id = %s", attempt.id)
    assert compare(now=decided.decided_at) == Watched(0, 0)
    message = make_inbox_message(content={"merchant_ref": attempt.merchant_ref})
    assert compare(effect_of(attempt, state=EffectState.RETURNED)) == Watched(0, 0)
    rows("UPDATE inbox_messages SET state = 'done' WHERE id = %s RETURNING id", message.id)
    assert compare(effect_of(attempt, state=EffectState.RETURNED)) == Watched(1, 0)


def test_the_watch_leaves_differences_alone_and_comparing_leaves_the_rest() -> None:
    collected()
    make_inbox_message(received_at=LATER - timedelta(hours=5))
    limits = Limits(24, 24, 1, 15, 300, 300, 300)
    assert watch(limits=limits, now=LATER) == Watched(1, 0)
    assert compare() == Watched(1, 0)
    assert watch(limits=limits, now=LATER) == Watched(0, 0)
    assert compare() == Watched(0, 0)


def test_accounts_are_compared_once_a_day_and_sooner_while_something_differs() -> None:
    account = gateway_account_of()
    created = account.created_at

    def claimed(**after: float) -> list[str]:
        return [one.code for one in claim_comparisons(now=created + timedelta(**after))]

    assert claimed(hours=23) == []
    assert claimed(hours=24) == ["harbour"]
    assert claimed(hours=25) == []
    collected()
    compare(now=created + timedelta(hours=25))
    assert claimed(hours=25, minutes=59) == []
    assert claimed(hours=26) == ["harbour"]
    assert claimed(hours=26) == []

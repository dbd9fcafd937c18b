"""The figures of the overview: each counts what it says, for the right days and currency."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date, timedelta
from typing import Any
from uuid import UUID

import pytest

from portal.db import acting_for, transaction
from portal.domain.dates import Period
from portal.domain.payments import AttemptState, PaymentMethod
from portal.queries.dashboard import (
    AGES,
    AttemptSum,
    DueSum,
    MessageFigures,
    MonthSum,
    OverdueSum,
    When,
    WorklistSum,
    count_messages,
    find_latest_day,
    sum_awaited,
    sum_collected,
    sum_fallen_due,
    sum_invoiced,
    sum_overdue,
    sum_worklists,
)
from portal.services.payments import ResultKind, record_payment
from portal.sql import execute
from tests.factories import (
    CLERK,
    NOW,
    Line,
    answer_attempt,
    attempt_of,
    make_credit_note,
    make_draft_invoice,
    make_issued_invoice,
    make_payment,
    make_succeeded_payment,
)

TODAY = date(2026, 3, 18)
FEBRUARY = Period(date(2026, 2, 1), date(2026, 3, 1))
MARCH = Period(date(2026, 3, 1), date(2026, 4, 1))
BOTH = Period(date(2026, 2, 1), date(2026, 4, 1))


@pytest.fixture
def here(organisation: UUID) -> Iterator[UUID]:
    with acting_for(organisation):
        yield organisation


def issue_on(day: date) -> Any:
    return make_issued_invoice(business_on=day, document_on=day)


def test_what_is_invoiced_counts_in_its_month_and_only_once_issued(here: UUID) -> None:
    for issued_on in (date(2026, 1, 31), date(2026, 2, 1), date(2026, 2, 28), date(2026, 3, 1)):
        issue_on(issued_on)
    make_draft_invoice()
    make_credit_note()
    voided = make_issued_invoice(lines=(Line(77_700),))
    with transaction():
        execute("UPDATE invoices SET state = 'voided' WHERE id = %s", (voided.id,))
    assert sum_invoiced(BOTH) == [
        MonthSum("EUR", date(2026, 2, 1), 2, 23_800),
        MonthSum("EUR", date(2026, 3, 1), 1, 11_900),
    ]
    assert sum_invoiced(FEBRUARY) == [MonthSum("EUR", date(2026, 2, 1), 2, 23_800)]


def test_what_is_collected_counts_on_the_day_it_was_started(here: UUID) -> None:
    invoice = issue_on(date(2026, 2, 2))
    record_payment(
        invoice_id=invoice.id,
        amount_minor=5_000,
        paid_on=date(2026, 2, 28),
        method=PaymentMethod.BY_HAND,
        reference="Receipt 7",
        actor=CLERK,
        now=NOW,
    )
    make_succeeded_payment()
    make_payment()
    assert sum_collected(BOTH) == [
        MonthSum("EUR", date(2026, 2, 1), 1, 5_000),
        MonthSum("EUR", date(2026, 3, 1), 1, 11_900),
    ]
    assert sum_collected(MARCH) == [MonthSum("EUR", date(2026, 3, 1), 1, 11_900)]


def test_what_fell_due_is_counted_with_what_is_open_of_it(here: UUID) -> None:
    make_succeeded_payment()
    make_issued_invoice()
    make_draft_invoice()
    make_credit_note()
    assert sum_fallen_due(BOTH) == [DueSum("EUR", date(2026, 3, 1), 2, 23_800, 11_900)]
    assert sum_fallen_due(Period(date(2026, 3, 1), date(2026, 3, 16))) == []


@pytest.mark.parametrize(("days", "at"), [(1, 0), (30, 0), (31, 1), (60, 1), (61, 2), (90, 2),
                                          (91, 3), (400, 3)])  # fmt: skip
def test_debt_has_an_age(here: UUID, days: int, at: int) -> None:
    invoice = make_issued_invoice()
    found = sum_overdue(today=invoice.due_on + timedelta(days=days), this=MARCH, before=FEBRUARY)
    assert found == [OverdueSum("EUR", AGES[at], When.THIS, 1, 11_900)]
    least, most = AGES[at].least_days, AGES[at].most_days
    assert least <= days
    assert most is None or days <= most


def test_what_is_due_today_paid_or_under_way_is_not_overdue(here: UUID) -> None:
    make_succeeded_payment()
    make_payment()
    make_credit_note()
    make_draft_invoice()
    invoice = make_issued_invoice()
    assert sum_overdue(today=invoice.due_on, this=MARCH, before=FEBRUARY) == []
    later = invoice.due_on + timedelta(days=1)
    assert [one.rows_count for one in sum_overdue(today=later, this=MARCH, before=FEBRUARY)] == [1]


def test_overdue_says_in_which_period_it_fell_due(here: UUID) -> None:
    days = (date(2026, 1, 2), date(2026, 2, 2), date(2026, 3, 2))
    for issued_on in days:
        issue_on(issued_on)
    found = sum_overdue(today=date(2026, 3, 20), this=MARCH, before=FEBRUARY)
    assert [(one.when, one.age.label) for one in found] == [
        (When.THIS, "1–30 days"),
        (When.BEFORE, "31–60 days"),
        (When.OTHER, "61–90 days"),
    ]


def test_worklists_and_unknown_outcomes_are_counted_by_period(here: UUID) -> None:
    answer_attempt(attempt_of(make_payment()), ResultKind.LOSE)
    answer_attempt(attempt_of(make_payment()), ResultKind.ACCEPT)
    waiting = make_payment()
    with transaction():
        execute("UPDATE payments SET worklist = 'needs_payer' WHERE id = %s", (waiting.id,))
    assert sum_worklists(this=MARCH, before=FEBRUARY) == [
        WorklistSum("EUR", "needs_payer", When.THIS, 1, 11_900)
    ]
    (found,) = sum_worklists(this=Period(MARCH.ends_on, date(2026, 5, 1)), before=MARCH)
    assert found.when is When.BEFORE
    assert sum_awaited(this=MARCH, before=FEBRUARY) == [
        AttemptSum("EUR", AttemptState.PENDING, When.THIS, 1, 11_900),
        AttemptSum("EUR", AttemptState.UNKNOWN, When.THIS, 1, 11_900),
    ]
    (_, other) = sum_awaited(this=FEBRUARY, before=Period(date(2026, 1, 1), FEBRUARY.starts_on))
    assert other.when is When.OTHER


def test_messages_are_counted_by_what_they_wait_for(here: UUID) -> None:
    assert count_messages() == MessageFigures(0, 0, 0, 0, 0)
    make_payment()
    parked = attempt_of(make_payment())
    with transaction():
        execute("UPDATE messages SET state = 'parked' WHERE aggregate_id = %s", (parked.id,))
        execute(
            "INSERT INTO messages (organisation_id, id, aggregate_id, sequence, kind, payload,"
            " gateway_account_id, state) SELECT organisation_id, gen_random_uuid(),"
            " gen_random_uuid(), 1, 'gateway.list_events', '{}', gateway_account_id, 'parked'"
            " FROM messages LIMIT 1"
        )
    assert count_messages() == MessageFigures(1, 1, 1, 0, 0)


def test_the_latest_day_is_that_of_an_invoice_or_a_payment(here: UUID) -> None:
    assert find_latest_day(currency="EUR") == (None, False)
    make_draft_invoice()
    assert find_latest_day(currency="EUR") == (None, True)
    issue_on(date(2026, 2, 2))
    assert find_latest_day(currency="EUR").latest_on == date(2026, 2, 2)
    make_succeeded_payment()
    assert find_latest_day(currency="EUR").latest_on == TODAY
    assert find_latest_day(currency="GBP").latest_on is None


def test_each_figure_is_one_statement_and_knows_no_other_organisation(
    here: UUID, other_organisation: UUID, statements: Callable[..., Any]
) -> None:
    make_succeeded_payment()
    answer_attempt(attempt_of(make_payment()), ResultKind.LOSE)
    make_issued_invoice()
    with acting_for(other_organisation), statements() as recorded:
        assert sum_invoiced(BOTH) == sum_collected(BOTH) == []
        assert sum_fallen_due(BOTH) == []
        assert sum_overdue(today=TODAY, this=MARCH, before=FEBRUARY) == []
        assert sum_worklists(this=MARCH, before=FEBRUARY) == []
        assert sum_awaited(this=MARCH, before=FEBRUARY) == []
        assert count_messages() == MessageFigures(0, 0, 0, 0, 0)
        assert find_latest_day(currency="EUR") == (None, False)
    assert recorded.count == 8

"""Cases: each cause opens one, only while it stands, and nobody else's."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from flask import Flask

from portal.clock import now_utc
from portal.db import acting_for, transaction
from portal.domain.cases import BOOK_KINDS, CASE_TEXTS, WORK_KINDS, CaseKind
from portal.domain.ledger import AccountKind
from portal.domain.states import MoveNotAllowed
from portal.gateways.base import ItemKind, PayoutItemReport, PayoutReport
from portal.queries.cases import CaseMissing, count_open_cases, get_case
from portal.services.brakes import pull_brake
from portal.services.cases import (
    CaseReasonInvalid,
    Limits,
    Watched,
    close_case,
    watch,
    watch_organisations,
)
from portal.services.settlements import record_bank_line, record_payout
from portal.sql import execute, fetch_plain
from tests.factories import (
    BUSINESS_ON,
    CLERK,
    attempt_of,
    bank_account_of,
    gateway_account_of,
    insert_row,
    make_inbox_message,
    make_run,
    make_succeeded_payment,
    read_row,
)
from tests.recording import Recording
from tests.services.books import events_of, post, rows
from tests.services.collecting import make_case
from tests.services.disputing import make_dispute
from tests.services.refunding import make_refund

LIMITS = Limits(24, 24, 1, 15, 3, 3, 14)
# A Wednesday three weeks after the factories bill.
LATER = datetime(2026, 4, 8, 9, 30, tzinfo=UTC)
Change = Callable[[], Any]


def look(now: datetime = LATER) -> Watched:
    """Look after the organisation that the test is about."""
    return watch(limits=LIMITS, now=now)


def cases(kind: CaseKind | None = None) -> list[Any]:
    return rows(
        "SELECT * FROM cases WHERE %s::text IS NULL OR kind = %s ORDER BY opened_at, id",
        kind, kind,
    )  # fmt: skip


def change(statement: str, *parameters: Any) -> None:
    assert rows(f"{statement} RETURNING id", *parameters)


def sent_attempt(state: str, *, hours: float) -> Any:
    """Make an attempt in a state that was sent so long ago."""
    attempt = make_case(state).attempt
    change(
        "UPDATE payment_attempts SET first_sent_at = %s WHERE id = %s",
        LATER - timedelta(hours=hours), attempt.id,
    )  # fmt: skip
    return attempt


def late_result() -> tuple[UUID, Change, Change]:
    attempt = sent_attempt("pending", hours=25)

    def state(value: str) -> Change:
        statement = "UPDATE payment_attempts SET state = %s WHERE id = %s"
        return lambda: change(statement, value, attempt.id)

    return attempt.id, state("declined"), state("pending")


def late_unknown() -> tuple[UUID, Change, Change]:
    attempt = sent_attempt("unknown", hours=25)

    def state(value: str) -> Change:
        statement = "UPDATE payment_attempts SET state = %s WHERE id = %s"
        return lambda: change(statement, value, attempt.id)

    return attempt.id, state("errored"), state("unknown")


def late_refund() -> tuple[UUID, Change, Change]:
    refund = make_refund("submitted")
    sent_at = LATER - timedelta(hours=25)
    change("UPDATE refunds SET first_sent_at = %s WHERE id = %s", sent_at, refund.id)

    def state(value: str) -> Change:
        statement = "UPDATE refunds SET state = %s WHERE id = %s"
        return lambda: change(statement, value, refund.id)

    return refund.id, state("failed"), state("submitted")


def dispute_due() -> tuple[UUID, Change, Change]:
    dispute = make_dispute()

    def respond_by(days: int) -> Change:
        statement = "UPDATE disputes SET respond_by = %s WHERE id = %s"
        return lambda: change(statement, LATER.date() + timedelta(days=days), dispute.id)

    respond_by(3)()
    return dispute.id, respond_by(4), respond_by(3)


def stuck_webhook() -> tuple[UUID, Change, Change]:
    message = make_inbox_message(state="parked", received_at=LATER - timedelta(hours=2))

    def state(value: str) -> Change:
        statement = "UPDATE inbox_messages SET state = %s WHERE id = %s"
        return lambda: change(statement, value, message.id)

    return message.id, state("done"), state("ready")


def stuck_run() -> tuple[UUID, Change, Change]:
    run = make_run(state="started", started_at=LATER - timedelta(minutes=20))
    with transaction(run.organisation_id):
        insert_row(
            "batch_chunks", organisation_id=run.organisation_id, run_id=run.id, number=0,
            state="ready", item_ids=[], items_count=0, sum_minor=0, population_hash=b"",
        )  # fmt: skip

    def state(value: str) -> Change:
        statement = "UPDATE batch_runs SET state = %s WHERE id = %s"
        return lambda: change(statement, value, run.id)

    return run.id, state("completed"), state("started")


def late_payout() -> tuple[UUID | None, Change, Change]:
    attempt = attempt_of(make_succeeded_payment())

    def state(value: str) -> Change:
        statement = "UPDATE payment_attempts SET state = %s WHERE id = %s"
        return lambda: change(statement, value, attempt.id)

    return None, state("returned"), state("succeeded")


def payout_on_its_way() -> tuple[UUID, Change, Change]:
    payout_id = pay_out(10_000)

    def state(value: str) -> Change:
        statement = "UPDATE settlements SET state = %s WHERE payout_id = %s"
        return lambda: change(statement, value, payout_id)

    return payout_id, state("closed"), state("balanced")


def old_suspense() -> tuple[UUID, Change, Change]:
    post(AccountKind.BANK, AccountKind.SUSPENSE, "EUR", 5_000)
    (account,) = rows("SELECT id FROM ledger_accounts WHERE kind = 'suspense'")
    return (
        account.id,
        lambda: post(AccountKind.SUSPENSE, AccountKind.BANK, "EUR", 5_000),
        lambda: post(AccountKind.BANK, AccountKind.SUSPENSE, "EUR", 5_000),
    )


CAUSES: dict[CaseKind, Callable[[], tuple[UUID | None, Change, Change]]] = {
    CaseKind.ACKNOWLEDGEMENT_LATE: late_result,
    CaseKind.UNKNOWN_OUTCOME_LATE: late_unknown,
    CaseKind.REFUND_LATE: late_refund,
    CaseKind.DISPUTE_DUE: dispute_due,
    CaseKind.WEBHOOK_STUCK: stuck_webhook,
    CaseKind.RUN_STUCK: stuck_run,
    CaseKind.PAYOUT_LATE: late_payout,
    CaseKind.PAYOUT_NOT_ON_BANK: payout_on_its_way,
    CaseKind.CLEARING_AGED: old_suspense,
}


def pay_out(net_minor: int, business_on: date = BUSINESS_ON) -> UUID:
    """Record a payout of the gateway."""
    account = gateway_account_of()
    report = PayoutReport(
        gateway_ref=f"payout-{net_minor}",
        business_date=business_on,
        currency=account.currency,
        gross_minor=net_minor,
        fee_minor=0,
        net_minor=net_minor,
        items=(PayoutItemReport(ItemKind.PAYMENT, "", "nobody's", net_minor, 0, net_minor),),
    )
    with transaction(account.organisation_id):
        payout_id = record_payout(
            gateway_account_id=account.id, report=report, actor=CLERK, now=LATER
        )
    assert payout_id is not None
    return payout_id


@pytest.fixture(autouse=True)
def _here(organisation: UUID) -> Any:
    """Act for the harbour city."""
    with acting_for(organisation):
        yield


def test_every_kind_that_is_watched_is_tried_here_and_explained() -> None:
    assert set(CAUSES) == {*WORK_KINDS, *BOOK_KINDS}
    assert set(CASE_TEXTS) == set(CaseKind)


@pytest.mark.parametrize("kind", CAUSES)
def test_a_cause_opens_one_case_which_resolves_and_comes_back_as_another(kind: CaseKind) -> None:
    subject_id, mend, break_again = CAUSES[kind]()

    look()
    look(LATER + timedelta(minutes=1))
    (first,) = cases(kind)
    assert (first.state, first.gone_at) == ("open", None)
    assert subject_id in (None, first.subject_id)
    assert first.opened_at == LATER

    mend()
    look(LATER + timedelta(minutes=2))
    look(LATER + timedelta(minutes=3))
    (resolved,) = cases(kind)
    assert (resolved.id, resolved.state) == (first.id, "resolved")
    assert resolved.gone_at == resolved.ended_at == LATER + timedelta(minutes=2)
    assert events_of(first.id) == ["case.opened", "case.resolved"]

    break_again()
    look(LATER + timedelta(minutes=4))
    again = cases(kind)
    assert [one.state for one in again] == ["resolved", "open"]
    assert again[1].subject_id == first.subject_id


@pytest.mark.parametrize("kind", CAUSES)
def test_what_a_person_has_closed_stays_closed_while_its_cause_goes_on(kind: CaseKind) -> None:
    _, mend, break_again = CAUSES[kind]()
    look()
    (case,) = cases(kind)

    close_case(case_id=case.id, reason=" Known to  the bank. ", actor=CLERK, now=LATER)
    look(LATER + timedelta(minutes=1))
    (closed,) = cases(kind)
    assert (closed.state, closed.reason, closed.closed_by, closed.gone_at) == (
        "closed", "Known to the bank.", "Ada Clerk", None,
    )  # fmt: skip

    mend()
    look(LATER + timedelta(minutes=2))
    (gone,) = cases(kind)
    assert (gone.state, gone.ended_at, gone.gone_at) == (
        "closed", LATER, LATER + timedelta(minutes=2),
    )  # fmt: skip
    break_again()
    look(LATER + timedelta(minutes=3))
    assert [one.state for one in cases(kind)] == ["closed", "open"]
    assert events_of(case.id) == ["case.opened", "case.closed"]


def test_what_is_not_late_yet_is_no_case() -> None:
    sent_attempt("pending", hours=-1)
    sent_attempt("unknown", hours=-1)
    make_inbox_message(received_at=LATER + timedelta(hours=23, minutes=1))
    make_inbox_message(received_at=LATER - timedelta(hours=5), state="done")
    make_run(state="started", started_at=LATER)
    post(AccountKind.BANK, AccountKind.SUSPENSE, "EUR", 5_000)
    make_succeeded_payment()
    change("UPDATE payment_attempts SET business_on = %s WHERE state = 'succeeded'", "2026-04-01")
    pay_out(10_000, date(2026, 4, 1))
    # Good Friday and Easter Monday are no days on which banks work.
    limits = LIMITS._replace(clearing_days=30)
    for day, opened in ((8, 0), (9, 2)):
        now = datetime(2026, 4, day, 9, 30, tzinfo=UTC)
        assert watch(limits=limits, now=now) == Watched(opened, 0)


def test_money_and_time_of_a_case_are_those_of_its_cause() -> None:
    attempt = sent_attempt("unknown", hours=30)
    for _ in range(2):
        make_succeeded_payment()
    pay_out(10_000)
    look()
    (unknown,) = cases(CaseKind.UNKNOWN_OUTCOME_LATE)
    assert (unknown.amount_minor, unknown.currency) == (11_900, "EUR")
    assert unknown.since_at == LATER - timedelta(hours=30)
    assert unknown.subject_name == attempt.merchant_ref
    (late,) = cases(CaseKind.PAYOUT_LATE)
    assert (late.amount_minor, late.subject_name) == (23_800, f"harbour, {BUSINESS_ON}")
    assert late.details == {"account": "harbour", "business_on": "2026-03-18", "rows": 2}
    (payout,) = cases(CaseKind.PAYOUT_NOT_ON_BANK)
    assert (payout.amount_minor, payout.subject_name) == (10_000, "payout-10000")
    assert payout.since_at.date() == BUSINESS_ON


def test_the_amount_of_an_open_case_follows_its_cause() -> None:
    make_succeeded_payment()
    look()
    make_succeeded_payment()
    look(LATER + timedelta(minutes=1))
    (case,) = cases(CaseKind.PAYOUT_LATE)
    assert (case.amount_minor, case.opened_at) == (23_800, LATER)


def test_a_payout_arrives_with_its_line_of_the_bank() -> None:
    pay_out(10_000)
    look()
    record_bank_line(
        bank_account_id=bank_account_of().id, bank_ref="B-1", booked_on=BUSINESS_ON,
        amount_minor=10_000, currency="EUR", reference="payout-10000", actor=CLERK, now=LATER,
    )  # fmt: skip
    assert look().resolved == 1


def test_an_account_is_old_by_what_came_in_first() -> None:
    post(AccountKind.BANK, AccountKind.SUSPENSE, "EUR", 5_000)
    post(AccountKind.BANK, AccountKind.SUSPENSE, "EUR", 2_000)
    look()
    (case,) = cases(CaseKind.CLEARING_AGED)
    assert (case.amount_minor, case.since_at.date()) == (7_000, BUSINESS_ON)
    assert case.details == {"balance_minor": 7_000}
    assert case.subject_name == "Suspense"
    post(AccountKind.SUSPENSE, AccountKind.BANK, "EUR", 4_000)
    look()
    (case,) = cases(CaseKind.CLEARING_AGED)
    assert (case.state, case.amount_minor) == ("open", 3_000)
    assert look(datetime(2026, 4, 1, 9, 30, tzinfo=UTC)).resolved == 1


def test_a_run_that_a_brake_holds_does_not_stand_still_by_mistake() -> None:
    stuck_run()
    look()
    pull_brake(
        reason="Month's end", hold_seconds=3600, job="invoice_issuing", actor=CLERK, now=now_utc()
    )
    assert look() == Watched(0, 1)


def test_without_the_books_money_is_left_alone() -> None:
    make_succeeded_payment()
    look()
    change("UPDATE payment_attempts SET state = 'returned' WHERE state = 'succeeded'")
    assert watch(limits=LIMITS, with_books=False, now=LATER) == Watched(0, 0)
    assert look() == Watched(0, 1)


def test_two_looks_at_once_open_one_case(app: Flask, organisation: UUID) -> None:
    for _ in range(20):
        make_inbox_message(received_at=LATER - timedelta(hours=2))
    ready = threading.Barrier(2)
    found: list[Watched] = []

    def work() -> None:
        with app.app_context(), acting_for(organisation):
            ready.wait(10)
            found.append(look())

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sum(one.opened for one in found) == len(cases()) == 20
    assert len(rows("SELECT id FROM events WHERE kind = 'case.opened'")) == 20


def test_each_organisation_has_its_own_cases(organisation: UUID, other_organisation: UUID) -> None:
    message = make_inbox_message(
        organisation_id=other_organisation, received_at=LATER - timedelta(hours=2)
    )
    assert look() == Watched(0, 0)
    assert watch_organisations(now=LATER) == 1
    assert cases() == []
    with acting_for(other_organisation):
        assert count_open_cases() == 1
        ((case_id,),) = fetch_plain("SELECT id FROM cases")
        assert get_case(case_id).subject_id == message.id
    with pytest.raises(CaseMissing):
        get_case(case_id)
    with pytest.raises(CaseMissing):
        close_case(case_id=case_id, reason="Mine?", actor=CLERK, now=LATER)


def test_organisations_are_looked_after_once_in_a_while(
    organisation: UUID, other_organisation: UUID
) -> None:
    make_succeeded_payment()
    assert watch_organisations(now=LATER) == 2
    assert len(cases(CaseKind.PAYOUT_LATE)) == 1
    assert watch_organisations(now=LATER + timedelta(seconds=59)) == 0
    make_inbox_message(received_at=LATER - timedelta(hours=2))
    change("UPDATE payment_attempts SET state = 'returned' WHERE state = 'succeeded'")
    assert watch_organisations(now=LATER + timedelta(seconds=60)) == 2
    # Money is looked after less often.
    assert [one.state for one in cases(CaseKind.PAYOUT_LATE)] == ["open"]
    assert len(cases(CaseKind.WEBHOOK_STUCK)) == 1
    assert watch_organisations(now=LATER + timedelta(seconds=601)) == 2
    assert [one.state for one in cases(CaseKind.PAYOUT_LATE)] == ["resolved"]


def test_an_organisation_that_breaks_keeps_no_other_from_being_looked_after(
    organisation: UUID, other_organisation: UUID
) -> None:
    with transaction(organisation):
        execute("UPDATE organisations SET zone = 'Nowhere/Else' WHERE id = %s", (organisation,))
    assert watch_organisations(now=LATER) == 1
    assert read_row("organisations", other_organisation).watched_at == LATER
    assert read_row("organisations", organisation).watched_at is None


@pytest.mark.parametrize("reason", ["", "  \n ", "x" * 501, "bell \a"])
def test_a_case_is_not_closed_without_a_reason(reason: str) -> None:
    late_unknown()
    look()
    (case,) = cases()
    with pytest.raises(CaseReasonInvalid):
        close_case(case_id=case.id, reason=reason, actor=CLERK, now=LATER)
    assert cases()[0].state == "open"


def test_a_case_ends_once() -> None:
    _, mend, _ = late_unknown()
    look()
    mend()
    look()
    (case,) = cases()
    with pytest.raises(MoveNotAllowed):
        close_case(case_id=case.id, reason="Too late", actor=CLERK, now=LATER)
    assert cases()[0].closed_by is None


def test_a_look_costs_the_same_whatever_it_finds(
    statements: Callable[[], AbstractContextManager[Recording]],
) -> None:
    stuck_webhook()
    with statements() as one:
        look()
    for _ in range(30):
        make_inbox_message(received_at=LATER - timedelta(hours=2))
    with statements() as many:
        assert look(LATER + timedelta(minutes=1)).opened == 30
    assert one.count == many.count == 4
    with statements() as none:
        assert look(LATER + timedelta(minutes=2)) == Watched(0, 0)
    assert none.count == 3

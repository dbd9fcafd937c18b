"""Emergency brakes: what they hold back, what goes on, and how they end."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from flask import Flask

from portal.db import acting_for, transaction
from portal.domain.brakes import BrakeState
from portal.domain.states import MoveNotAllowed
from portal.ids import new_id
from portal.queries.brakes import BrakeMissing, get_brake, list_holding_brakes
from portal.services.batches import claim_chunk, list_working_organisations
from portal.services.brakes import (
    BrakeHolds,
    BrakeReasonInvalid,
    BrakeScopeInvalid,
    BrakeTimeInvalid,
    pull_brake,
    release_brake,
)
from portal.sql import execute
from tests import factories
from tests.factories import CLERK, NOW, gateway_account_of, insert_row, make_run
from tests.services.books import rows
from tests.services.collecting import case_of, claim, expire, make_case, run_together, send

REASON = "The gateway answers oddly."


def pull(**over: Any) -> UUID:
    wanted: dict[str, Any] = {"reason": REASON, "hold_seconds": 3600, "actor": CLERK, "now": NOW}
    with acting_for(factories.home.get()):
        return pull_brake(**{**wanted, **over})


def release(brake_id: UUID) -> None:
    with acting_for(factories.home.get()):
        release_brake(brake_id=brake_id, actor=CLERK, now=NOW)


def run_out() -> None:
    """Let every brake have run out by the clock of the database."""
    with transaction(factories.home.get()):
        execute(
            "UPDATE brakes SET pulled_at = clock_timestamp() - interval '2 hours',"
            " expires_at = clock_timestamp() - interval '1 second' WHERE state = 'active'"
        )


def make_work(job: str = "invoice_issuing", *, organisation_id: UUID | None = None) -> Any:
    """Insert a run that works, with a free chunk."""
    run = make_run(job=job, state="started", organisation_id=organisation_id)
    with transaction(run.organisation_id):
        insert_row(
            "batch_chunks", organisation_id=run.organisation_id, run_id=run.id, number=1,
            item_ids=[new_id()], items_count=1, sum_minor=0, population_hash=b"",
        )  # fmt: skip
    return run


def lease(organisation_id: UUID) -> Any:
    return claim_chunk(organisation_id=organisation_id, worker="w", lease_seconds=30.0)


def write_errand(kind: str) -> Any:
    account = gateway_account_of()
    with transaction(account.organisation_id):
        return insert_row(
            "messages", organisation_id=account.organisation_id, id=new_id(),
            aggregate_id=new_id(), sequence=1, kind=kind, gateway_account_id=account.id, payload={},
        )  # fmt: skip


def test_a_brake_on_everything_holds_every_chunk_until_it_is_released(organisation: UUID) -> None:
    run = make_work()
    assert list_working_organisations() == [organisation]

    brake_id = pull()
    assert list_working_organisations() == []
    assert lease(organisation) is None
    assert rows("SELECT state, tries FROM batch_chunks") == [("ready", 0)]

    release(brake_id)
    assert list_working_organisations() == [organisation]
    assert lease(organisation).run_id == run.id
    (row,) = rows("SELECT state, released_by, pulled_by FROM brakes")
    assert tuple(row) == ("released", "Ada Clerk", "Ada Clerk")
    events = rows("SELECT kind, reason FROM events WHERE subject_id = %s ORDER BY id", brake_id)
    assert {tuple(one) for one in events} == {("brake.pulled", REASON), ("brake.released", None)}


def test_a_brake_on_a_job_holds_that_job_alone(organisation: UUID) -> None:
    make_work("invoice_issuing")
    other = make_work("payment_collection")

    pull(job="invoice_issuing")

    assert lease(organisation).run_id == other.id
    assert lease(organisation) is None
    assert list_working_organisations() == []


def test_a_brake_holds_nothing_of_another_organisation(
    organisation: UUID, other_organisation: UUID
) -> None:
    make_work(organisation_id=other_organisation)
    pull()

    assert list_working_organisations() == [other_organisation]
    assert lease(other_organisation) is not None
    with acting_for(other_organisation):
        assert list_holding_brakes() == []


@pytest.mark.parametrize("is_narrow", [False, True])
def test_no_order_is_claimed_while_a_brake_holds_but_questions_are(
    organisation: UUID, *, is_narrow: bool
) -> None:
    case = make_case("created")
    errands = [write_errand("gateway.close_day"), write_errand("gateway.list_events")]
    brake_id = pull(gateway_account_id=gateway_account_of().id if is_narrow else None)

    assert [each.id for each in claim()] == [errands[1].id]
    assert rows("SELECT tries FROM messages WHERE aggregate_id = %s", case.attempt.id) == [(0,)]

    release(brake_id)
    assert {each.kind for each in claim()} == {"gateway.charge", "gateway.close_day"}


def test_a_brake_on_a_job_holds_no_message(organisation: UUID) -> None:
    make_case("created")
    pull(job="payment_collection")

    assert [each.kind for each in claim()] == ["gateway.charge"]


def test_a_question_overtakes_the_order_that_a_brake_holds_back(organisation: UUID) -> None:
    case = make_case("unknown")
    with transaction(organisation):
        execute("UPDATE messages SET state = 'done'")
        for sequence, kind in ((2, "gateway.charge"), (3, "gateway.query")):
            insert_row(
                "messages", organisation_id=organisation, id=new_id(), sequence=sequence, kind=kind,
                aggregate_id=case.attempt.id, payload={},
                gateway_account_id=case.attempt.gateway_account_id,
            )  # fmt: skip
    pull()

    assert [each.kind for each in claim()] == ["gateway.query"]


def test_what_a_dead_worker_was_sending_becomes_unknown_and_is_not_sent(organisation: UUID) -> None:
    case = make_case("created")
    assert len(send(claim()).orders) == 1
    pull()
    assert claim() == [], "its worker may still live"
    expire("messages")

    sending = send(claim())

    assert (len(sending.orders), len(sending.lost)) == (0, 1)
    assert case_of(case.payment.id).attempt.state == "sending"


def test_a_brake_runs_out_by_the_clock_of_the_database(organisation: UUID) -> None:
    make_work()
    brake_id = pull()
    run_out()

    assert list_working_organisations() == [organisation]
    with acting_for(organisation):
        assert list_holding_brakes() == []
        assert get_brake(brake_id).state is BrakeState.EXPIRED
    with pytest.raises(MoveNotAllowed):
        release(brake_id)


def test_the_same_scope_is_braked_once_and_again_when_it_ran_out(
    organisation: UUID, app: Flask
) -> None:
    account_id = gateway_account_of().id
    pull(gateway_account_id=account_id)
    pull(job="ledger_check")
    found = run_together(app, pull, pull)

    assert sorted(isinstance(each, UUID) for each in found) == [False, True]
    (refused,) = [each for each in found if not isinstance(each, UUID)]
    assert isinstance(refused, BrakeHolds)
    assert REASON in refused.message
    for scope in ({"gateway_account_id": account_id}, {"job": "ledger_check"}):
        with pytest.raises(BrakeHolds):
            pull(**scope)
    run_out()
    pull(gateway_account_id=account_id)
    states = rows("SELECT state, count(*) FROM brakes GROUP BY state ORDER BY state")
    assert [tuple(row) for row in states] == [("active", 1), ("expired", 3)]
    assert rows("SELECT count(*) FROM events WHERE kind = 'brake.expired'") == [(3,)]


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"reason": "  "}, BrakeReasonInvalid),
        ({"reason": "x" * 501}, BrakeReasonInvalid),
        ({"reason": "a\0b"}, BrakeReasonInvalid),
        ({"hold_seconds": 59}, BrakeTimeInvalid),
        ({"hold_seconds": 32 * 86_400}, BrakeTimeInvalid),
        ({"job": "coffee"}, BrakeScopeInvalid),
        ({"gateway_account_id": UUID(int=1)}, BrakeScopeInvalid),
        ({"gateway_account_id": UUID(int=1), "job": "ledger_check"}, BrakeScopeInvalid),
    ],
)
def test_what_makes_no_brake_is_refused(
    organisation: UUID, wrong: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        pull(**wrong)

    assert rows("SELECT count(*) FROM brakes") == [(0,)]


def test_the_account_and_the_brake_of_another_organisation_are_not_there(
    organisation: UUID, other_organisation: UUID
) -> None:
    theirs = gateway_account_of(other_organisation)
    with pytest.raises(BrakeScopeInvalid):
        pull(gateway_account_id=theirs.id)
    with acting_for(other_organisation):
        brake_id = pull_brake(reason=REASON, hold_seconds=3600, actor=CLERK, now=NOW)

    with pytest.raises(BrakeMissing):
        release(brake_id)


def test_a_brake_holds_for_as_long_as_was_said(organisation: UUID) -> None:
    brake_id = pull(hold_seconds=7200)
    with acting_for(organisation):
        brake = get_brake(brake_id)
    assert brake.expires_at - brake.pulled_at == timedelta(hours=2)

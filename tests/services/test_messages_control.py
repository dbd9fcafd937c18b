"""What a person decides about messages, and what the queue then makes of it."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from portal.db import acting_for, transaction
from portal.domain.states import MoveNotAllowed
from portal.ids import new_id
from portal.queries.messages import MessageMissing, get_message, list_deliveries, measure_lags
from portal.services.messages import (
    DeliveryOutcome,
    InboxMessageUnmovable,
    MessageNeeded,
    MessageNeedless,
    MessageUnderWay,
    WithdrawReasonInvalid,
    finish_deliveries,
    handle_message_again,
    send_message_again,
    withdraw_message,
)
from portal.services.payments import handle_inbox
from portal.sql import execute
from tests import factories
from tests.factories import CLERK, NOW, QUERY_POLICY, gateway_account_of, insert_row
from tests.services.books import rows
from tests.services.collecting import case_of, claim, expire, make_case, messages_of, send


def write(kind: str = "gateway.list_events", **over: Any) -> Any:
    account = gateway_account_of()
    columns = {
        "organisation_id": account.organisation_id, "id": new_id(), "aggregate_id": new_id(),
        "sequence": 1, "kind": kind, "gateway_account_id": account.id, "payload": {},
    }  # fmt: skip
    with transaction(account.organisation_id):
        return insert_row("messages", **{**columns, **over})


def message_of(attempt: Any) -> Any:
    return rows("SELECT * FROM messages WHERE aggregate_id = %s", attempt.id)[-1]


def state_of(message: Any) -> str:
    (row,) = rows("SELECT state FROM messages WHERE id = %s", message.id)
    return str(row.state)


def again(message: Any) -> None:
    with acting_for(factories.home.get()):
        send_message_again(message_id=message.id, actor=CLERK, now=NOW)


def withdraw(message: Any, reason: str = "asked for by hand") -> None:
    with acting_for(factories.home.get()):
        withdraw_message(message_id=message.id, reason=reason, actor=CLERK, now=NOW)


def finish(*outcomes: DeliveryOutcome) -> None:
    with transaction(factories.home.get()):
        finish_deliveries(outcomes, now=NOW)


def events() -> list[tuple[str, str | None]]:
    found = rows("SELECT kind, reason FROM events WHERE subject_type LIKE '%%message' ORDER BY id")
    return [tuple(row) for row in found]


def test_a_parked_message_goes_back_with_as_many_tries_as_a_new_one(organisation: UUID) -> None:
    message = write(state="parked", tries=8, last_error="HTTP 503")

    again(message)

    (claimed,) = claim()
    assert (claimed.id, claimed.tries, claimed.tries_counted) == (message.id, 9, 1)
    assert events() == [("message.released", None)]
    finish(DeliveryOutcome(claimed, "failed", is_parked=True, error="HTTP 503"))
    with acting_for(organisation):
        assert [each.try_number for each in list_deliveries(message.id)] == [9]


def test_a_waiting_message_is_brought_forward(organisation: UUID) -> None:
    message = write()
    (claimed,) = claim()
    finish(DeliveryOutcome(claimed, "failed", retry_seconds=3600.0, error="HTTP 503"))
    assert claim() == []

    again(message)

    assert [each.id for each in claim()] == [message.id]
    assert events() == [("message.brought_forward", None)]


def test_nobody_touches_what_a_worker_is_delivering(organisation: UUID) -> None:
    message = write()
    (claimed,) = claim()

    for decide in (again, withdraw):
        with pytest.raises(MessageUnderWay):
            decide(message)

    finish(DeliveryOutcome(claimed, "succeeded"))
    assert state_of(message) == "done"
    assert events() == []


def test_a_lease_that_ran_out_is_nobodys(organisation: UUID) -> None:
    message = write()
    claim()
    expire("messages")

    again(message)

    assert [each.tries for each in claim()] == [2]


@pytest.mark.parametrize("state", ["done", "will_not_send"])
def test_what_is_over_is_neither_sent_nor_withdrawn(organisation: UUID, state: str) -> None:
    message = write(state=state)

    for decide in (again, withdraw):
        with pytest.raises(MoveNotAllowed):
            decide(message)

    assert state_of(message) == state


@pytest.mark.parametrize("state", ["ready", "parked"])
def test_what_waits_or_is_parked_can_be_withdrawn_with_a_reason(
    organisation: UUID, state: str
) -> None:
    message = write(state=state)
    with pytest.raises(WithdrawReasonInvalid):
        withdraw(message, " ")

    withdraw(message)

    assert state_of(message) == "will_not_send"
    assert events() == [("message.withdrawn", "asked for by hand")]
    assert claim() == []


def test_the_order_of_an_attempt_that_waits_for_it_is_not_withdrawn(organisation: UUID) -> None:
    case = make_case("created")

    with pytest.raises(MessageNeeded):
        withdraw(message_of(case.attempt))

    assert messages_of(case.attempt) == [(1, "gateway.charge", "ready")]


def test_the_order_of_an_attempt_that_is_over_is_not_sent_again_but_withdrawn(
    organisation: UUID,
) -> None:
    case = make_case("errored")
    message = message_of(case.attempt)
    with transaction(organisation):
        execute("UPDATE messages SET state = 'parked'")

    with pytest.raises(MessageNeedless, match="Not executed"):
        again(message)
    withdraw(message)

    assert state_of(message) == "will_not_send"


def test_an_order_whose_outcome_is_unknown_is_asked_for_and_not_sent(organisation: UUID) -> None:
    case = make_case("unknown")
    message = message_of(case.attempt)
    with transaction(organisation):
        execute("UPDATE messages SET state = 'parked'")
        execute("UPDATE payment_attempts SET next_query_at = clock_timestamp() + interval '1 day'")

    again(message)
    sending = send(claim())

    assert (sending.orders, sending.lost, sending.needless) == ([], [], [message.id])
    assert rows("SELECT next_query_at <= clock_timestamp() FROM payment_attempts") == [(True,)]
    assert case_of(case.payment.id).attempt.state == "unknown"


def test_messages_of_others_are_not_there(organisation: UUID, other_organisation: UUID) -> None:
    message = write(state="parked")
    arrived = factories.make_inbox_message(state="parked")

    with acting_for(other_organisation):
        with pytest.raises(MessageMissing):
            send_message_again(message_id=message.id, actor=CLERK, now=NOW)
        with pytest.raises(MessageMissing):
            withdraw_message(message_id=message.id, reason="x", actor=CLERK, now=NOW)
        with pytest.raises(MessageMissing):
            handle_message_again(inbox_message_id=arrived.id, actor=CLERK, now=NOW)
        with pytest.raises(MessageMissing):
            get_message(message.id)
    assert state_of(message) == "parked"


def test_a_parked_arrival_is_handled_once_its_attempt_is_there(organisation: UUID) -> None:
    case = make_case("pending")
    arrived = factories.make_inbox_message(state="parked", tries=8, last_error="not ours")
    with transaction(organisation):
        execute(
            "UPDATE inbox_messages SET content = content || jsonb_build_object('merchant_ref',"
            " %s::text, 'gateway_ref', %s::text)",
            (case.attempt.merchant_ref, case.attempt.gateway_ref),
        )

    with acting_for(organisation):
        handle_message_again(inbox_message_id=arrived.id, actor=CLERK, now=NOW)
        handled = handle_inbox(limit=10, policy=QUERY_POLICY, actor=CLERK, now=NOW)
        with pytest.raises(InboxMessageUnmovable):
            handle_message_again(inbox_message_id=arrived.id, actor=CLERK, now=NOW)

    assert handled == 1
    assert case_of(case.payment.id).attempt.state == "succeeded"
    assert events() == [("inbox_message.released", None)]


def test_a_form_of_newer_code_waits_for_it_untouched(organisation: UUID) -> None:
    aggregate_id = new_id()
    newer = write(payload_version=2, aggregate_id=aggregate_id)
    follower = write(aggregate_id=aggregate_id, sequence=2)
    other = write()

    assert [each.id for each in claim()] == [other.id]
    assert [state_of(each) for each in (newer, follower)] == ["ready", "ready"]
    assert rows("SELECT tries FROM messages WHERE id = %s", newer.id) == [(0,)]


def test_lags_say_how_late_the_oldest_is(organisation: UUID) -> None:
    with acting_for(organisation):
        assert set(measure_lags()) == {None}
    message = write()
    with transaction(organisation):
        execute(
            "UPDATE messages SET next_at = clock_timestamp() - interval '1 hour' WHERE id = %s",
            (message.id,),
        )
    write()

    with acting_for(organisation):
        lags = measure_lags()

    assert lags.message_seconds is not None
    assert 3600 <= lags.message_seconds < 3700
    assert lags[1:] == (None, None, None)

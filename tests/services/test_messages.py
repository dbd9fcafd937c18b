from collections.abc import Callable
from datetime import date, timedelta
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from flask import Flask

from portal.db import transaction
from portal.domain.messages import MessageKind
from portal.ids import new_id
from portal.services.messages import (
    BREAKER_TROUBLES,
    Claimed,
    DeliveryOutcome,
    events_cursor,
    finish_deliveries,
    list_due_accounts,
    list_inbox_organisations,
    list_query_organisations,
    note_health,
    request_events,
    request_missing_events,
    request_payouts,
    store_events,
    withdraw_messages,
)
from portal.sql import execute
from tests import factories
from tests.factories import NOW, gateway_account_of, insert_row
from tests.services.books import rows
from tests.services.collecting import claim, expire, run_together

ON = date(2026, 3, 18)


@pytest.fixture
def account(organisation: UUID) -> Any:
    return gateway_account_of()


def write(account: Any, *, aggregate_id: UUID | None = None, sequence: int = 1) -> Any:
    with transaction(account.organisation_id):
        return insert_row(
            "messages",
            organisation_id=account.organisation_id,
            id=new_id(),
            aggregate_id=aggregate_id or new_id(),
            sequence=sequence,
            kind=MessageKind.CHARGE.value,
            gateway_account_id=account.id,
            payload={},
        )


def finish(*outcomes: DeliveryOutcome) -> set[UUID]:
    with transaction(factories.home.get()):
        return finish_deliveries(outcomes, now=NOW)


def note(account: Any, *, good: int = 0, bad: int = 0) -> None:
    with transaction(factories.home.get()):
        note_health(gateway_account_id=account.id, good=good, bad=bad)


def state_of(message: Any) -> Any:
    (row,) = rows("SELECT * FROM messages WHERE id = %s", message.id)
    return row


def due_codes() -> list[str]:
    return [code for _, _, code, _ in list_due_accounts()]


def test_of_one_aggregate_only_the_first_waiting_message_is_claimed(account: Any) -> None:
    aggregate_id = new_id()
    chain = [write(account, aggregate_id=aggregate_id, sequence=place) for place in (1, 2, 3)]
    other = write(account)

    first = claim()
    again = claim()
    finish(*(DeliveryOutcome(each, "succeeded") for each in first))
    second = claim()

    assert {each.id for each in first} == {chain[0].id, other.id}
    assert again == []
    assert [each.id for each in second] == [chain[1].id]
    assert [(each.sequence, each.tries, each.token) for each in second] == [(2, 1, 1)]


def test_a_message_that_waits_for_its_retry_holds_back_its_followers(account: Any) -> None:
    aggregate_id = new_id()
    write(account, aggregate_id=aggregate_id)
    write(account, aggregate_id=aggregate_id, sequence=2)
    (first,) = claim()

    finish(DeliveryOutcome(first, "not_sent", retry_seconds=60.0))

    assert claim() == []


def test_a_lease_that_ran_out_is_claimed_anew_and_the_old_holder_is_fenced(account: Any) -> None:
    message = write(account)
    (old,) = claim()
    expire("messages")
    (new,) = claim()
    assert (old.token, new.token, new.tries) == (1, 2, 2)

    assert finish(DeliveryOutcome(old, "succeeded")) == set()
    assert state_of(message).state == "ready"
    assert finish(DeliveryOutcome(new, "succeeded")) == {message.id}
    assert state_of(message).state == "done"
    assert finish(DeliveryOutcome(new, "succeeded")) == set()
    tries = rows("SELECT try_number, outcome FROM message_deliveries ORDER BY try_number")
    assert [tuple(row) for row in tries] == [(1, "succeeded"), (2, "succeeded")]


def test_each_outcome_leaves_its_state(account: Any) -> None:
    for _ in range(3):
        write(account)
    done, again, parked = claim()

    finish(
        DeliveryOutcome(done, "pending", http_status=202),
        DeliveryOutcome(again, "not_sent", retry_seconds=30.0, error="no connection"),
        DeliveryOutcome(parked, "not_sent", is_parked=True, error="given up"),
    )

    assert [state_of(each).state for each in (done, again, parked)] == ["done", "ready", "parked"]
    assert state_of(again).last_error == "no connection"
    (row,) = rows(
        "SELECT extract(epoch FROM next_at - clock_timestamp()) AS wait FROM messages"
        " WHERE id = %s",
        again.id,
    )
    assert 0 < row.wait <= 30
    assert claim() == []


def test_the_oldest_due_messages_come_first_and_no_more_than_the_limit(account: Any) -> None:
    messages = [write(account) for _ in range(4)]
    with transaction(account.organisation_id):
        execute(
            "UPDATE messages SET next_at = clock_timestamp() - interval '1 hour' WHERE id = %s",
            (messages[3].id,),
        )
        execute(
            "UPDATE messages SET next_at = clock_timestamp() + interval '1 hour' WHERE id = %s",
            (messages[0].id,),
        )

    first = claim(limit=2)
    rest = claim(limit=2)

    assert {each.id for each in first} >= {messages[3].id}
    assert {each.id for each in [*first, *rest]} == {each.id for each in messages[1:]}


def test_two_threads_never_claim_the_same_message(account: Any, app: Flask) -> None:
    wanted = {write(account).id for _ in range(30)}

    def drain() -> list[Claimed]:
        claimed: list[Claimed] = []
        while found := claim(limit=4):
            claimed += found
        return claimed

    first, second = run_together(app, drain, drain)

    ids = [each.id for each in [*first, *second]]
    assert sorted(ids) == sorted(wanted)


def test_enough_troubles_in_a_row_open_the_breaker(account: Any) -> None:
    write(account)
    note(account, bad=BREAKER_TROUBLES - 1)
    assert due_codes() == ["harbour"]
    note(account, good=1, bad=3)
    note(account, bad=BREAKER_TROUBLES - 1)
    assert due_codes() == ["harbour"], "a success between begins the count anew"

    note(account, bad=1)

    assert due_codes() == []


def test_an_open_breaker_lets_one_probe_through_and_a_success_closes_it(
    account: Any, app: Flask
) -> None:
    for _ in range(5):
        write(account)
    note(account, bad=BREAKER_TROUBLES)
    assert claim() == [], "it is open"
    expire("gateway_accounts", "open_until")
    assert due_codes() == ["harbour"]

    probes = run_together(app, claim, claim, claim)

    assert sorted(len(each) for each in probes) == [0, 0, 1]
    assert due_codes() == [], "one probe is enough for a while"
    note(account, bad=1)
    expire("gateway_accounts", "open_until")
    assert len(claim()) == 1
    note(account, good=1)
    assert len(claim()) == 3
    assert (gateway_account_of().troubles_in_a_row, gateway_account_of().open_until) == (0, None)


def test_health_without_change_writes_nothing(account: Any) -> None:
    before = rows("SELECT xmin FROM gateway_accounts")

    note(account, good=5)

    assert rows("SELECT xmin FROM gateway_accounts") == before


def test_what_need_not_be_sent_is_withdrawn(account: Any) -> None:
    message = write(account)
    (claimed,) = claim()
    with transaction(account.organisation_id):
        withdraw_messages([claimed.id])
        withdraw_messages([])

    assert state_of(message).state == "will_not_send"
    assert finish(DeliveryOutcome(claimed, "succeeded")) == set()
    assert state_of(message).state == "will_not_send"


@pytest.mark.parametrize(
    ("ask", "kind", "payload"),
    [
        (
            partial(request_payouts, business_on=ON),
            "gateway.close_day",
            {"business_on": "2026-03-18"},
        ),
        (request_events, "gateway.list_events", {}),
    ],
)
def test_an_errand_waits_once(
    account: Any, ask: Callable[..., None], kind: str, payload: dict[str, str]
) -> None:
    for _ in range(2):
        with transaction(account.organisation_id):
            ask(gateway_account_ids=[account.id])
            ask(gateway_account_ids=[])

    (message,) = rows("SELECT * FROM messages")
    assert (message.kind, message.payload) == (kind, payload)
    with transaction(account.organisation_id):
        execute("UPDATE messages SET state = 'done'")
        ask(gateway_account_ids=[account.id])
    assert len(rows("SELECT id FROM messages")) == 2


def test_payouts_of_two_dates_are_two_errands(account: Any) -> None:
    with transaction(account.organisation_id):
        for on in (ON, ON + timedelta(days=1)):
            request_payouts(gateway_account_ids=[account.id], business_on=on)

    assert len(rows("SELECT id FROM messages")) == 2


def test_missed_events_are_asked_for_after_a_while_only(account: Any) -> None:
    def ask(now: Any) -> None:
        with transaction(account.organisation_id):
            request_missing_events(gateway_account_ids=[account.id], every_seconds=900.0, now=now)
            execute("UPDATE messages SET state = 'done'")

    ask(NOW)
    (first,) = rows("SELECT created_at FROM messages")
    ask(first.created_at + timedelta(seconds=899))
    assert len(rows("SELECT id FROM messages")) == 1
    ask(first.created_at + timedelta(seconds=901))
    assert len(rows("SELECT id FROM messages")) == 2


def test_the_cursor_is_kept_with_the_events_before_it(account: Any) -> None:
    with transaction(account.organisation_id):
        assert events_cursor(gateway_account_id=account.id) is None
        store_events(gateway_account_id=account.id, events=[], raws=[], now=NOW, cursor="17")

    with transaction(account.organisation_id):
        assert events_cursor(gateway_account_id=account.id) == "17"


def test_sweeps_name_only_organisations_with_something_due(
    account: Any, other_organisation: UUID
) -> None:
    assert (due_codes(), list_inbox_organisations(), list_query_organisations()) == ([], [], [])
    theirs = gateway_account_of(other_organisation)
    write(theirs)

    assert [row[:3] for row in list_due_accounts()] == [
        (other_organisation, theirs.id, "rivertown")
    ]
    with transaction(other_organisation):
        execute("UPDATE messages SET next_at = clock_timestamp() + interval '1 hour'")
    assert due_codes() == []
    with transaction(other_organisation):
        execute("UPDATE messages SET next_at = clock_timestamp()")
        execute("UPDATE gateway_accounts SET is_active = false")
    assert due_codes() == []


def test_a_sweep_inside_a_transaction_is_refused(account: Any) -> None:
    with transaction(account.organisation_id):
        with pytest.raises(RuntimeError, match="a transaction of its own"):
            list_due_accounts()
        assert gateway_account_of().id == account.id, "the transaction goes on as it was"

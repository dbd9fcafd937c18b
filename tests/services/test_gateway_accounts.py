"""The rate of a gateway account: set within bounds, as it was seen, and on record."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from flask import Flask

from portal.db import acting_for, transaction
from portal.domain.gateway_accounts import AccountRate, BreakerState
from portal.queries.gateway_accounts import (
    AccountStateRow,
    GatewayAccountMissing,
    get_account_state,
    list_account_states,
)
from portal.services.brakes import pull_brake
from portal.services.gateway_accounts import RateChanged, RateInvalid, set_account_rate
from portal.sql import execute
from tests import factories
from tests.factories import CLERK, NOW, gateway_account_of, read_row
from tests.services.books import rows
from tests.services.collecting import claim, run_together
from tests.services.test_messages_rate import write_many

SLOW = AccountRate(Decimal("2.5"), 10)


@pytest.fixture
def account(organisation: UUID) -> Any:
    return gateway_account_of()


def set_rate(account: Any, rate: AccountRate, seen: AccountRate | None = None) -> None:
    with acting_for(factories.home.get()):
        set_account_rate(gateway_account_id=account.id, rate=rate, seen=seen, actor=CLERK, now=NOW)


def state_of(account: Any) -> AccountStateRow:
    with acting_for(factories.home.get()):
        return get_account_state(account.id)


def change(statement: str) -> None:
    with transaction(factories.home.get()):
        execute(f"UPDATE gateway_accounts SET {statement}")


def test_a_rate_holds_for_the_next_messages(account: Any) -> None:
    write_many(account, 50)

    set_rate(account, SLOW)

    row = read_row("gateway_accounts", account.id)
    assert (row.rate_per_second, row.burst, row.tokens) == (2.5, 10, 10)
    assert state_of(account).rate == SLOW
    assert len(claim(limit=50)) == 10
    (event,) = rows("SELECT * FROM events WHERE kind = 'gateway_account.rate_changed'")
    assert (event.subject_id, event.actor_name) == (account.id, CLERK.name)
    assert event.details == {
        "from": {"per_second": "1000", "burst": 2000}, "to": {"per_second": "2.5", "burst": 10}
    }  # fmt: skip


def test_what_was_used_up_is_not_given_back(account: Any) -> None:
    change("rate_per_second = 0.001, burst = 100, tokens = 3, refilled_at = clock_timestamp()")

    set_rate(account, AccountRate(Decimal("0.001"), 1_000))

    assert state_of(account).calls_left == 3


def test_a_rest_that_the_gateway_asked_for_goes_on(account: Any) -> None:
    change("tokens = 0, refilled_at = clock_timestamp() + interval '1 hour'")
    before = state_of(account)

    set_rate(account, AccountRate(Decimal(100_000), 1_000_000))

    after = state_of(account)
    assert before.rests_until is not None
    assert (after.rests_until, after.calls_left) == (before.rests_until, 0)


@pytest.mark.parametrize(
    ("rate", "field"),
    [
        (AccountRate(Decimal(0), 10), "per_second"),
        (AccountRate(Decimal(-1), 10), "per_second"),
        (AccountRate(Decimal("0.0005"), 10), "per_second"),
        (AccountRate(Decimal("1.00001"), 10), "per_second"),
        (AccountRate(Decimal(100_001), 10), "per_second"),
        (AccountRate(Decimal("NaN"), 10), "per_second"),
        (AccountRate(Decimal("Infinity"), 10), "per_second"),
        (AccountRate(Decimal(1), 0), "burst"),
        (AccountRate(Decimal(1), 1_000_001), "burst"),
    ],
)
def test_a_rate_beyond_the_bounds_is_refused(account: Any, rate: AccountRate, field: str) -> None:
    with pytest.raises(RateInvalid) as refused:
        set_rate(account, rate)
    assert refused.value.field == field
    assert read_row("gateway_accounts", account.id) == account


def test_the_same_rate_is_no_change(account: Any) -> None:
    set_rate(account, AccountRate(Decimal(1000), 2000))
    assert rows("SELECT id FROM events WHERE kind = 'gateway_account.rate_changed'") == []


def test_of_two_who_have_seen_the_same_one_changes(account: Any, app: Flask) -> None:
    seen = state_of(account).rate

    def attempt(burst: int) -> str:
        try:
            set_rate(account, AccountRate(Decimal(5), burst), seen)
        except RateChanged:
            return "refused"
        return "changed"

    said = run_together(app, lambda: attempt(10), lambda: attempt(20))

    assert sorted(said) == ["changed", "refused"]
    assert len(rows("SELECT id FROM events WHERE kind = 'gateway_account.rate_changed'")) == 1


@pytest.mark.parametrize(
    ("statement", "breaker"),
    [
        ("open_until = NULL", BreakerState.CLOSED),
        ("open_until = now() + interval '1 minute', troubles_in_a_row = 5", BreakerState.OPEN),
        ("open_until = now() - interval '1 minute', troubles_in_a_row = 5", BreakerState.PROBING),
    ],
)
def test_the_breaker_is_said(account: Any, statement: str, breaker: BreakerState) -> None:
    change(statement)
    assert state_of(account).breaker is breaker


def test_a_brake_on_the_account_or_on_everything_is_said(account: Any) -> None:
    def pull(**scope: Any) -> None:
        with acting_for(factories.home.get()):
            pull_brake(reason="Odd answers.", hold_seconds=600, actor=CLERK, now=NOW, **scope)

    pull(job="ledger_check")
    assert state_of(account).brake_reason is None
    pull(gateway_account_id=account.id)
    assert state_of(account).brake_reason == "Odd answers."


def test_another_organisations_account_does_not_exist(account: Any) -> None:
    rivertown = factories.make_organisation("rivertown")
    with acting_for(rivertown):
        assert account.id not in {one.id for one in list_account_states()}
        with pytest.raises(GatewayAccountMissing):
            set_account_rate(gateway_account_id=account.id, rate=SLOW, actor=CLERK, now=NOW)
    assert read_row("gateway_accounts", account.id) == account

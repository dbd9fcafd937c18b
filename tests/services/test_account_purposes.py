"""What gateway accounts are for: added once, and those for notices never deal with money."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from portal.db import acting_for, transaction
from portal.domain.gateway_accounts import AccountPurpose
from portal.domain.money import CurrencyUnknown
from portal.queries.gateway_accounts import list_account_states
from portal.queries.invoices import list_invoice_currencies
from portal.queries.organisations import (
    GatewayAccountNotFound,
    get_gateway_account,
    list_gateway_accounts,
    list_payment_accounts,
)
from portal.queries.populations import POPULATIONS
from portal.services.cases import claim_comparisons
from portal.services.gateway_accounts import (
    GatewayAccountCodeTaken,
    GatewayAccountInvalid,
    NoticesAccountThere,
    add_gateway_account,
)
from portal.services.payers import NewMandate, add_mandates
from portal.sql import execute, fetch
from tests.factories import BUSINESS_ON, CLERK, NOW, gateway_account_of, make_payer, read_row
from tests.services.books import rows
from tests.services.noticing import make_notices_account


@pytest.fixture(autouse=True)
def _acting(organisation: UUID) -> Iterator[None]:
    with acting_for(organisation):
        yield


def add(code: str, **over: Any) -> UUID:
    wanted: dict[str, Any] = {
        "code": code, "purpose": AccountPurpose.PAYMENTS, "currency": "EUR", "actor": CLERK,
        "now": NOW, **over,
    }  # fmt: skip
    return add_gateway_account(**wanted)


def change(statement: str, *parameters: Any) -> None:
    with transaction():
        assert execute(statement, parameters)


def test_an_account_is_added_for_what_it_is_for() -> None:
    swiss = read_row("gateway_accounts", add("harbour-swiss", currency="CHF"))
    notices = make_notices_account()

    assert (swiss.purpose, swiss.currency, swiss.kind) == ("payments", "CHF", "sandbox")
    assert (notices.purpose, notices.is_active) == ("notices", True)
    assert {one.code: one.purpose for one in list_account_states()} == {
        "harbour": AccountPurpose.PAYMENTS,
        "harbour-swiss": AccountPurpose.PAYMENTS,
        "harbour-notices": AccountPurpose.NOTICES,
    }
    told = rows("SELECT * FROM events WHERE kind = 'gateway_account.added' ORDER BY id")
    assert [(one.subject_id, one.details["purpose"]) for one in told] == [
        (swiss.id, "payments"),
        (notices.id, "notices"),
    ]


@pytest.mark.parametrize("code", ["", "x", "Harbour", "a b", "1a", "a/../b", "a" * 33])
def test_a_code_that_is_none_is_refused(code: str) -> None:
    with pytest.raises(GatewayAccountInvalid):
        add(code)
    assert len(list_gateway_accounts()) == 1


def test_a_code_is_given_once_and_notices_have_one_account(other_organisation: UUID) -> None:
    make_notices_account()
    with pytest.raises(NoticesAccountThere) as there:
        add("another", purpose=AccountPurpose.NOTICES)
    assert "“harbour-notices”" in there.value.message
    for code in ("harbour", "harbour-notices", gateway_account_of(other_organisation).code):
        with pytest.raises(GatewayAccountCodeTaken):
            add(code)
    with pytest.raises(GatewayAccountCodeTaken):
        add("harbour-notices", purpose=AccountPurpose.NOTICES)
    with pytest.raises(CurrencyUnknown):
        add("odd", currency="EURO")
    assert len(list_gateway_accounts()) == 2
    make_notices_account("rivertown-notices", other_organisation)

    change("UPDATE gateway_accounts SET is_active = false WHERE purpose = 'notices'")
    make_notices_account("harbour-letters")


def test_nothing_is_collected_through_an_account_for_notices() -> None:
    add("letters", purpose=AccountPurpose.NOTICES, currency="CHF")
    payments = gateway_account_of()
    payer = make_payer()
    mandate = NewMandate(
        payer_ref=payer.external_ref, reference="M-1", token="tok_1", signed_on=BUSINESS_ON,
        currency="CHF",
    )  # fmt: skip

    assert [one.code for one in list_gateway_accounts()] == ["harbour", "letters"]
    assert [one.code for one in list_payment_accounts()] == ["harbour"]
    assert "CHF" not in list_invoice_currencies()
    with pytest.raises(GatewayAccountNotFound):
        get_gateway_account("CHF")
    with transaction():
        add_mandates([mandate], actor=CLERK, now=NOW)
        to_close = POPULATIONS["settlement_closing"](BUSINESS_ON, {})
        found = fetch(to_close.statement, to_close.parameters)
    assert rows("SELECT id FROM mandates WHERE currency = 'CHF'") == []
    assert [row.id for row in found] == [payments.id]


def test_the_record_of_an_account_for_notices_is_not_compared() -> None:
    notices = make_notices_account()
    later = notices.created_at + timedelta(days=2)
    with acting_for(None):
        compared = [one.code for one in claim_comparisons(now=later)]

    assert compared == ["harbour"]
    assert read_row("gateway_accounts", notices.id).compared_at is None

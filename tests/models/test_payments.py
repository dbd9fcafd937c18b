"""The keys that keep a payer from being charged twice, and what makes room again."""

from __future__ import annotations

from uuid import UUID

import psycopg
import pytest

from portal.db import transaction
from portal.domain.payments import (
    LIVE_ATTEMPT_STATES,
    OPEN_PAYMENT_STATES,
    AttemptState,
    PaymentState,
)
from portal.ids import new_id
from portal.sql import execute
from tests.factories import attempt_of, columns_of, insert_row, make_payment

GENERATED = {"created_at"}


def add_attempt(organisation: UUID, attempt: object, state: AttemptState) -> None:
    """Put a second attempt beside one that is in a state."""
    with transaction(organisation) as session:
        execute("UPDATE payment_attempts SET state = %s", (state.value,))
        again = {k: v for k, v in columns_of(attempt).items() if k not in GENERATED}
        attempt_id = new_id()
        again |= {"id": attempt_id, "number": 2, "merchant_ref": attempt_id.hex}
        insert_row("payment_attempts", **again | {"idempotency_key": attempt_id.hex})
        session.rollback()


def test_a_payment_has_at_most_one_live_attempt(
    organisation: UUID, subtests: pytest.Subtests
) -> None:
    attempt = attempt_of(make_payment())

    for state in AttemptState:
        with subtests.test(state.value):
            if state not in LIVE_ATTEMPT_STATES:
                add_attempt(organisation, attempt, state)
                continue
            with pytest.raises(psycopg.errors.UniqueViolation) as refused:
                add_attempt(organisation, attempt, state)
            assert refused.value.diag.constraint_name == "uq_payment_attempts_live"


def test_an_invoice_has_at_most_one_open_payment(
    organisation: UUID, subtests: pytest.Subtests
) -> None:
    payment = make_payment()
    again = {k: v for k, v in columns_of(payment).items() if k not in GENERATED}

    def add_payment(state: PaymentState) -> None:
        with transaction(organisation) as session:
            execute("UPDATE payments SET state = %s", (state.value,))
            insert_row("payments", **again | {"id": new_id()})
            session.rollback()

    for state in PaymentState:
        with subtests.test(state.value):
            if state not in OPEN_PAYMENT_STATES:
                add_payment(state)
                continue
            with pytest.raises(psycopg.errors.UniqueViolation) as refused:
                add_payment(state)
            assert refused.value.diag.constraint_name == "uq_payments_open_invoice"


def test_a_payment_in_another_currency_than_its_invoice_is_refused(organisation: UUID) -> None:
    payment = make_payment()
    again = {k: v for k, v in columns_of(payment).items() if k not in GENERATED}
    other = {"id": new_id(), "currency": "USD", "state": "cancelled"}

    with pytest.raises(psycopg.errors.ForeignKeyViolation), transaction(organisation):
        insert_row("payments", **again | other)

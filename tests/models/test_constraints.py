"""Each named check and unique key is broken once, and it is that one which refuses."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest

from portal.db import transaction
from portal.ids import new_id
from portal.sql import fetch
from tests import books
from tests.factories import NOW, gateway_account_of, insert_row, make_open_case, make_run
from tests.models.breaking import refused_by
from tests.models.cases import CASES
from tests.services.noticing import make_notices_account

# Targets of composite foreign keys: the primary key refuses a second row before they could.
# Unique because a foreign key needs it; what is behind the id cannot make it less so.
ONLY_TARGETS = ("_organisation_id_id_currency", "_organisation_id_id_sealed_xid")


def write_the_rest(organisation: UUID) -> None:
    """Insert a row into the tables that a month of the services leaves empty."""
    run = make_run(request_key="once", job="payment_collection")
    make_run(repeats_id=run.id, state="completed")
    account = gateway_account_of()
    make_notices_account()
    user_id = new_id()
    with transaction(organisation):
        insert_row(
            "users", id=user_id, email="ada@harbour.example", name="Ada Clerk", password_hash="-"
        )
        insert_row("memberships", organisation_id=organisation, user_id=user_id, role="clerk")
        insert_row(
            "api_keys",
            organisation_id=organisation,
            id=new_id(),
            name="ERP",
            prefix="pk_1",
            key_hash=b"hash",
            scopes=["invoices"],
        )
        insert_row(
            "files",
            organisation_id=organisation,
            id=new_id(),
            kind="invoices",
            name="march.csv",
            content_hash="hash",
            size_bytes=1,
            mapping={},
            detected={},
            state="completed",
        )
        insert_row(
            "idempotency_keys",
            organisation_id=organisation,
            key="once",
            request_hash=b"hash",
            status=201,
            headers={},
            body=b"{}",
            created_at=NOW,
        )
        _write_machinery(organisation, run.id)
        _write_refund(organisation)
        _write_reminder(organisation)
        _write_dispute(organisation)
        insert_row(
            "inbox_messages",
            organisation_id=organisation,
            gateway_account_id=account.id,
            event_ref="evt_1",
            kind="charge.succeeded",
            content={},
            raw=b"{}",
            received_at=NOW,
        )


def _write_refund(organisation: UUID) -> None:
    """Insert a refund of what an attempt collected, and pay it out."""
    attempt = fetch("SELECT * FROM payment_attempts WHERE state = 'succeeded' LIMIT 1")[0]
    payout = fetch("SELECT * FROM payouts LIMIT 1")[0]
    refund = insert_row(
        "refunds",
        organisation_id=organisation,
        id=new_id(),
        payment_id=attempt.payment_id,
        attempt_id=attempt.id,
        gateway_account_id=attempt.gateway_account_id,
        currency=attempt.currency,
        amount_minor=100,
        reason="Paid twice.",
        state="succeeded",
        business_on=NOW.date(),
        needs_approval=False,
        requested_by="Ada Clerk",
        request_key="once",
        merchant_ref="rfd_1",
        idempotency_key="refund-1",
        gateway_ref="re_1",
    )
    insert_row(
        "payout_items",
        organisation_id=organisation,
        payout_id=payout.id,
        position=79,
        kind="refund",
        currency=payout.currency,
        gross_minor=-100,
        fee_minor=0,
        net_minor=-100,
        refund_id=refund.id,
    )


def _write_reminder(organisation: UUID) -> None:
    """Insert a reminder of one invoice, as if another were its charge."""
    invoice, charge = fetch("SELECT * FROM invoices WHERE kind = 'invoice' LIMIT 2")
    insert_row(
        "reminders",
        organisation_id=organisation,
        id=new_id(),
        invoice_id=invoice.id,
        payer_id=invoice.payer_id,
        level=1,
        reminded_on=NOW.date(),
        currency=invoice.currency,
        open_minor=100,
        fee_minor=1,
        interest_minor=0,
        charge_invoice_id=charge.id,
        clause_codes=["C204"],
        rule_set_version=1,
    )


def _write_dispute(organisation: UUID) -> None:
    """Insert an open dispute of what an attempt collected, and set it off."""
    attempt = fetch("SELECT * FROM payment_attempts WHERE state = 'succeeded' LIMIT 1")[0]
    payout = fetch("SELECT * FROM payouts LIMIT 1")[0]
    dispute = insert_row(
        "disputes",
        organisation_id=organisation,
        id=new_id(),
        payment_id=attempt.payment_id,
        attempt_id=attempt.id,
        gateway_account_id=attempt.gateway_account_id,
        currency=attempt.currency,
        amount_minor=100,
        state="needs_response",
        gateway_ref="dp_1",
        opened_on=NOW.date(),
        respond_by=NOW.date(),
    )
    insert_row(
        "payout_items",
        organisation_id=organisation,
        payout_id=payout.id,
        position=75,
        kind="chargeback",
        currency=payout.currency,
        gross_minor=-100,
        fee_minor=0,
        net_minor=-100,
        dispute_id=dispute.id,
    )


def _write_rehearsal(organisation: UUID, run_id: UUID) -> None:
    """Insert what a rehearsal of one document would find."""
    invoice = fetch("SELECT * FROM invoices LIMIT 1")[0]
    of_run = {"organisation_id": organisation, "run_id": run_id}
    of_payer = {"payer_kind": "person", "currency": invoice.currency}
    insert_row(
        "rehearsal_differences",
        **of_run,
        **of_payer,
        invoice_id=invoice.id,
        change="newly_blocked",
        total_before_minor=100,
        difference_minor=-100,
        appeared=["V101"],
        vanished=[],
        clauses=["V101"],
    )
    amounts = [
        f"{name}_{side}_minor"
        for name in ("net", "tax", "total", "charges")
        for side in ("before", "after")
    ]
    counts = ["documents_count", "differing_count", "priced_before_count", "priced_after_count"]
    insert_row(
        "rehearsal_totals",
        **of_run,
        **of_payer,
        **dict.fromkeys([*amounts, *counts], 1),
        chunk_number=1,
    )
    insert_row(
        "rehearsal_findings", **of_run, chunk_number=1, code="V101", before_count=0, after_count=1
    )


def _write_machinery(organisation: UUID, run_id: UUID) -> None:
    """Insert a brake, and a schedule that has been due, inside the open transaction."""
    make_open_case(organisation_id=organisation)
    _write_rehearsal(organisation, run_id)
    insert_row(
        "brakes",
        organisation_id=organisation,
        id=new_id(),
        reason="The gateway answers oddly.",
        pulled_by="Ada Clerk",
        pulled_at=NOW,
        expires_at=NOW + timedelta(hours=1),
    )
    sequence = insert_row("sequences", organisation_id=organisation, id=new_id(), name="Month end")
    insert_row(
        "sequence_steps",
        organisation_id=organisation,
        sequence_id=sequence.id,
        version=1,
        number=1,
        job="ledger_check",
        condition="completed",
    )
    execution = insert_row(
        "sequence_runs",
        organisation_id=organisation,
        id=new_id(),
        sequence_id=sequence.id,
        version=1,
        business_on=NOW.date(),
        request_key="once",
        state="running",
        started_by="Ada Clerk",
    )
    make_run(state="completed", sequence_run_id=execution.id, step_number=1)
    schedule = insert_row(
        "schedules",
        organisation_id=organisation,
        id=new_id(),
        name="Nightly",
        job="payment_collection",
        rule="0 22 * * *",
        on_holiday="skip",
        misfire="once",
        is_active=True,
        next_at=NOW,
        wake_at=NOW,
    )
    insert_row(
        "schedule_dues",
        organisation_id=organisation,
        schedule_id=schedule.id,
        due_at=NOW,
        business_on=NOW.date(),
        state="started",
        run_id=run_id,
        created_at=NOW,
    )


def test_each_constraint_refuses_its_fault(organisation: UUID, subtests: pytest.Subtests) -> None:
    books.write_month(organisation)
    write_the_rest(organisation)

    for name, fault in CASES.items():
        with subtests.test(name):
            assert refused_by(organisation, fault) == name


def test_no_constraint_is_left_untried(owner: psycopg.Connection[Any]) -> None:
    names = {
        row[0]
        for row in owner.execute(
            "SELECT conname FROM pg_constraint WHERE contype IN ('u', 'c')"
            " AND connamespace = 'public'::regnamespace"
            " UNION SELECT c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid"
            " WHERE i.indisunique AND NOT i.indisprimary"
            " AND c.relnamespace = 'public'::regnamespace"
        )
    }

    assert {name for name in names if not name.endswith(ONLY_TARGETS)} == CASES.keys()

"""Valid, saved things with no arguments: a test names only what it is about.

What the portal itself makes is made by its services; the rest is inserted as those would leave it.
Everything belongs to `home`, which the `organisation` fixture sets, unless another is named.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import count
from typing import Any, Self
from uuid import UUID

from psycopg.types.json import Jsonb

from portal.db import current_organisation_id, transaction
from portal.domain.batches import ItemOutcome
from portal.domain.payers import name_sort_key
from portal.domain.users import Actor
from portal.ids import new_id
from portal.paths import RULE_SAMPLES
from portal.services.deposits import record_deposit
from portal.services.invoices import issue_invoices
from portal.services.organisations import add_organisation
from portal.services.payments import (
    AttemptResult,
    QueryPolicy,
    ResultKind,
    apply_results,
    start_payments,
)
from portal.sql import execute, fetch_one
from rules.definitions import definition_hash, load_definition

NOW = datetime(2026, 3, 18, 9, 30, tzinfo=UTC)
BUSINESS_ON = date(2026, 3, 18)
EARLIER_ON = date(2026, 3, 2)  # Documents issued then are due by now.
QUERY_POLICY = QueryPolicy(900.0, (5.0, 30.0), 60.0)
CLERK = Actor("user", UUID(int=1), "Ada Clerk")
ORGANISATIONS = {
    "harbour": {
        "name": "Harbour City",
        "currency": "EUR",
        "zone": "Europe/Berlin",
        "locale": "de_DE",
        "holiday_calendar": "ECB",
    },
    "rivertown": {
        "name": "Rivertown Water",
        "currency": "GBP",
        "zone": "Europe/London",
        "locale": "en_GB",
        "holiday_calendar": "GB",
    },
}

home: ContextVar[UUID] = ContextVar("home")
_serial = count(1)


class Line(tuple[int, str, str]):
    """Net amount, revenue code and tax code of one line: `Line(10_000)`."""

    __slots__ = ()

    def __new__(cls, net_minor: int, revenue_code: str = "4000", tax_code: str = "S") -> Self:
        """Make a line of standard tax."""
        return super().__new__(cls, (net_minor, revenue_code, tax_code))


def insert_row(table: str, **columns: Any) -> Any:
    """Insert one row in the open transaction and return it whole."""
    values = {
        name: Jsonb(value) if isinstance(value, dict) else value for name, value in columns.items()
    }
    names = ", ".join(values)
    places = ", ".join(f"%({name})s" for name in values)
    return fetch_one(f"INSERT INTO {table} ({names}) VALUES ({places}) RETURNING *", values)


@contextmanager
def _home(organisation_id: UUID | None) -> Iterator[UUID]:
    wanted = organisation_id or home.get()
    with transaction(wanted):
        yield wanted


def read_row(table: str, row_id: UUID, *, organisation_id: UUID | None = None) -> Any:
    """Return a row as it now is."""
    with _home(organisation_id):
        return fetch_one(f"SELECT * FROM {table} WHERE id = %s", (row_id,))


def make_organisation(sample: str = "harbour", **over: Any) -> UUID:
    """Add a sample organisation with its agreement."""
    wanted: dict[str, Any] = {
        "code": sample,
        **ORGANISATIONS[sample],
        "rule_definition": load_definition((RULE_SAMPLES / f"{sample}.toml").read_text("utf-8")),
        "actor": CLERK,
        "now": NOW,
    }
    return add_organisation(**{**wanted, **over})


def agree(*clauses: Mapping[str, Any], on: date) -> int:
    """Put the newest agreement with further clauses in force from a day."""
    with transaction():
        newest = fetch_one("SELECT definition FROM rule_sets ORDER BY version DESC LIMIT 1")
    assert newest is not None
    definition = {**newest.definition, "clause": [*newest.definition["clause"], *clauses]}
    return activate_rule_set(definition=definition, starts_on=on)


def activate_rule_set(*, definition: Mapping[str, Any], starts_on: date) -> int:
    """Put an agreement in force from a day, as two people would, and return its version."""
    with transaction():
        execute(
            "UPDATE rule_sets SET state = 'retired' WHERE state = 'active' AND starts_on = %s",
            (starts_on,),
        )
        last = fetch_one("SELECT max(version) AS version FROM rule_sets")
        assert last is not None
        row = insert_row(
            "rule_sets",
            organisation_id=current_organisation_id(),
            id=new_id(),
            version=last.version + 1,
            state="active",
            starts_on=starts_on,
            definition=definition,
            definition_hash=definition_hash(definition),
            requested_by="Ada Clerk",
            requested_by_id=UUID(int=1),
            requested_at=NOW,
            approved_by="Max Manager",
            approved_by_id=UUID(int=2),
            approved_at=NOW,
        )
    return int(row.version)


def make_payer(*, organisation_id: UUID | None = None, **over: Any) -> Any:
    """Insert a company that owes."""
    number = next(_serial)
    name = over.get("name", f"Brightwater Fittings {number}")
    with _home(organisation_id) as owner:
        columns = {
            "organisation_id": owner,
            "id": new_id(),
            "external_ref": f"PAYER-{number}",
            "name": name,
            "name_sort": name_sort_key(name),
            "kind": "company",
            "email": f"accounts{number}@payer.example",
            "country": "DE",
        }
        return insert_row("payers", **{**columns, **over})


def currency_of(organisation_id: UUID) -> str:
    """Return the currency of an organisation."""
    row = fetch_one("SELECT currency FROM organisations WHERE id = %s", (organisation_id,))
    assert row is not None
    return str(row.currency)


def gateway_account_of(organisation_id: UUID | None = None) -> Any:
    """Return the first gateway account of an organisation."""
    with _home(organisation_id):
        return fetch_one("SELECT * FROM gateway_accounts ORDER BY id LIMIT 1")


def bank_account_of(organisation_id: UUID | None = None) -> Any:
    """Return the first bank account of an organisation."""
    with _home(organisation_id):
        return fetch_one("SELECT * FROM bank_accounts ORDER BY id LIMIT 1")


def make_mandate(*, organisation_id: UUID | None = None, **over: Any) -> Any:
    """Insert an active mandate; its payer is a new one unless named."""
    with _home(organisation_id) as owner:
        account = gateway_account_of(owner)
        columns = {
            "organisation_id": owner,
            "id": new_id(),
            "payer_id": over.get("payer_id") or make_payer(organisation_id=owner).id,
            "gateway_account_id": account.id,
            "currency": account.currency,
            "reference": f"MANDATE-{next(_serial)}",
            "token": f"tok_{new_id().hex}",
            "state": "active",
            "signed_on": date(2026, 1, 5),
        }
        return insert_row("mandates", **{**columns, **over})


def make_draft_invoice(
    *,
    lines: Sequence[tuple[int, str, str]] = (Line(10_000),),
    organisation_id: UUID | None = None,
    **over: Any,
) -> Any:
    """Insert a draft with its lines; its payer is a new one unless named."""
    with _home(organisation_id) as owner:
        net = sum(net_minor for net_minor, _, _ in lines)
        columns = {
            "organisation_id": owner,
            "id": new_id(),
            "currency": currency_of(owner),
            "kind": "invoice",
            "state": "draft",
            "payer_id": over.get("payer_id") or make_payer(organisation_id=owner).id,
            "external_ref": f"DOC-{next(_serial)}",
            "document_on": EARLIER_ON,
            "net_minor": net,
            "total_minor": net,
        }
        invoice = insert_row("invoices", **{**columns, **over})
        for position, (net_minor, revenue_code, tax_code) in enumerate(lines, start=1):
            insert_row(
                "invoice_lines",
                organisation_id=owner,
                invoice_id=invoice.id,
                position=position,
                description="Quayside services",
                quantity=Decimal(1),
                unit_price=Decimal(net_minor) / 100,
                net_minor=net_minor,
                revenue_code=revenue_code,
                tax_code=tax_code,
            )
        return invoice


def make_issued_invoice(
    *, business_on: date = EARLIER_ON, organisation_id: UUID | None = None, **over: Any
) -> Any:
    """Issue a draft through the service: 100.00 plus 19 % tax, due on 16 March, before now.

    Shape: a series knows no way back, so documents of later days are made later.
    """
    with _home(organisation_id) as owner:
        draft = make_draft_invoice(organisation_id=owner, **over)
        (result,) = issue_invoices(
            invoice_ids=[draft.id], business_on=business_on, actor=CLERK, now=NOW
        )
        assert result.outcome is ItemOutcome.DONE, result
        return fetch_one("SELECT * FROM invoices WHERE id = %s", (draft.id,))


def make_credit_note(**over: Any) -> Any:
    """Issue a credit note: 50.00 plus 19 % tax unless lines are given."""
    return make_issued_invoice(**{"kind": "credit_note", "lines": (Line(5_000),), **over})


def make_deposit(*, organisation_id: UUID | None = None, **over: Any) -> Any:
    """Record a deposit of 80.00 through the service; its payer is a new one unless named."""
    with _home(organisation_id) as owner:
        wanted = {
            "payer_id": over.get("payer_id") or make_payer(organisation_id=owner).id,
            "amount_minor": 8_000,
            "currency": currency_of(owner),
            "purpose": "security",
            "received_on": BUSINESS_ON,
            "bank_ref": f"BANK-{next(_serial)}",
            "may_set_off": True,
            "due_back_on": None,
            "actor": CLERK,
            "now": NOW,
        }
        deposit_id = record_deposit(**{**wanted, **over})
        return fetch_one("SELECT * FROM deposits WHERE id = %s", (deposit_id,))


def make_payment(*, invoice: Any = None, organisation_id: UUID | None = None, **over: Any) -> Any:
    """Start collecting a due invoice through the service: a processing payment of 119.00."""
    with _home(organisation_id) as owner:
        if invoice is None:
            invoice = make_issued_invoice(organisation_id=owner, **over)
        make_mandate(organisation_id=owner, payer_id=invoice.payer_id)
        (result,) = start_payments(
            invoice_ids=[invoice.id], business_on=BUSINESS_ON, actor=CLERK, now=NOW
        )
        assert result.outcome is ItemOutcome.DONE, result
        return fetch_one(
            "SELECT * FROM payments WHERE invoice_id = %s ORDER BY id DESC LIMIT 1", (invoice.id,)
        )


def attempt_of(payment: Any, *, organisation_id: UUID | None = None) -> Any:
    """Return the last attempt of a payment."""
    with _home(organisation_id):
        return fetch_one(
            "SELECT * FROM payment_attempts WHERE payment_id = %s ORDER BY number DESC LIMIT 1",
            (payment.id,),
        )


def answer_attempt(
    attempt: Any, *kinds: ResultKind, organisation_id: UUID | None = None, **over: Any
) -> Any:
    """Send an attempt, apply what the gateway answers, one kind after the other, and return it."""
    with _home(organisation_id):
        fetch_one(
            "UPDATE payment_attempts SET state = 'sending', version = version + 1"
            " WHERE id = %s AND state = 'created' RETURNING id",
            (attempt.id,),
        )
        for kind in kinds:
            result = AttemptResult(attempt.id, kind, f"gw-{attempt.merchant_ref}", **over)
            apply_results(results=[result], policy=QUERY_POLICY, actor=CLERK, now=NOW)
        return fetch_one("SELECT * FROM payment_attempts WHERE id = %s", (attempt.id,))


def make_succeeded_payment(*, organisation_id: UUID | None = None, **over: Any) -> Any:
    """Collect an invoice at once through the services."""
    with _home(organisation_id) as owner:
        payment = make_payment(organisation_id=owner, **over)
        answer_attempt(attempt_of(payment), ResultKind.SUCCEED)
        return fetch_one("SELECT * FROM payments WHERE id = %s", (payment.id,))


def make_run(*, organisation_id: UUID | None = None, **over: Any) -> Any:
    """Insert a prepared run of one chunk with nothing in it."""
    with _home(organisation_id) as owner:
        number = next(_serial)
        columns = {
            "organisation_id": owner,
            "id": new_id(),
            "number": number,
            "job": "invoice_issuing",
            "business_on": BUSINESS_ON,
            "parameters": {},
            "parameters_hash": f"hash-{number}",
            "state": "prepared",
            "items_count": 0,
            "chunks_count": 0,
            "sum_minor": 0,
            "population_hash": b"",
            "skip_limit": 10,
            "started_by": "Ada Clerk",
        }
        return insert_row("batch_runs", **{**columns, **over})


def make_inbox_message(*, organisation_id: UUID | None = None, **over: Any) -> Any:
    """Insert a message of the gateway about a charge that succeeded."""
    with _home(organisation_id) as owner:
        number = next(_serial)
        columns = {
            "organisation_id": owner,
            "id": new_id(),
            "gateway_account_id": gateway_account_of(owner).id,
            "event_ref": f"evt_{number}",
            "kind": "charge.succeeded",
            "content": {
                "merchant_ref": f"nobody-{number}",
                "gateway_ref": f"gw-{number}",
                "amount_minor": 11_900,
                "currency": currency_of(owner),
                "reason_code": None,
                "fee_minor": 0,
                "occurred_at": NOW.isoformat(),
                "returned_on": None,
            },
            "raw": b"{}",
            "received_at": NOW,
        }
        return insert_row("inbox_messages", **{**columns, **over})


def make_open_case(*, organisation_id: UUID | None = None, **over: Any) -> Any:
    """Insert a case about an attempt whose outcome nobody knows."""
    with _home(organisation_id) as owner:
        columns = {
            "organisation_id": owner,
            "id": new_id(),
            "kind": "unknown_outcome_late",
            "state": "open",
            "subject_type": "attempt",
            "subject_id": new_id(),
            "subject_name": f"attempt-{next(_serial)}",
            "since_at": NOW,
            "opened_at": NOW,
            "amount_minor": 11_900,
            "currency": currency_of(owner),
        }
        return insert_row("cases", **{**columns, **over})


def columns_of(row: Any) -> Mapping[str, Any]:
    """Return a row as a dictionary, for making another like it."""
    return dict(row._asdict())

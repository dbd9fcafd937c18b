"""Drafts by hand: what is refused and how it is said, changing, discarding, rivals."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from decimal import Decimal
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from flask import Flask

from portal.db import acting_for, transaction
from portal.domain.invoices import InvoiceKind
from portal.domain.states import MoveNotAllowed
from portal.ids import new_id
from portal.queries.invoices import InvoiceMissing
from portal.services.invoices import (
    DraftInvalid,
    DraftPayerMissing,
    ExternalRefTaken,
    InvoiceChanged,
    InvoiceNotDraft,
    NewInvoice,
    change_draft,
    discard_draft,
    draft_invoice,
    issue_invoice,
)
from portal.services.rulesets import (
    AgreedTax,
    RuleSetNotFound,
    list_revenue_codes,
    list_tax_codes,
)
from portal.sql import execute
from tests import factories
from tests.factories import (
    CLERK,
    NOW,
    activate_rule_set,
    make_draft_invoice,
    make_issued_invoice,
    make_payer,
)
from tests.factories import read_row as read
from tests.services.books import events_of, rows
from tests.services.drafting import broken_proofs, do_at_once, draft, new_invoice, new_line

ON = factories.BUSINESS_ON


def change(invoice_id: UUID, version: int, invoice: NewInvoice) -> int:
    with acting_for(factories.home.get()):
        return change_draft(
            invoice_id=invoice_id, version=version, invoice=invoice, on=ON, actor=CLERK, now=NOW
        )


def discard(invoice_id: UUID, version: int = 1) -> None:
    with acting_for(factories.home.get()):
        discard_draft(invoice_id=invoice_id, version=version, actor=CLERK, now=NOW)


def lines_of(invoice_id: UUID) -> list[tuple[Any, ...]]:
    return [
        tuple(row)
        for row in rows(
            "SELECT position, description, net_minor FROM invoice_lines WHERE invoice_id = %s"
            " ORDER BY position",
            invoice_id,
        )
    ]


def test_a_draft_is_written_with_its_lines_and_event(organisation: UUID) -> None:
    payer = make_payer()

    invoice_id = draft(
        new_line(quantity=Decimal("2.5"), unit_price=Decimal("4.1234")),
        new_line(description="  Water\n200 m³ ", revenue_code=" 4100 ", tax_code="R"),
        payer_id=payer.id,
        external_ref="  A-1 ",
        purchase_order_ref=" ",
        document_on=date(2026, 3, 1),
    )

    made = read("invoices", invoice_id)
    assert (made.state, made.kind, made.payer_id) == ("draft", "invoice", payer.id)
    assert (made.external_ref, made.purchase_order_ref) == ("A-1", None)
    assert (made.document_on, made.version) == (date(2026, 3, 1), 1)
    assert (made.net_minor, made.tax_minor, made.total_minor) == (11_031, 0, 11_031)
    assert lines_of(invoice_id) == [(1, "Berth fee", 1_031), (2, "Water\n200 m³", 10_000)]
    assert events_of(invoice_id) == ["invoice.drafted"]
    assert broken_proofs() == []


def test_a_credit_note_is_drafted_with_positive_amounts(organisation: UUID) -> None:
    made = read("invoices", draft(kind=InvoiceKind.CREDIT_NOTE))

    assert (made.kind, made.net_minor, made.document_on) == ("credit_note", 10_000, ON)


AGREED_OF_DRAFTS: dict[str, tuple[dict[str, Any], dict[str, Any], str, str]] = {
    "a cost centre": (
        {"code": "V118"},
        {"cost_centre": "CC-7"},
        "cost_centre",
        "cost centre",
    ),
    "a VAT number": ({"code": "V128"}, {}, "payer_id", "VAT"),
}


@pytest.mark.parametrize("name", AGREED_OF_DRAFTS)
def test_what_is_agreed_of_drafts_is_asked_before_they_are_saved(
    organisation: UUID, name: str
) -> None:
    clause, right, field, said = AGREED_OF_DRAFTS[name]
    with acting_for(organisation):
        factories.agree({**clause, "stage": "draft", "severity": "block"}, on=ON)

    with pytest.raises(DraftInvalid, match=said) as refused:
        draft()

    assert [problem.field for problem in refused.value.problems] == [field]
    assert rows("SELECT 1 FROM invoices") == []
    payer = make_payer(vat_id="DE136695976")
    assert read("invoices", draft(payer_id=payer.id, **right)).state == "draft"


def test_the_same_for_the_same_period_is_refused_where_that_is_agreed(organisation: UUID) -> None:
    with acting_for(organisation):
        factories.agree({"code": "V120", "stage": "draft", "severity": "block"}, on=ON)
    period = {"period_from": date(2026, 2, 1), "period_to": date(2026, 2, 28)}
    payer_id = make_payer().id
    first = draft(payer_id=payer_id, **period)

    with pytest.raises(DraftInvalid) as refused:
        draft(payer_id=payer_id, **period)
    change(first, 1, new_invoice(payer_id=payer_id, **period))
    draft(payer_id=payer_id, period_from=date(2026, 3, 1), period_to=date(2026, 3, 31))

    assert [problem.field for problem in refused.value.problems] == ["lines"]
    assert rows("SELECT count(*) FROM invoices") == [(2,)]


WRONG: dict[str, tuple[Callable[[], NewInvoice], str, str]] = {
    "no lines": (lambda: new_invoice()._replace(lines=[]), "lines", "no line"),
    "another currency": (lambda: new_invoice(currency="USD"), "currency", "EUR"),
    "no currency": (lambda: new_invoice(currency="eur"), "currency", "EUR"),
    "a NUL in a currency": (lambda: new_invoice(currency="E\0R"), "currency", "EUR"),
    "a kind that follows": (
        lambda: new_invoice(kind=InvoiceKind.CHARGE),
        "kind",
        "charge is not written freely",
    ),
    "a long reference": (lambda: new_invoice(external_ref="x" * 101), "external_ref", "100"),
    "a NUL in a reference": (lambda: new_invoice(external_ref="a\0b"), "external_ref", "printed"),
    "a line end in an order": (
        lambda: new_invoice(purchase_order_ref="a\nb"),
        "purchase_order_ref",
        "printed",
    ),
    "half a character": (lambda: new_invoice(external_ref="a\ud800"), "external_ref", "printed"),
}
WRONG_LINES: dict[str, tuple[dict[str, Any], str, str]] = {
    "no description": ({"description": " \n"}, "description", "missing"),
    "a long description": ({"description": "x" * 2_001}, "description", "2,000"),
    "a text turned around": ({"description": "a\u202eb"}, "description", "printed"),
    "half a character": ({"description": "a\udfff"}, "description", "printed"),
    "no revenue code": ({"revenue_code": ""}, "revenue_code", "missing"),
    "a long revenue code": ({"revenue_code": "x" * 101}, "revenue_code", "100"),
    "an unknown tax code": ({"tax_code": "Q"}, "tax_code", "E, R, S"),
    "no number": ({"quantity": Decimal("NaN")}, "quantity", "12 digits"),
    "no end": ({"unit_price": Decimal("-Infinity")}, "unit_price", "12 digits"),
    "too many decimals": ({"quantity": Decimal("0.0000001")}, "quantity", "6 decimals"),
    "countless decimals": ({"quantity": Decimal("1E-999999")}, "quantity", "6 decimals"),
    "too many digits": ({"unit_price": Decimal("1E+12")}, "unit_price", "12 digits"),
    "countless digits": ({"unit_price": Decimal("1E+999999")}, "unit_price", "12 digits"),
    "too large an amount": (
        {"quantity": Decimal(999_999), "unit_price": Decimal(999_999_999)},
        "unit_price",
        "larger than can be booked",
    ),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_wrong_is_named_with_its_field(organisation: UUID, wrong: str) -> None:
    make, field, words = WRONG[wrong]

    with pytest.raises(DraftInvalid, match=words) as caught, acting_for(organisation):
        draft_invoice(invoice=make(), on=ON, actor=CLERK, now=NOW)

    assert caught.value.field == field
    assert [each.field for each in caught.value.problems] == [field]
    assert rows("SELECT id FROM invoices") == []
    assert rows("SELECT id FROM events WHERE subject_type = 'invoice'") == []


@pytest.mark.parametrize("wrong", WRONG_LINES)
def test_what_is_wrong_with_a_line_is_named_with_its_place(organisation: UUID, wrong: str) -> None:
    over, name, words = WRONG_LINES[wrong]

    with pytest.raises(DraftInvalid, match=words) as caught:
        draft(new_line(), new_line(**over))

    assert [each.field for each in caught.value.problems] == [f"lines.1.{name}"]
    assert "line 2" in caught.value.message
    assert rows("SELECT id FROM invoices") == []


def test_all_that_is_wrong_is_told_at_once(organisation: UUID) -> None:
    with pytest.raises(DraftInvalid, match=r"and 3 more\). Nothing was saved") as caught:
        draft(
            new_line(description="", tax_code="Q"),
            new_line(quantity=Decimal("Infinity")),
            currency="XYZ",
        )

    assert [each.field for each in caught.value.problems] == [
        "currency",
        "lines.0.description",
        "lines.1.quantity",
        "lines.0.tax_code",
    ]


@pytest.mark.parametrize(
    ("prices", "words"),
    [
        (["89999999999", "1"] * 1_001, "more than can be booked"),
        (["10", "-10.01"], "less than nothing"),
    ],
)
def test_the_sum_of_the_lines_must_be_bookable(
    organisation: UUID, prices: list[str], words: str
) -> None:
    with pytest.raises(DraftInvalid, match=words) as caught:
        draft(*(new_line(unit_price=Decimal(price)) for price in prices))

    assert caught.value.field == "lines"


def test_a_draft_has_a_bearable_number_of_lines(organisation: UUID) -> None:
    with pytest.raises(DraftInvalid, match="5,000 lines"):
        draft(*[new_line()] * 5_001)


def test_a_line_that_takes_away_is_no_mistake(organisation: UUID) -> None:
    assert read("invoices", draft(new_line(), new_line(quantity=Decimal(-1)))).net_minor == 0


def test_a_currency_that_can_arrive_is_in_use(organisation: UUID) -> None:
    with transaction(organisation):
        factories.insert_row(
            "bank_accounts",
            organisation_id=organisation,
            id=new_id(),
            iban="CH9300762011623852957",
            name="Francs",
            currency="CHF",
        )

    assert read("invoices", draft(currency="CHF")).currency == "CHF"


def test_revenue_codes_are_those_that_are_agreed(organisation: UUID) -> None:
    make_issued_invoice()
    with acting_for(organisation):
        assert list_revenue_codes(on=ON) == ["4000"]  # Nothing is agreed: what was ever booked.
        assert list_tax_codes(on=ON) == [
            AgreedTax("E", 0),
            AgreedTax("R", 700),
            AgreedTax("S", 1_900),
        ]
    definition = rows("SELECT definition FROM rule_sets")[0].definition
    agreed = {"code": "V116", "parameters": {"revenue_codes": ["water", "waste"]}}
    definition["clause"].append(agreed)
    with acting_for(organisation):
        activate_rule_set(definition=definition, starts_on=ON)
        assert list_revenue_codes(on=ON) == ["water", "waste"]

    draft(new_line(revenue_code="waste"))
    with pytest.raises(DraftInvalid, match="use one of water, waste") as caught:
        draft(new_line(revenue_code="4000"))

    assert caught.value.field == "lines.0.revenue_code"


def test_revenue_codes_that_are_agreed_for_some_are_left_to_issuing(organisation: UUID) -> None:
    definition = rows("SELECT definition FROM rule_sets")[0].definition
    when = {"field": "payer_kind", "op": "eq", "value": "public_body"}
    parameters = {"revenue_codes": ["water"]}
    definition["clause"].append({"code": "V116", "parameters": parameters, "when": when})
    with acting_for(organisation):
        activate_rule_set(definition=definition, starts_on=ON)
        assert list_revenue_codes(on=ON) == ["water"]

    assert read("invoices", draft(new_line(revenue_code="salt"))).state == "draft"


def test_nothing_is_drafted_without_an_agreement(organisation: UUID) -> None:
    with transaction(organisation):
        execute("UPDATE rule_sets SET state = 'retired'")

    with pytest.raises(RuleSetNotFound):
        draft()


def test_payers_of_others_are_nobody(organisation: UUID, other_organisation: UUID) -> None:
    theirs = make_payer(organisation_id=other_organisation)

    for payer_id in (theirs.id, new_id()):
        with pytest.raises(DraftPayerMissing) as caught:
            draft(payer_id=payer_id)
        assert caught.value.field == "payer_id"

    assert rows("SELECT id FROM invoices") == []


def test_a_reference_belongs_to_one_living_document(organisation: UUID) -> None:
    first = draft(external_ref="R-1")

    with pytest.raises(ExternalRefTaken, match="R-1") as caught:
        draft(external_ref="R-1")

    assert (caught.value.invoice_id, caught.value.field) == (first, "external_ref")
    discard(first)
    again = draft(external_ref="R-1")
    other = draft(external_ref="R-2")
    with pytest.raises(ExternalRefTaken):
        change(other, 1, new_invoice(external_ref="R-1"))
    assert change(again, 1, new_invoice(external_ref="R-1")) == 2
    assert read("invoices", other).version == 1


def test_one_of_many_that_want_a_reference_gets_it(organisation: UUID, app: Flask) -> None:
    invoice = new_invoice(external_ref="R-1")

    results = do_at_once(
        app, [partial(draft_invoice, invoice=invoice, on=ON, actor=CLERK, now=NOW)] * 4
    )

    assert sum(isinstance(each, UUID) for each in results) == 1
    assert sum(isinstance(each, ExternalRefTaken) for each in results) == 3
    assert len(rows("SELECT id FROM invoices")) == 1
    assert len(rows("SELECT id FROM events WHERE kind = 'invoice.drafted'")) == 1


def test_a_reference_that_is_taken_leaves_the_outer_transaction_whole(organisation: UUID) -> None:
    draft(external_ref="R-1")
    wanted = new_invoice(external_ref="R-1")

    with transaction(organisation):
        with pytest.raises(ExternalRefTaken):
            draft_invoice(invoice=wanted, on=ON, actor=CLERK, now=NOW)
        made = draft_invoice(
            invoice=wanted._replace(external_ref="R-2"), on=ON, actor=CLERK, now=NOW
        )

    assert read("invoices", made).external_ref == "R-2"


def test_a_changed_draft_says_what_is_new_and_remembers_what_was(organisation: UUID) -> None:
    payer = make_payer()
    invoice_id = draft(new_line(), new_line(description="Water"), external_ref="R-1")
    former = read("invoices", invoice_id)
    wanted = new_invoice(
        new_line(description="Salt", unit_price=Decimal(7)),
        payer_id=payer.id,
        external_ref="R-1",
        kind=InvoiceKind.CREDIT_NOTE,
        purchase_order_ref="PO-9",
    )

    assert change(invoice_id, 1, wanted) == 2

    after = read("invoices", invoice_id)
    assert (after.version, after.state, after.kind) == (2, "draft", "credit_note")
    assert (after.payer_id, after.purchase_order_ref) == (payer.id, "PO-9")
    assert (after.net_minor, after.tax_minor, after.total_minor) == (700, 0, 700)
    assert after.document_on == former.document_on
    assert lines_of(invoice_id) == [(1, "Salt", 700)]
    assert events_of(invoice_id) == ["invoice.drafted", "invoice.changed"]
    (event,) = rows("SELECT * FROM events WHERE kind = 'invoice.changed'")
    assert (event.actor_name, event.happened_at) == (CLERK.name, NOW)
    assert event.details["before"] == {
        "kind": "invoice",
        "payer_id": str(former.payer_id),
        "purchase_order_ref": None,
        "net_minor": 20_000,
    }
    assert event.details["after"]["net_minor"] == event.details["amount_minor"] == 700
    assert broken_proofs() == []


def test_who_has_seen_an_old_version_changes_nothing(organisation: UUID) -> None:
    invoice_id = draft()
    change(invoice_id, 1, new_invoice(new_line(description="Salt")))

    for late in (
        partial(change, invoice_id, 1, new_invoice(new_line(description="Sugar"))),
        partial(discard, invoice_id, 1),
    ):
        with pytest.raises(InvoiceChanged, match="“Draft” now") as caught:
            late()
        assert caught.value.version == 2

    assert lines_of(invoice_id) == [(1, "Salt", 10_000)]
    assert events_of(invoice_id) == ["invoice.drafted", "invoice.changed"]


@pytest.mark.parametrize("state", ["pending_approval", "discarded"])
def test_only_a_draft_is_changed(organisation: UUID, state: str) -> None:
    made = make_draft_invoice(state=state)

    with pytest.raises(InvoiceNotDraft):
        change(made.id, 1, new_invoice())
    with pytest.raises(MoveNotAllowed):
        discard(made.id)

    assert read("invoices", made.id) == made


def test_an_issued_document_is_neither_changed_nor_discarded(organisation: UUID) -> None:
    made = make_issued_invoice()

    with pytest.raises(InvoiceNotDraft, match="“Issued”"):
        change(made.id, made.version, new_invoice())
    with pytest.raises(MoveNotAllowed, match="“Issued”"):
        discard(made.id, made.version)

    assert read("invoices", made.id) == made


def test_a_draft_that_is_changed_wrongly_stays_as_it_was(organisation: UUID) -> None:
    invoice_id = draft()
    former = read("invoices", invoice_id)

    with pytest.raises(DraftInvalid):
        change(invoice_id, 1, new_invoice()._replace(lines=[]))
    with pytest.raises(DraftPayerMissing):
        change(invoice_id, 1, new_invoice(payer_id=new_id()))

    assert read("invoices", invoice_id) == former
    assert lines_of(invoice_id) == [(1, "Berth fee", 10_000)]


def test_a_discarded_draft_stays_to_be_read(organisation: UUID) -> None:
    invoice_id = draft()

    discard(invoice_id)

    after = read("invoices", invoice_id)
    assert (after.state, after.version, after.number) == ("discarded", 2, None)
    assert events_of(invoice_id) == ["invoice.drafted", "invoice.discarded"]
    with pytest.raises(MoveNotAllowed, match="“Discarded”"):
        discard(invoice_id, 2)
    with pytest.raises(InvoiceNotDraft), acting_for(organisation):
        issue_invoice(invoice_id=invoice_id, version=2, on=ON, actor=CLERK, now=NOW)
    assert broken_proofs() == []


def test_one_of_those_who_change_a_draft_at_once_succeeds(organisation: UUID, app: Flask) -> None:
    invoice_id = draft()
    payer_id = make_payer().id
    wishes = [
        new_invoice(*[new_line(description=f"Wish {n}")] * n, payer_id=payer_id) for n in (1, 2, 3)
    ]

    results = do_at_once(
        app,
        [
            *(
                partial(
                    change_draft,
                    invoice_id=invoice_id,
                    version=1,
                    invoice=wish,
                    on=ON,
                    actor=CLERK,
                    now=NOW,
                )
                for wish in wishes
            ),
            partial(discard_draft, invoice_id=invoice_id, version=1, actor=CLERK, now=NOW),
        ],
    )

    assert sum(isinstance(each, InvoiceChanged) for each in results) == 3
    assert read("invoices", invoice_id).version == 2
    assert len(events_of(invoice_id)) == 2
    words = {description for _, description, _ in lines_of(invoice_id)}
    assert len(words) == 1
    assert broken_proofs() == []


def test_documents_of_others_are_not_there(organisation: UUID, other_organisation: UUID) -> None:
    theirs = make_draft_invoice(organisation_id=other_organisation)

    with pytest.raises(InvoiceMissing):
        change(theirs.id, 1, new_invoice())
    with pytest.raises(InvoiceMissing):
        discard(theirs.id)
    with pytest.raises(InvoiceMissing):
        discard(new_id())

    assert read("invoices", theirs.id, organisation_id=other_organisation) == theirs

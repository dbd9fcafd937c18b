"""How a payer is dealt with: what is kept of it, what it pauses, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any
from uuid import UUID

import pytest

from portal.db import acting_for
from portal.domain.batches import ItemOutcome
from portal.domain.payers import Arrangement, PayerTerms
from portal.queries.payers import PayerNotFound, get_payer, list_terms_changes
from portal.services.outcomes import ItemResult
from portal.services.payer_terms import TermsChanged, TermsInvalid, change_payer_terms
from portal.services.reminders import remind_invoices
from tests.factories import (
    CLERK,
    NOW,
    agree,
    make_issued_invoice,
    make_mandate,
    make_payer,
    read_row,
)
from tests.services.books import events_of, rows
from tests.services.collecting import start

TODAY = date(2026, 3, 18)
UNTIL = date(2026, 6, 30)
HARDSHIP = PayerTerms(arrangement=Arrangement.HARDSHIP, arranged_until=UNTIL)


@pytest.fixture(autouse=True)
def _acting(organisation: UUID) -> Iterator[None]:
    with acting_for(organisation):
        yield


def change(payer_id: UUID, terms: PayerTerms, **over: Any) -> None:
    given = {"reason": "Lost their work.", "on": TODAY, "actor": CLERK, "now": NOW, **over}
    change_payer_terms(payer_id=payer_id, terms=terms, **given)


def remind(invoice: Any, on: date) -> ItemResult:
    (result,) = remind_invoices(invoice_ids=[invoice.id], business_on=on, actor=CLERK, now=NOW)
    return result


def test_terms_are_kept_with_who_and_why() -> None:
    payer = make_payer()
    change(payer.id, HARDSHIP._replace(is_on_hold=True), reason="  Lost their\n work. ")
    row = read_row("payers", payer.id)
    kept = (row.is_on_hold, row.arrangement, row.arranged_until, row.version)
    assert kept == (True, "hardship", UNTIL, payer.version + 1)
    assert get_payer(payer.id).terms == HARDSHIP._replace(is_on_hold=True)

    change(payer.id, PayerTerms(), reason="Pays again.")
    latest, first = list_terms_changes(payer.id, 5)
    assert (first.actor, first.reason) == (CLERK.name, "Lost their work.")
    assert first.details["to"] == {
        "is_on_hold": True,
        "arrangement": "hardship",
        "arranged_until": "2026-06-30",
    }
    assert (latest.reason, latest.details["from"]) == ("Pays again.", first.details["to"])
    assert get_payer(payer.id).terms == PayerTerms()


def test_what_changes_nothing_is_not_recorded() -> None:
    payer = make_payer()
    change(payer.id, PayerTerms())
    assert events_of(payer.id) == []
    assert read_row("payers", payer.id).version == payer.version


def test_a_payer_who_has_changed_since_is_left_alone() -> None:
    payer = make_payer()
    change(payer.id, HARDSHIP, version=payer.version)
    with pytest.raises(TermsChanged):
        change(payer.id, PayerTerms(is_on_hold=True), version=payer.version)
    assert get_payer(payer.id).terms == HARDSHIP


@pytest.mark.parametrize(
    ("terms", "over", "field"),
    [
        (HARDSHIP, {"reason": " \n"}, "reason"),
        (HARDSHIP, {"reason": "x" * 501}, "reason"),
        (HARDSHIP, {"reason": "bell\a"}, "reason"),
        (PayerTerms(arrangement=Arrangement.INSTALMENTS), {}, "arranged_until"),
        (PayerTerms(arranged_until=UNTIL), {}, "arranged_until"),
        (HARDSHIP, {"on": UNTIL + timedelta(1)}, "arranged_until"),
    ],
)
def test_terms_that_cannot_be_are_refused(
    terms: PayerTerms, over: dict[str, Any], field: str
) -> None:
    payer = make_payer()
    with pytest.raises(TermsInvalid) as refused:
        change(payer.id, terms, **over)
    assert refused.value.field == field
    assert read_row("payers", payer.id) == payer
    assert events_of(payer.id) == []


def test_nothing_is_agreed_with_a_payer_who_is_many() -> None:
    payer = make_payer(is_default=True)
    with pytest.raises(TermsInvalid, match="many people"):
        change(payer.id, HARDSHIP)
    change(payer.id, PayerTerms(is_on_hold=True))
    assert read_row("payers", payer.id).is_on_hold


def test_a_hold_can_be_put_on_one_whose_arrangement_is_over() -> None:
    payer = make_payer(arrangement="hardship", arranged_until=TODAY - timedelta(1))
    change(payer.id, get_payer(payer.id).terms._replace(is_on_hold=True))
    assert read_row("payers", payer.id).is_on_hold


def test_another_organisations_payer_is_not_there(other_organisation: UUID) -> None:
    theirs = make_payer(organisation_id=other_organisation)
    with pytest.raises(PayerNotFound):
        change(theirs.id, HARDSHIP)
    with acting_for(other_organisation):
        assert get_payer(theirs.id).terms == PayerTerms()


def test_reminding_pauses_until_the_last_day_is_over() -> None:
    invoice = make_issued_invoice()
    change(invoice.payer_id, HARDSHIP)
    paused = remind(invoice, UNTIL)
    assert (paused.outcome, paused.code) == (ItemOutcome.FILTERED, "arranged")
    assert not rows("SELECT 1 FROM reminders")
    assert remind(invoice, UNTIL + timedelta(1)).outcome is ItemOutcome.DONE


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        (Arrangement.HARDSHIP, "There is a hardship agreement with the payer; follow its plan."),
        (
            Arrangement.INSTALMENTS,
            "Payment by instalments was agreed with the payer; follow its plan.",
        ),
    ],
)
def test_collecting_goes_on_unless_the_rules_say_otherwise(
    kind: Arrangement, sentence: str
) -> None:
    arranged, asked = make_issued_invoice(), make_issued_invoice()
    for invoice in (arranged, asked):
        make_mandate(payer_id=invoice.payer_id)
        change(invoice.payer_id, PayerTerms(arrangement=kind, arranged_until=UNTIL))
    assert start(arranged.id)[0].outcome is ItemOutcome.DONE
    agree({"code": "P110"}, on=TODAY)
    (refused,) = start(asked.id)
    assert (refused.outcome, refused.code) == (ItemOutcome.FILTERED, "P110")
    assert refused.message == sentence
    (traced,) = rows(
        "SELECT entries FROM rule_traces WHERE subject_id = %s AND stage = 'collect'", asked.id
    )
    assert sentence in str(traced.entries)
    change(asked.payer_id, PayerTerms(), reason="It has ended.")
    assert start(asked.id)[0].outcome is ItemOutcome.DONE

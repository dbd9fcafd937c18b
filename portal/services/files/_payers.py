"""Payers and mandates of a file: the decision about each, and the writing.

They share the staging of invoices: a document is one line here.
"""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import date, datetime

from portal.domain.payers import MandateState
from portal.domain.users import Actor
from portal.queries.organisations import list_payment_accounts
from portal.queries.payers import (
    PayerRow,
    list_known_mandate_refs,
    list_payers_by_ref,
    list_payers_with_active_mandate,
)
from portal.services.files._invoices import Decision, Taken
from portal.services.files._report import Refusal
from portal.services.files._stage import StagedDocument
from portal.services.payers import NewMandate, NewPayer, add_mandates, add_payers

ACTIVE = MandateState.ACTIVE.value

_NO_MANDATE = "The payer {payer} stands for documents without a payer and can give no mandate."


class PayerImport:
    """The import of one file of payers into one organisation."""

    def decide(self, documents: Sequence[StagedDocument]) -> Decision:
        """Decide about each payer of a chunk."""
        known = list_payers_by_ref(each.document_ref for each in documents)
        decision = Decision([], [], [])
        for document in documents:
            problem = _problem_of_line(document)
            if not problem and document.document_ref in known:
                problem = (
                    "already_here",
                    f"The payer {document.document_ref} is here already; leave the line out.",
                )
            if problem:
                decision.refused.append(Refusal(document, *problem))
            else:
                decision.taken.append(Taken(document, "payer", document.document_ref))
        return decision

    def write(self, taken: Sequence[Taken], *, actor: Actor, now: datetime) -> tuple[set[str], int]:
        """Add the payers."""
        rows = []
        for each in taken:
            name, kind, email, *_, country, vat_id = each.document.fields
            assert name is not None
            assert kind is not None
            rows.append(NewPayer(each.payer_ref, name, kind, email, country, vat_id=vat_id))
        added = add_payers(rows, actor=actor, now=now) if rows else 0
        return {each.payer_ref for each in taken}, added


class MandateImport:
    """The import of one file of mandates into one organisation."""

    def __init__(self) -> None:
        """Begin with the active mandates that are there and those the file has added."""
        self._active: set[tuple[str, str]] = set()

    def decide(self, documents: Sequence[StagedDocument]) -> Decision:
        """Decide about each mandate of a chunk."""
        readable = [each for each in documents if not each.errors_count]
        payers = list_payers_by_ref(each.fields[0] or "" for each in readable)
        refs = {payer.id: payer.external_ref for payer in payers.values()}
        self._active |= {
            (refs[payer_id], currency)
            for payer_id, currency in list_payers_with_active_mandate(refs)
        }
        known = list_known_mandate_refs(each.document_ref for each in documents)
        currencies = {each.currency for each in list_payment_accounts() if each.is_active}
        decision = Decision([], [], [])
        for document in documents:
            problem = _problem_of_line(document) or self._problem_of_mandate(
                document, payers, known, currencies
            )
            if problem:
                decision.refused.append(Refusal(document, *problem))
            else:
                decision.taken.append(Taken(document, "mandate", document.document_ref))
        return decision

    def _problem_of_mandate(
        self,
        document: StagedDocument,
        payers: Mapping[str, PayerRow],
        known: AbstractSet[str],
        currencies: AbstractSet[str],
    ) -> tuple[str, str] | None:
        """Say why a mandate cannot be added; one that can be is remembered if it is active."""
        payer_ref, _, currency, *_, state = document.fields
        payer = payers.get(payer_ref or "")
        pair = (payer_ref or "", currency or "")
        if document.document_ref in known:
            sentence = f"The mandate {document.document_ref} is here already; leave it out."
            return "already_here", sentence
        if payer is None:
            return "payer_unknown", f"The payer {payer_ref} is not known; import the payers first."
        if payer.is_default:
            return "payer_is_default", _NO_MANDATE.format(payer=payer_ref)
        if currency not in currencies:
            return "no_account", f"There is no active gateway account in {currency}; add one first."
        if state == ACTIVE and pair in self._active:
            sentence = f"The payer {payer_ref} has an active mandate in {currency} already."
            return "second_active", sentence
        if state == ACTIVE:
            self._active.add(pair)
        return None

    def write(self, taken: Sequence[Taken], *, actor: Actor, now: datetime) -> tuple[set[str], int]:
        """Add the mandates."""
        rows = []
        for each in taken:
            payer_ref, token, currency, *_, signed_on, state = each.document.fields
            assert payer_ref is not None
            assert token is not None
            assert currency is not None
            assert signed_on is not None
            assert state is not None
            rows.append(
                NewMandate(
                    payer_ref,
                    each.document.document_ref,
                    token,
                    date.fromisoformat(signed_on),
                    currency,
                    state,
                )
            )
        added = add_mandates(rows, actor=actor, now=now) if rows else 0
        assert added == len(rows), "each mandate was found possible in this transaction"
        return {each.payer_ref for each in taken}, 0


def _problem_of_line(document: StagedDocument) -> tuple[str, str] | None:
    if document.error is not None:
        return (
            "line_unreadable",
            f"Line {document.error_line}: {document.error}; correct the file.",
        )
    if document.lines_count > 1:
        place = f"{document.lines_count} lines, first on {document.first_line}"
        return (
            "twice_in_file",
            f"The reference {document.document_ref} is on {place}; keep one of them.",
        )
    return None

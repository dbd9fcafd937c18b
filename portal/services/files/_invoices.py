"""Documents of a file that become drafts: the decision about each, and the writing of a chunk."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Final, NamedTuple
from uuid import UUID

from portal.db import current_organisation_id
from portal.domain.invoices import InvoiceKind, InvoiceState
from portal.domain.money import AMOUNT_MINOR_MAX
from portal.domain.users import Actor
from portal.ids import new_id
from portal.queries.files import list_taken_refs
from portal.queries.payers import find_default_payer, find_payer_by_ref, list_payers_by_ref
from portal.services.files._mapping import ImportMapping
from portal.services.files._report import Refusal
from portal.services.files._stage import StagedDocument
from portal.services.files._statements import (
    COLUMNS,
    INSERT_DOCUMENTS,
    INSERT_EVENTS,
    INSERT_LINES,
    LIST_LINE_FACTS,
)
from portal.services.files._values import day_of, read_country
from portal.services.payers import NewPayer, add_payers
from portal.sql import execute, fetch_plain, stage_rows
from rules.ruleset import CompiledRuleSet
from rules.types import InvoiceFacts, LineFacts, Severity, Stage

INVOICE: Final = InvoiceKind.INVOICE.value
CREDIT_NOTE: Final = InvoiceKind.CREDIT_NOTE.value

_WRONG_SIGN = (
    "The document is a credit note by its number, but its total is {sign}; correct the amounts or"
    " the number."
)
_NEGATIVE = (
    "The total is negative; write it as a credit note, or let the mapping take negative documents"
    " as credit notes."
)


class Further(NamedTuple):
    """What few files say of a document."""

    buyer_reference: str | None
    cost_centre: str | None
    payment_ref: str | None
    period_from: date | None
    period_to: date | None


class Taken(NamedTuple):
    """A document that becomes a draft; its kind decides the sign of what it says."""

    document: StagedDocument
    kind: str
    payer_ref: str

    @property
    def sign(self) -> int:
        """Minus one where the source writes what we write positive as negative."""
        return -1 if self.document.net_minor < 0 else 1

    @property
    def external_ref(self) -> str:
        """The reference under which the source knows the document."""
        return self.document.fields[6] or self.document.document_ref

    @property
    def further(self) -> Further:
        """The references and the period, in the order in which `_lines` writes them."""
        buyer, cost_centre, payment_ref, first_on, last_on = self.document.fields[14:] or [None] * 5
        return Further(buyer, cost_centre, payment_ref, day_of(first_on), day_of(last_on))


class Known(NamedTuple):
    """What the database says about the documents of a chunk."""

    refs: Mapping[str, UUID | None]
    payer_kinds: Mapping[str, str]
    lines: Mapping[str, tuple[LineFacts, ...]]


class Decision(NamedTuple):
    """What becomes of a chunk: new drafts, documents an earlier try wrote, and refusals."""

    taken: list[Taken]
    already: list[Taken]
    refused: list[Refusal]


class InvoiceImport:
    """The import of one file of invoices into one organisation."""

    def __init__(
        self,
        *,
        table: str,
        file_id: UUID,
        mapping: ImportMapping,
        rule_set: CompiledRuleSet,
        business_on: date,
    ) -> None:
        """Look up who stands for documents that name no payer."""
        self.table = table
        self.file_id = file_id
        self.mapping = mapping
        self.rule_set = rule_set
        self.business_on = business_on
        self.default_ref = _default_ref(mapping)

    def decide(self, documents: Sequence[StagedDocument]) -> Decision:
        """Decide about each document of a chunk, in four statements; nothing is written."""
        known = self._look_up(documents)
        decision = Decision([], [], [])
        for document in documents:
            decided = self._decide_one(document, known)
            if isinstance(decided, Refusal):
                decision.refused.append(decided)
            elif known.refs.get(decided.external_ref) == self.file_id:
                decision.already.append(decided)
            else:
                decision.taken.append(decided)
        return decision

    def write(self, taken: Sequence[Taken], *, actor: Actor, now: datetime) -> tuple[set[str], int]:
        """Write documents as drafts with their lines, payers and events.

        Shape: the references that were written (all but those that appeared meanwhile), and how
        many payers were added.
        """
        if not taken:
            return set(), 0
        payers_added = self._add_payers(taken, actor=actor, now=now)
        stage_rows(
            "taken_documents",
            COLUMNS,
            [
                (
                    place,
                    new_id(),
                    each.document.document_ref,
                    each.kind,
                    each.sign,
                    each.payer_ref,
                    each.document.fields[2],
                    each.external_ref,
                    each.document.fields[7],
                    day_of(each.document.fields[1]),
                    day_of(each.document.fields[8]),
                    *each.further,
                    each.sign * each.document.net_minor,
                )
                for place, each in enumerate(taken)
            ],
        )
        values = {
            "organisation": current_organisation_id(),
            "file_id": self.file_id,
            "state": InvoiceState.DRAFT.value,
            "now": now,
            "low": min(each.document.first_line for each in taken),
            "high": max(each.document.last_line for each in taken),
            "actor_kind": actor.kind,
            "actor_id": actor.id,
            "actor_name": actor.name,
        }
        written = {row[0] for row in fetch_plain(INSERT_DOCUMENTS, values)}
        if len(written) < len(taken):
            execute(
                "DELETE FROM pg_temp.taken_documents WHERE external_ref <> ALL(%s)",
                (list(written),),
            )
        # The statistics know nothing of lines that were staged a moment ago, and the database then
        # compares each line with each document.
        execute("SET LOCAL enable_nestloop = off")
        execute(INSERT_LINES.format(table=self.table), values)
        execute("SET LOCAL enable_nestloop = on")
        execute(INSERT_EVENTS, values)
        return written, payers_added

    def _look_up(self, documents: Sequence[StagedDocument]) -> Known:
        refs = [each.fields[6] or each.document_ref for each in documents if each.fields]
        payers = {each.fields[0] for each in documents if each.fields and each.fields[0]}
        if self.default_ref:
            payers.add(self.default_ref)
        known = list_payers_by_ref(payer for payer in payers if payer)
        return Known(
            list_taken_refs(refs),
            {reference: payer.kind for reference, payer in known.items()},
            self._list_line_facts(documents),
        )

    def _list_line_facts(
        self, documents: Sequence[StagedDocument]
    ) -> dict[str, tuple[LineFacts, ...]]:
        """Sum the lines of documents by their codes, which is all that the rules ask of them.

        Shape: the position is the number of the first such line in the file.
        """
        readable = [each for each in documents if not each.errors_count]
        if not readable:
            return {}
        rows = fetch_plain(
            LIST_LINE_FACTS.format(table=self.table),
            (
                self.file_id,
                min(each.first_line for each in readable),
                max(each.last_line for each in readable),
                [each.document_ref for each in readable],
            ),
        )
        lines: dict[str, list[LineFacts]] = {}
        for document_ref, number, net_minor, revenue_code, tax_code in rows:
            facts = LineFacts(number, net_minor, revenue_code, tax_code)
            lines.setdefault(document_ref, []).append(facts)
        return {document_ref: tuple(facts) for document_ref, facts in lines.items()}

    def _decide_one(self, document: StagedDocument, known: Known) -> Taken | Refusal:
        """Decide about one document; the order of the checks is their precedence."""
        problem = _problem_of_lines(document)
        if problem:
            return Refusal(document, *problem)
        external_ref = document.fields[6] or document.document_ref
        owner = known.refs.get(external_ref, self.file_id)
        if owner != self.file_id:
            return Refusal(
                document,
                "already_here",
                f"The document {external_ref} was imported before; leave it out, or give it its"
                " own number.",
            )
        payer_ref = document.fields[0] or self.default_ref
        problem = self._problem_of_payer(payer_ref, known)
        kind = self._kind_of(document)
        if not problem and not isinstance(kind, str):
            problem = kind
        if problem:
            return Refusal(document, *problem)
        assert isinstance(kind, str)
        assert payer_ref is not None
        taken = Taken(document, kind, payer_ref)
        if external_ref in known.refs:
            return taken
        return self._ask_rules(taken, known)

    def _problem_of_payer(self, payer_ref: str | None, known: Known) -> tuple[str, str] | None:
        if payer_ref is None:
            return (
                "payer_missing",
                "The document names no payer and there is no default payer; name who owes it.",
            )
        if payer_ref not in known.payer_kinds and not self.mapping.payers_create:
            return (
                "payer_unknown",
                f"The payer {payer_ref} is not known; import the payers first.",
            )
        return None

    def _kind_of(self, document: StagedDocument) -> str | tuple[str, str]:
        """Tell whether a document is an invoice or a credit note, or why it is neither."""
        total = document.net_minor
        by_number = document.document_ref.startswith(self.mapping.credit_note_prefixes)
        wanted = -1 if self.mapping.credit_notes_are == "negative" else 1
        if total == 0:
            return (
                "nothing_to_bill",
                "The document comes to zero, so there is nothing to bill; leave it out.",
            )
        if abs(total) > AMOUNT_MINOR_MAX:
            return "amount_too_large", "The document comes to more than can be booked; split it."
        if by_number and total * wanted < 0:
            sign = "positive" if total > 0 else "negative"
            return "credit_note_sign", _WRONG_SIGN.format(sign=sign)
        if not by_number and total < 0 and self.mapping.negative_documents == "refuse":
            return "negative_total", _NEGATIVE
        return CREDIT_NOTE if by_number or total < 0 else INVOICE

    def _ask_rules(self, taken: Taken, known: Known) -> Taken | Refusal:
        """Ask the agreement's checks of the stage import; the first that blocks refuses."""
        document, sign = taken.document, taken.sign
        lines = known.lines.get(document.document_ref, ())
        if sign < 0:
            lines = tuple([line._replace(net_minor=-line.net_minor) for line in lines])
        total_minor = sign * document.net_minor
        facts = InvoiceFacts(
            invoice_id="",
            kind=taken.kind,
            currency=document.fields[2] or "",
            payer_kind=known.payer_kinds.get(taken.payer_ref, self.mapping.payer_kind),
            payer_ref=document.fields[0],
            has_default_payer=self.default_ref is not None,
            external_ref=taken.external_ref,
            purchase_order_ref=document.fields[7],
            document_on=day_of(document.fields[1]),
            business_date=self.business_on,
            is_duplicate=False,
            lines=lines,
            total_minor=total_minor,
            open_minor=total_minor,
            due_on=day_of(document.fields[8]),
            **taken.further._asdict(),
        )
        for finding in self.rule_set.validate(Stage.IMPORT, facts):
            if finding.severity is Severity.BLOCK:
                return Refusal(document, finding.code, finding.message)
        return taken

    def _add_payers(self, taken: Sequence[Taken], *, actor: Actor, now: datetime) -> int:
        """Add the payers of documents that are not there yet, the default payer with them."""
        wanted = {each.payer_ref: each for each in reversed(taken)}
        known = list_payers_by_ref(wanted)
        added = []
        for payer_ref, each in sorted(wanted.items(), key=lambda item: item[1].document.first_line):
            if payer_ref in known:
                continue
            is_default = payer_ref == self.default_ref and not each.document.fields[0]
            added.append(self._new_payer(payer_ref, each.document, is_default=is_default))
        return add_payers(added, actor=actor, now=now) if added else 0

    def _new_payer(self, payer_ref: str, document: StagedDocument, *, is_default: bool) -> NewPayer:
        mapping = self.mapping
        if is_default:
            return NewPayer(
                payer_ref, mapping.payer_default_name or payer_ref, mapping.payer_kind,
                is_default=True,
            )  # fmt: skip
        name = document.fields[10] or mapping.payer_name.replace("{reference}", payer_ref)
        country = read_country(document.fields[9] or "", mapping.countries)
        return NewPayer(payer_ref, name, mapping.payer_kind, country=country)


def _default_ref(mapping: ImportMapping) -> str | None:
    """Return who stands for documents that name no payer: the mapping says it, or the database."""
    default = find_default_payer()
    if mapping.payer_default is None:
        return default.external_ref if default else None
    if mapping.payers_create or find_payer_by_ref(mapping.payer_default):
        return mapping.payer_default
    return default.external_ref if default else None


def _problem_of_lines(document: StagedDocument) -> tuple[str, str] | None:
    """Say why the lines of a document cannot be taken together, or at all."""
    if document.error is not None:
        more = document.errors_count - 1
        others = f", and {more} more of its lines" if more else ""
        return (
            "line_unreadable",
            f"Line {document.error_line}: {document.error}{others}; correct the file.",
        )
    if document.has_many_payers:
        return "payers_differ", "The lines of the document name different payers; split it."
    if document.has_many_currencies:
        return "currencies_differ", "The lines of the document have different currencies; split it."
    if document.place > 1:
        return (
            "twice_in_file",
            "The file has another document with the same reference before; keep one of them.",
        )
    return None

"""Applying what a payer has – credit notes, credits, deposits – to what the payer owes.

In which order is the agreement's matter.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import NamedTuple
from uuid import UUID

from portal.db import current_organisation_id, transaction
from portal.domain.batches import ItemOutcome
from portal.domain.deposits import DEPOSIT_MOVES, USABLE_DEPOSIT_STATES, DepositState
from portal.domain.invoices import InvoiceKind, InvoiceState
from portal.domain.ledger import AccountKind, EntryKind
from portal.domain.users import Actor
from portal.ids import new_id
from portal.services.events import record_events
from portal.services.ledger import Account, LedgerBook
from portal.services.outcomes import ItemResult
from portal.sql import execute, fetch_plain, stage_rows
from rules.ruleset import CompiledRuleSet
from rules.types import OpenInvoiceFacts, SourceFacts, SourceKind

Purse = tuple[UUID, str]
USABLE = {state.value: state for state in USABLE_DEPOSIT_STATES}


class Source(NamedTuple):
    """Locked money of a payer, as the rules are told of it and as it is booked."""

    facts: SourceFacts
    id: UUID
    payer_id: UUID
    currency: str
    state: DepositState | None = None


class Debt(NamedTuple):
    """A locked invoice with something open that no payment is under way for."""

    facts: OpenInvoiceFacts
    id: UUID
    payer_id: UUID
    currency: str


class Use(NamedTuple):
    """A part of a source that settles a part of an invoice."""

    id: UUID
    source: Source
    debt: Debt
    amount_minor: int


def apply_credits(
    *,
    payer_ids: Sequence[UUID],
    business_on: date,
    rule_set: CompiledRuleSet,
    actor: Actor,
    now: datetime,
) -> list[ItemResult]:
    """Settle the open invoices of payers from their own money, in the order that is agreed.

    Shape: one result per payer in the order given; its amount is what was applied. Invoices in
    payment are touched only for what no payment is under way for. Nothing crosses currencies.
    """
    with transaction():
        sources, debts = _lock(sorted(set(payer_ids)))
        if "revenue_codes" in rule_set.needs:
            _tell_revenue_codes(debts)
        uses = _decide(rule_set, sources, debts)
        book_uses(uses, business_on, actor=actor, now=now)
        applied: Counter[UUID] = Counter()
        for use in uses:
            applied[use.debt.payer_id] += use.amount_minor
        return [_result(payer_id, applied[payer_id]) for payer_id in payer_ids]


def book_uses(uses: Sequence[Use], business_on: date, *, actor: Actor, now: datetime) -> None:
    """Settle invoices from sources that are locked, inside the open transaction."""
    if uses:
        _write_allocations(uses, business_on)
        _raise_invoices(uses)
        _raise_sources(uses)
        _post(uses, business_on)
        record_events(_events(uses), actor=actor, now=now)


def _result(payer_id: UUID, applied_minor: int) -> ItemResult:
    if applied_minor:
        return ItemResult(payer_id, ItemOutcome.DONE, amount_minor=applied_minor)
    message = "Nothing of what the payer has may settle anything that is open."
    return ItemResult(payer_id, ItemOutcome.FILTERED, "nothing_to_apply", message)


def _lock(payer_ids: Sequence[UUID]) -> tuple[dict[Purse, list[Source]], dict[Purse, list[Debt]]]:
    """Lock what payers have and owe: credits, deposits, then documents, each in id order."""
    sources: dict[Purse, list[Source]] = {}
    debts: dict[Purse, list[Debt]] = {}
    wanted = {"payers": list(payer_ids)}
    for source_id, payer_id, currency, left_minor, since in fetch_plain(
        "SELECT id, payer_id, currency, left_minor, since_on FROM payer_credits"
        " WHERE payer_id = ANY(%(payers)s) AND applied_minor < amount_minor"
        " ORDER BY id FOR UPDATE",
        wanted,
    ):
        facts = SourceFacts("payer_credit", str(source_id), left_minor, since, True)
        source = Source(facts, source_id, payer_id, currency)
        sources.setdefault((payer_id, currency), []).append(source)
    for source_id, payer_id, currency, left_minor, since, state in fetch_plain(
        "SELECT id, payer_id, currency, left_minor, received_on, state FROM deposits"
        " WHERE payer_id = ANY(%(payers)s) AND state = ANY(%(states)s) AND left_minor > 0"
        " AND may_set_off ORDER BY id FOR UPDATE",
        wanted | {"states": list(USABLE)},
    ):
        facts = SourceFacts("deposit", str(source_id), left_minor, since or date.max, True)
        source = Source(facts, source_id, payer_id, currency, USABLE[state])
        sources.setdefault((payer_id, currency), []).append(source)
    for document_id, payer_id, currency, kind, left_minor, total_minor, due, issued in fetch_plain(
        "SELECT id, payer_id, currency, kind, open_minor - in_payment_minor + credit_left_minor,"
        " total_minor, due_on, issued_on FROM invoices WHERE payer_id = ANY(%(payers)s)"
        " AND state = %(issued)s AND open_minor - in_payment_minor + credit_left_minor > 0"
        " ORDER BY id FOR UPDATE",
        wanted | {"issued": InvoiceState.ISSUED.value},
    ):
        purse = payer_id, currency
        if kind == InvoiceKind.CREDIT_NOTE.value:
            facts = SourceFacts("credit_note", str(document_id), left_minor, issued, True)
            sources.setdefault(purse, []).append(Source(facts, document_id, *purse))
        else:
            owed = OpenInvoiceFacts(str(document_id), left_minor, due, issued, total_minor)
            debts.setdefault(purse, []).append(Debt(owed, document_id, *purse))
    return sources, debts


def _tell_revenue_codes(debts: dict[Purse, list[Debt]]) -> None:
    """Look up what the open documents are for, where the agreement orders them by that."""
    rows = fetch_plain(
        "SELECT invoice_id, array_agg(DISTINCT revenue_code ORDER BY revenue_code)"
        " FROM invoice_lines WHERE organisation_id = %s AND invoice_id = ANY(%s)"
        " GROUP BY invoice_id",
        (current_organisation_id(), [each.id for owed in debts.values() for each in owed]),
    )
    codes = {invoice_id: tuple(found) for invoice_id, found in rows}
    for purse, owed in debts.items():
        debts[purse] = [
            each._replace(facts=each.facts._replace(revenue_codes=codes.get(each.id, ())))
            for each in owed
        ]


def _decide(
    rule_set: CompiledRuleSet,
    sources: dict[Purse, list[Source]],
    debts: dict[Purse, list[Debt]],
) -> list[Use]:
    """Ask the agreement, payer by payer and currency by currency."""
    uses: list[Use] = []
    for purse in sorted(sources.keys() & debts.keys()):
        known_sources = {(each.facts.kind, each.facts.id): each for each in sources[purse]}
        known_debts = {each.facts.id: each for each in debts[purse]}
        parts = rule_set.allocate(
            [each.facts for each in sources[purse]], [each.facts for each in debts[purse]]
        )
        uses += (
            Use(
                new_id(),
                known_sources[part.source_kind, part.source_id],
                known_debts[part.invoice_id],
                part.amount_minor,
            )
            for part in parts
        )
    return uses


def _write_allocations(uses: Sequence[Use], business_on: date) -> None:
    def source_ids(source: Source) -> tuple[UUID | None, ...]:
        kinds: tuple[SourceKind, ...] = ("deposit", "payer_credit", "credit_note")
        return tuple(source.id if source.facts.kind == kind else None for kind in kinds)

    stage_rows(
        "staged_allocations",
        {
            "id": "uuid",
            "invoice_id": "uuid",
            "deposit_id": "uuid",
            "payer_credit_id": "uuid",
            "credit_note_id": "uuid",
            "currency": "text",
            "amount_minor": "bigint",
        },
        (
            (use.id, use.debt.id, *source_ids(use.source), use.debt.currency, use.amount_minor)
            for use in uses
        ),
    )
    execute(
        "INSERT INTO allocations (organisation_id, applied_on, id, invoice_id, deposit_id,"
        " payer_credit_id, credit_note_id, currency, amount_minor)"
        " SELECT %s, %s, s.* FROM pg_temp.staged_allocations s",
        (current_organisation_id(), business_on),
    )


def _raise_invoices(uses: Iterable[Use]) -> None:
    """Raise what is credited or paid on the invoices and what is applied of credit notes."""
    paid: Counter[UUID] = Counter()
    credited: Counter[UUID] = Counter()
    applied: Counter[UUID] = Counter()
    for use in uses:
        if use.source.facts.kind == "credit_note":
            credited[use.debt.id] += use.amount_minor
            applied[use.source.id] += use.amount_minor
        else:
            paid[use.debt.id] += use.amount_minor
    touched = sorted({*paid, *credited, *applied})
    execute(
        "UPDATE invoices i SET paid_minor = i.paid_minor + s.paid,"
        " credited_minor = i.credited_minor + s.credited,"
        " applied_minor = i.applied_minor + s.applied, version = i.version + 1"
        " FROM unnest(%s::uuid[], %s::bigint[], %s::bigint[], %s::bigint[])"
        " AS s (id, paid, credited, applied) WHERE i.organisation_id = %s AND i.id = s.id",
        (
            touched,
            *([amounts[each] for each in touched] for amounts in (paid, credited, applied)),
            current_organisation_id(),
        ),
    )


def _raise_sources(uses: Sequence[Use]) -> None:
    """Raise what is applied of payer credits and deposits, and move the deposits."""
    applied: dict[str, Counter[Source]] = {"payer_credit": Counter(), "deposit": Counter()}
    for use in uses:
        if use.source.facts.kind in applied:
            applied[use.source.facts.kind][use.source] += use.amount_minor
    held_credits, deposits = applied["payer_credit"], applied["deposit"]
    if held_credits:
        execute(
            "UPDATE payer_credits c SET applied_minor = c.applied_minor + s.amount"
            " FROM unnest(%s::uuid[], %s::bigint[]) AS s (id, amount)"
            " WHERE c.organisation_id = %s AND c.id = s.id",
            (
                [source.id for source in held_credits],
                list(held_credits.values()),
                current_organisation_id(),
            ),
        )
    if deposits:
        execute(
            "UPDATE deposits d SET applied_minor = d.applied_minor + s.amount, state = s.state,"
            " version = d.version + 1"
            " FROM unnest(%s::uuid[], %s::bigint[], %s::text[]) AS s (id, amount, state)"
            " WHERE d.organisation_id = %s AND d.id = s.id",
            (
                [source.id for source in deposits],
                list(deposits.values()),
                [_next_state(source, amount).value for source, amount in deposits.items()],
                current_organisation_id(),
            ),
        )


def _next_state(deposit: Source, applied_minor: int) -> DepositState:
    assert deposit.state is not None
    event = "apply" if applied_minor == deposit.facts.available_minor else "apply_part"
    return DEPOSIT_MOVES.next(deposit.state, event)


def _post(uses: Sequence[Use], business_on: date) -> None:
    book = LedgerBook()
    kinds: dict[str, tuple[EntryKind, AccountKind]] = {
        "credit_note": (EntryKind.CREDIT_APPLIED, AccountKind.PAYER_CREDITS),
        "payer_credit": (EntryKind.CREDIT_APPLIED, AccountKind.PAYER_CREDITS),
        "deposit": (EntryKind.DEPOSIT_APPLIED, AccountKind.DEPOSITS_HELD),
    }
    for use in uses:
        entry_kind, held_as = kinds[use.source.facts.kind]
        entry_id = book.add_entry(
            entry_kind, source_type="allocation", source_id=use.id, effective_on=business_on
        )
        book.post(
            entry_id,
            Account(held_as, use.debt.currency),
            Account(AccountKind.RECEIVABLE, use.debt.currency),
            use.amount_minor,
            payer_id=use.debt.payer_id,
            invoice_id=use.debt.id,
        )
    book.write()


def _events(uses: Iterable[Use]) -> list[tuple[str, UUID]]:
    """Name what happened once per invoice and source."""
    names: dict[str, tuple[str, str]] = {
        "credit_note": ("invoice.credited", "invoice.credit_applied"),
        "payer_credit": ("invoice.paid_from_credit", "payer_credit.applied"),
        "deposit": ("invoice.paid_from_deposit", "deposit.applied"),
    }
    happened: list[tuple[str, UUID]] = []
    for use in uses:
        to_debt, to_source = names[use.source.facts.kind]
        happened += ((to_debt, use.debt.id), (to_source, use.source.id))
    return list(dict.fromkeys(happened))

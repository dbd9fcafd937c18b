"""Reminding of overdue invoices: the level that is next, and its fees and interest as a charge."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final, NamedTuple
from uuid import UUID

from portal.db import current_organisation_id, transaction
from portal.domain.batches import ItemOutcome
from portal.domain.invoices import InvoiceKind, InvoiceState
from portal.domain.money import currency_exponent
from portal.domain.users import Actor
from portal.ids import new_id
from portal.queries.invoices import document_number
from portal.queries.populations import DISPUTED, LEFT_OUT_SENTENCES
from portal.services.events import record_events
from portal.services.invoices import Draft, book_charges, facts_of_draft, read_documents
from portal.services.notices import write_notices
from portal.services.outcomes import ItemResult
from portal.services.rulesets import load_rule_set
from portal.services.traces import record_traces
from portal.sql import execute, fetch, stage_rows
from rules.ruleset import CompiledRuleSet
from rules.traces import trace_charges, trace_level
from rules.types import Charge, InvoiceFacts, InvoicePrice, Reached, Severity, Stage, TaxAmount

# Interest grows with the days; of the fees, only that of the level comes with every notice.
_INTEREST: Final = "C203"
_EVERY_TIME: Final = (_INTEREST, "C204")
# Fees and interest for lateness are no consideration, and so outside the scope of tax.
_UNTAXED: Final = "O"
_REVENUE: Final = {True: "interest", False: "late_fee"}
_LOCK: Final = (
    f"SELECT i.id, {document_number('i')} AS number, i.state, i.kind, i.due_on, i.total_minor,"
    " i.open_minor, i.in_payment_minor, EXISTS (SELECT FROM payments y"
    f" WHERE y.organisation_id = i.organisation_id AND y.invoice_id = i.id AND {DISPUTED})"
    " AS is_disputed FROM invoices i WHERE i.organisation_id = %s AND i.id = ANY(%s)"
    " ORDER BY i.id FOR UPDATE OF i"
)
_CODES: Final = {
    "not_found": "There is no such document.",
    "not_overdue": "Nothing of it is overdue.",
    "is_charge": "It is no invoice; of charges and credit notes nobody is reminded.",
    "level_not_reached": "The next level of reminder is not reached yet.",
}
_COLUMNS: Final = {
    "id": "uuid",
    "invoice_id": "uuid",
    "payer_id": "uuid",
    "level": "int",
    "reminded_on": "date",
    "currency": "text",
    "open_minor": "bigint",
    "fee_minor": "bigint",
    "interest_minor": "bigint",
    "charge_invoice_id": "uuid",
    "clause_codes": "text[]",
    "rule_set_version": "int",
}


class _Past(NamedTuple):
    """What was sent about a document before."""

    level: int = 0
    reminded_on: date | None = None
    interest_on: date | None = None
    codes: frozenset[str] = frozenset()


class _Notice(NamedTuple):
    """A reminder that is to be written."""

    draft: Draft
    number: str
    facts: InvoiceFacts
    reached: Reached
    charges: tuple[Charge, ...]

    def sum_minor(self, *, is_interest: bool) -> int:
        """Add up its interest, or else its fees."""
        return sum(
            each.amount_minor for each in self.charges if (each.code == _INTEREST) is is_interest
        )


def remind_invoices(
    *, invoice_ids: Sequence[UUID], business_on: date, actor: Actor, now: datetime
) -> list[ItemResult]:
    """Remind of overdue invoices, each one level higher than before, and charge what was agreed.

    Shape: one result per id, in id order; its amount is what is open. What is paused or has not
    reached its next level is filtered, with the clause or the reason. With each reminder the
    message to its payer is written, where the organisation has an account for notices.
    Raises: IssuedBeforeLast.
    """
    with transaction():
        version, rule_set = load_rule_set(on=business_on)
        rows = {row.id: row for row in fetch(_LOCK, (current_organisation_id(), list(invoice_ids)))}
        past = _read_past(invoice_ids)
        results = {each: _filtered(each, "not_found") for each in sorted(set(invoice_ids))}
        notices = []
        for draft, lines in read_documents(invoice_ids=invoice_ids, rule_set=rule_set):
            row, before = rows[draft.id], past.get(draft.id, _Past())
            facts = facts_of_draft(draft, lines, business_on)._replace(
                total_minor=row.total_minor,
                open_minor=row.open_minor,
                is_disputed=row.is_disputed,
                reminder_level=before.level,
            )
            refusal = _find_refusal(row, draft, before, business_on)
            result = refusal or _ask(rule_set, facts, before)
            if isinstance(result, ItemResult):
                results[draft.id] = result
                continue
            facts = facts._replace(reminder_level=result.level)
            charges = tuple(_list_charges(rule_set, facts, before))
            notices.append(_Notice(draft, row.number, facts, result, charges))
            results[draft.id] = ItemResult(
                draft.id, ItemOutcome.DONE, amount_minor=facts.open_minor
            )
        _write(notices, rule_set, version=version, on=business_on, actor=actor, now=now)
        return list(results.values())


def _filtered(invoice_id: UUID, code: str) -> ItemResult:
    message = _CODES.get(code) or LEFT_OUT_SENTENCES[code]
    return ItemResult(invoice_id, ItemOutcome.FILTERED, code, message)


def _read_past(invoice_ids: Sequence[UUID]) -> dict[UUID, _Past]:
    past: dict[UUID, _Past] = {}
    for row in fetch(
        "SELECT invoice_id, level, reminded_on, interest_minor, clause_codes FROM reminders"
        " WHERE organisation_id = %s AND invoice_id = ANY(%s) ORDER BY invoice_id, level",
        (current_organisation_id(), list(invoice_ids)),
    ):
        before = past.get(row.invoice_id, _Past())
        past[row.invoice_id] = _Past(
            row.level,
            row.reminded_on,
            row.reminded_on if row.interest_minor else before.interest_on,
            before.codes.union(row.clause_codes),
        )
    return past


def _find_refusal(row: Any, draft: Draft, before: _Past, on: date) -> ItemResult | None:
    """Say what keeps a document from being reminded of, whatever was agreed; None if nothing."""
    for code, is_so in (
        ("is_charge", row.kind not in (InvoiceKind.INVOICE, InvoiceKind.CORRECTION)),
        (
            "not_overdue",
            row.state != InvoiceState.ISSUED or row.open_minor <= 0 or row.due_on >= on,
        ),
        ("default_payer", draft.is_default_payer),
        ("in_payment", row.in_payment_minor > 0),
        ("reminded_today", before.reminded_on is not None and before.reminded_on >= on),
    ):
        if is_so:
            return _filtered(draft.id, code)
    return None


def _ask(rule_set: CompiledRuleSet, facts: InvoiceFacts, before: _Past) -> Reached | ItemResult:
    """Ask the agreement for the next level, which is one higher than the last; or why not."""
    invoice_id = UUID(facts.invoice_id)
    reached = rule_set.reach_level(facts)
    if reached.level <= before.level:
        return _filtered(invoice_id, "level_not_reached")
    for each in rule_set.validate(Stage.REMIND, facts):
        if each.severity is Severity.BLOCK:
            return ItemResult(invoice_id, ItemOutcome.FILTERED, each.code, each.message)
    # Also where no clause says so: nobody is pressed on hold, in dispute or with more time.
    if facts.is_on_hold:
        return _filtered(invoice_id, "payer_on_hold")
    if facts.is_disputed:
        return _filtered(invoice_id, "disputed")
    if facts.arrangement is not None:
        return _filtered(invoice_id, "arranged")
    return reached._replace(level=before.level + 1)


def _list_charges(
    rule_set: CompiledRuleSet, facts: InvoiceFacts, before: _Past
) -> Iterable[Charge]:
    """List what a notice charges: interest only for days that bear none yet, a late fee once."""
    borne_minor = 0
    if before.interest_on is not None:
        earlier = rule_set.late_fee(facts._replace(business_date=before.interest_on))
        borne_minor = sum(each.amount_minor for each in earlier if each.code == _INTEREST)
    for each in rule_set.late_fee(facts):
        if each.code == _INTEREST:
            fresh_minor = each.amount_minor - borne_minor
            borne_minor = max(0, -fresh_minor)
            if fresh_minor > 0:
                since = before.interest_on or facts.due_on
                assert since is not None
                days = (facts.business_date - since).days
                words = f"Interest for {days} {'day' if days == 1 else 'days'}"
                yield each._replace(amount_minor=fresh_minor, description=words)
        elif each.code in _EVERY_TIME or each.code not in before.codes:
            yield each


def _write(
    notices: Sequence[_Notice],
    rule_set: CompiledRuleSet,
    *,
    version: int,
    on: date,
    actor: Actor,
    now: datetime,
) -> None:
    if not notices:
        return
    charged = [each for each in notices if each.charges]
    charges = dict(
        zip(
            [each.draft.id for each in charged],
            book_charges(
                [_draft_charge(each, rule_set, on) for each in charged],
                business_on=on,
                version=version,
                actor=actor,
                now=now,
            ),
            strict=True,
        )
    )
    write_notices(_write_rows(notices, charges, version, on))
    record_events((("invoice.reminded", each.draft.id) for each in notices), actor=actor, now=now)
    record_traces(
        (
            (
                each.draft.id,
                trace_level(each.facts, each.reached) + trace_charges(each.facts, each.charges),
            )
            for each in notices
        ),
        subject_type="invoice",
        stage=Stage.REMIND,
        version=version,
        on=on,
        now=now,
    )


def _write_rows(
    notices: Sequence[_Notice], charges: Mapping[UUID, UUID], version: int, on: date
) -> list[UUID]:
    ids = [new_id() for _ in notices]
    stage_rows(
        "staged_reminders",
        _COLUMNS,
        (
            (
                reminder_id,
                each.draft.id,
                each.draft.payer_id,
                each.reached.level,
                on,
                each.draft.currency,
                each.facts.open_minor,
                each.sum_minor(is_interest=False),
                each.sum_minor(is_interest=True),
                charges.get(each.draft.id),
                [charge.code for charge in each.charges],
                version,
            )
            for reminder_id, each in zip(ids, notices, strict=True)
        ),
    )
    execute(
        f"INSERT INTO reminders (organisation_id, {', '.join(_COLUMNS)})"
        " SELECT %s, s.* FROM pg_temp.staged_reminders s",
        (current_organisation_id(),),
    )
    return ids


def _draft_charge(
    notice: _Notice, rule_set: CompiledRuleSet, on: date
) -> tuple[Draft, InvoicePrice, list[tuple[object, ...]]]:
    """Make the charge of a notice: a draft, its price without tax, and its lines."""
    parts = [(is_interest, notice.sum_minor(is_interest=is_interest)) for is_interest in _REVENUE]
    revenues = tuple(sorted((_REVENUE[kind], amount) for kind, amount in parts if amount))
    total_minor = sum(amount for _, amount in revenues)
    draft = notice.draft._replace(
        id=new_id(),
        kind=InvoiceKind.CHARGE.value,
        state=InvoiceState.DRAFT.value,
        external_ref=None,
        document_on=on,
        due_on=None,
        period_from=None,
        period_to=None,
    )
    # Only the day it is due is asked for: no tariff or addition is meant for charges.
    due_on = rule_set.price(facts_of_draft(draft, (), on)).due_on
    price = InvoicePrice(
        total_minor,
        0,
        total_minor,
        (TaxAmount(_UNTAXED, 0, total_minor, 0),),
        revenues,
        due_on,
    )
    scale = currency_exponent(draft.currency)
    lines: list[tuple[object, ...]] = [
        (
            draft.id,
            position,
            f"{each.description}, {notice.number}",
            Decimal(1),
            Decimal(each.amount_minor).scaleb(-scale),
            each.amount_minor,
            _REVENUE[each.code == _INTEREST],
            _UNTAXED,
        )
        for position, each in enumerate(notice.charges, start=1)
    ]
    return draft, price, lines

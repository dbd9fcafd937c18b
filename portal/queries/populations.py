"""What each job is about: the population that a run freezes when it is prepared, and its preview.

Beside what a run freezes, a population says the currency of each item, its kind and the day it is
for, by which the preview and the run sheet add it up; none of them where an item has none.
"""

from collections.abc import Callable, Mapping
from datetime import date
from typing import Any, NamedTuple

from portal.domain.disputes import LOST_WORKLIST
from portal.domain.errors import Invalid
from portal.domain.payments import STOPPED_REASON
from portal.domain.rehearsals import REHEARSAL_JOB
from portal.queries.invoices import document_number
from portal.queries.organisations import FOR_PAYMENTS
from portal.queries.payers import is_arranged
from portal.sql import Population, fetch

_MATCHES = (
    "SELECT p.id, s.currency, s.version + o.version AS version, s.usable AS amount_minor,"
    " NULL::text AS kind, NULL::date AS due_on"
    " FROM (SELECT payer_id, currency, sum(usable) AS usable, sum(version) AS version FROM ("
    " SELECT payer_id, currency, credit_left_minor AS usable, version FROM invoices"
    " WHERE state = 'issued' AND kind = 'credit_note' AND applied_minor < total_minor"
    " UNION ALL SELECT payer_id, currency, left_minor, 1 FROM payer_credits"
    " WHERE applied_minor < amount_minor"
    " UNION ALL SELECT payer_id, currency, left_minor, version FROM deposits"
    " WHERE state IN ('held', 'partially_applied') AND may_set_off) AS waiting"
    " GROUP BY payer_id, currency) AS s"
    " JOIN payers p ON p.id = s.payer_id AND NOT p.is_default"
    " JOIN LATERAL (SELECT sum(i.version) AS version FROM invoices i"
    " WHERE i.payer_id = s.payer_id AND i.currency = s.currency"
    " AND i.state = 'issued' AND i.kind <> 'credit_note'"
    " AND i.open_minor > i.in_payment_minor) o ON o.version IS NOT NULL"
)
_WAITING_TO_COLLECT = "i.state = 'issued' AND i.payment_status <> 'paid' AND i.open_minor > 0"
# A payment `y` that keeps its invoice from being collected until a person has looked at it.
ON_WORKLIST = (
    "(y.state IN ('failed', 'cancelled') AND y.worklist IS NOT NULL"
    f" OR y.worklist = '{LOST_WORKLIST}')"
)
# One of which a dispute holds money that may still come back.
DISPUTED = (
    "(y.disputed_minor > 0 AND EXISTS (SELECT FROM disputes d WHERE d.payment_id = y.id"
    " AND d.state IN ('needs_response', 'under_review')))"
)
_OVERDUE = (
    f"{_WAITING_TO_COLLECT} AND i.kind IN ('invoice', 'correction') AND i.due_on < %(business_on)s"
)
_REMINDED = (
    "EXISTS (SELECT FROM reminders r WHERE r.invoice_id = i.id AND r.reminded_on >="
    " %(business_on)s)"
)
_IN_DISPUTE = f"EXISTS (SELECT FROM payments y WHERE y.invoice_id = i.id AND {DISPUTED})"
_IS_ARRANGED = is_arranged("p", "%(business_on)s")
EXAMPLES_MAX = 5
LEFT_OUT_SENTENCES = {
    "awaits_approval": "It waits for approval.",
    "not_due": "It is due later.",
    "in_payment": "A payment of it is already planned or under way.",
    "on_worklist": "A payment of it waits for a person to look at it.",
    "disputed": "The payer's bank disputes a payment of it.",
    "payer_on_hold": "The payer is on hold.",
    "arranged": "Less or later payment was agreed with the payer.",
    "no_mandate": "The payer has no active mandate in this currency.",
    "stopped": "A person stopped collecting it through this mandate, or gave money back.",
    "planned_later": "It is planned for a later date.",
    "for_a_person": "A person is to look at it first.",
    "default_payer": "Its payer is not known by name.",
    "reminded_today": "It was reminded of on that day or a later one.",
}


class RehearsalUnasked(Invalid):
    """A rehearsal needs a version and documents; nothing was started. Start it on the page of the
    version, or by `portal rules rehearse`."""


class PreviewSum(NamedTuple):
    """The items of one currency; a payer with money in two currencies counts in both."""

    currency: str
    items_count: int
    sum_minor: int


class PreviewExample(NamedTuple):
    """One of the items, in words."""

    subject: str | None
    payer: str | None
    currency: str | None
    amount_minor: int


class LeftOut(NamedTuple):
    """Why candidates are not part of a run, how many, and what they come to in each currency."""

    code: str
    sentence: str
    items_count: int
    sums: tuple[PreviewSum, ...]


class RunPreview(NamedTuple):
    """What a run would freeze if it were started now.

    Shape: `sum_minor` is the control total over all currencies; the examples are the largest items.
    What the agreement says against an item is found only when it is worked.
    """

    job: str
    business_on: date
    items_count: int
    sum_minor: int
    sums: tuple[PreviewSum, ...]
    examples: tuple[PreviewExample, ...]
    left_out: tuple[LeftOut, ...]


def _invoices_to_issue(_business_on: date, _parameters: Mapping[str, Any]) -> Population:
    return Population(
        "SELECT id, version, total_minor AS amount_minor, currency, kind, due_on FROM invoices"
        " WHERE state = 'draft'",
        {},
    )


def _payers_to_match(_business_on: date, _parameters: Mapping[str, Any]) -> Population:
    """Payers who have both something open and something in its currency that may settle it.

    Shape: the version grows with each change of the payer's open invoices and sources. A default
    payer is left out: it stands for many unknown people, whose credits are not one another's.
    """
    return Population(
        "SELECT id, sum(version)::bigint AS version, sum(amount_minor)::bigint AS amount_minor,"
        " NULL::text AS currency, NULL::text AS kind, NULL::date AS due_on"
        f" FROM ({_MATCHES}) AS matches GROUP BY id",
        {},
    )


def _money_to_match(_business_on: date, _parameters: Mapping[str, Any]) -> Population:
    """What those payers have, per currency."""
    return Population(_MATCHES, {})


def _invoices_to_collect(business_on: date, _parameters: Mapping[str, Any]) -> Population:
    """Open invoices that are due, may be collected by mandate, and wait for nothing else."""
    return Population(
        "SELECT i.id, i.version, i.open_minor AS amount_minor, i.currency,"
        " 'mandate' AS kind, i.due_on FROM invoices i"
        " JOIN payers p ON p.id = i.payer_id AND NOT p.is_on_hold"
        " JOIN mandates m ON m.payer_id = i.payer_id AND m.currency = i.currency"
        " AND m.state = 'active'"
        f" WHERE {_WAITING_TO_COLLECT}"
        " AND i.in_payment_minor = 0 AND i.due_on <= %(business_on)s"
        " AND NOT EXISTS (SELECT FROM payments y WHERE y.invoice_id = i.id"
        " AND (y.state IN ('scheduled', 'processing', 'requires_action')"
        f" OR {ON_WORKLIST} OR {DISPUTED}"
        " OR y.mandate_id = m.id AND (y.reason_code = %(stopped)s"
        " OR y.refunded_minor + y.disputed_minor > 0)))",
        {"business_on": business_on, "stopped": STOPPED_REASON},
    )


def _payments_to_retry(business_on: date, _parameters: Mapping[str, Any]) -> Population:
    return Population(
        "SELECT id, version, amount_minor, currency, method AS kind, next_attempt_on AS due_on"
        " FROM payments WHERE state = 'scheduled' AND next_attempt_on <= %(business_on)s"
        " AND worklist IS NULL",
        {"business_on": business_on},
    )


def _invoices_to_remind_of(business_on: date, _parameters: Mapping[str, Any]) -> Population:
    """Overdue invoices of which people may be reminded; the agreement says which level is next.

    Shape: charges are not among them, so no fee is taken for a fee.
    """
    return Population(
        "SELECT i.id, i.version, i.open_minor AS amount_minor, i.currency, i.kind, i.due_on"
        " FROM invoices i JOIN payers p ON p.id = i.payer_id AND NOT p.is_default"
        f" AND NOT p.is_on_hold AND NOT {_IS_ARRANGED}"
        f" WHERE {_OVERDUE} AND i.in_payment_minor = 0"
        f" AND NOT {_REMINDED} AND NOT {_IN_DISPUTE}",
        {"business_on": business_on},
    )


def _settlements_to_close(_business_on: date, _parameters: Mapping[str, Any]) -> Population:
    """The gateway accounts, to ask for their payouts, and the settlements not closed yet."""
    return Population(
        "SELECT id, 1 AS version, 0 AS amount_minor, currency, 'gateway_account' AS kind,"
        " NULL::date AS due_on FROM gateway_accounts WHERE is_active"
        f" AND {FOR_PAYMENTS} UNION ALL "
        "SELECT s.id, s.version, abs(p.net_minor), p.currency, 'payout', NULL FROM settlements s"
        " JOIN payouts p ON p.id = s.payout_id WHERE s.state IN ('open', 'matching', 'balanced')",
        {},
    )


def _organisation_itself(_business_on: date, _parameters: Mapping[str, Any]) -> Population:
    """The ledger of the organisation as one item."""
    return Population(
        "SELECT id, 1 AS version, 0 AS amount_minor, NULL::text AS currency, NULL::text AS kind,"
        " NULL::date AS due_on FROM organisations"
        " WHERE id = NULLIF(current_setting('app.organisation_id', true), '')::uuid",
        {},
    )


def _documents_to_rehearse(_business_on: date, parameters: Mapping[str, Any]) -> Population:
    """The drafts, or what was issued by the rules between two days; of one currency or of all."""
    if "version" not in parameters:
        raise RehearsalUnasked
    which = "state = 'draft'"
    if parameters["from_on"] is not None:
        which = (
            "state IN ('issued', 'voided') AND kind <> 'charge' AND corrects_id IS NULL"
            " AND issued_on BETWEEN %(from_on)s AND %(to_on)s"
        )
    return Population(
        # Days they are due are not of interest: nothing is collected.
        "SELECT id, version, total_minor AS amount_minor, currency, kind, NULL::date AS due_on"
        f" FROM invoices WHERE {which} AND currency = COALESCE(%(currency)s, currency)",
        {key: parameters[key] for key in ("from_on", "to_on", "currency")},
    )


POPULATIONS: dict[str, Callable[[date, Mapping[str, Any]], Population]] = {
    "invoice_issuing": _invoices_to_issue,
    "deposit_matching": _payers_to_match,
    "payment_collection": _invoices_to_collect,
    "payment_retrying": _payments_to_retry,
    "reminding": _invoices_to_remind_of,
    "settlement_closing": _settlements_to_close,
    "ledger_check": _organisation_itself,
    REHEARSAL_JOB: _documents_to_rehearse,
}
# Where an item is of several currencies: the same population, each item once per currency.
PER_CURRENCY = {"deposit_matching": _money_to_match}


class Bond(NamedTuple):
    """Where the items of a job stand, and which of them it would still work, as `x`."""

    table: str
    amount: str
    is_waiting: str


# Jobs that are held to what they froze: they move documents or money. Payers of credits are not,
# as every answer of a gateway changes their documents, and nothing is taken from anyone; nor are
# payouts, whose amounts are the gateway's and which change with every step of matching.
BONDS = {
    "invoice_issuing": Bond("invoices", "total_minor", "x.state = 'draft'"),
    "payment_collection": Bond(
        "invoices",
        "open_minor",
        "x.state = 'issued' AND x.open_minor > 0 AND x.in_payment_minor = 0",
    ),
    "payment_retrying": Bond("payments", "amount_minor", "x.state = 'scheduled'"),
}


def _drafts_left_out(_business_on: date) -> Population:
    return Population(
        "SELECT 'awaits_approval' AS code, currency, total_minor AS amount_minor FROM invoices"
        " WHERE state = 'pending_approval'",
        {},
    )


def _invoices_left_out(business_on: date) -> Population:
    """Open invoices that are not collected, by the first reason that holds."""
    return Population(
        "SELECT CASE WHEN i.due_on > %(business_on)s THEN 'not_due'"
        " WHEN i.in_payment_minor <> 0 OR y.is_open THEN 'in_payment'"
        " WHEN y.is_disputed THEN 'disputed' WHEN y.is_waiting THEN 'on_worklist'"
        " WHEN p.is_on_hold THEN 'payer_on_hold'"
        " WHEN m.id IS NULL THEN 'no_mandate' WHEN m.id = ANY(y.stopped) THEN 'stopped'"
        " END AS code, i.currency, i.open_minor AS amount_minor"
        " FROM invoices i JOIN payers p ON p.id = i.payer_id"
        " LEFT JOIN mandates m ON m.payer_id = i.payer_id AND m.currency = i.currency"
        " AND m.state = 'active' LEFT JOIN (SELECT invoice_id,"
        " bool_or(state IN ('scheduled', 'processing', 'requires_action')) AS is_open,"
        f" bool_or({ON_WORKLIST}) AS is_waiting, bool_or({DISPUTED}) AS is_disputed,"
        " array_agg(mandate_id) FILTER (WHERE reason_code = %(stopped)s"
        " OR refunded_minor + disputed_minor > 0) AS stopped"
        " FROM payments y WHERE state IN ('scheduled', 'processing', 'requires_action', 'failed',"
        " 'cancelled') OR disputed_minor > 0 GROUP BY invoice_id) y ON y.invoice_id = i.id"
        f" WHERE {_WAITING_TO_COLLECT}",
        {"business_on": business_on, "stopped": STOPPED_REASON},
    )


def _payments_left_out(business_on: date) -> Population:
    return Population(
        "SELECT CASE WHEN next_attempt_on IS NULL THEN 'for_a_person'"
        " WHEN worklist IS NOT NULL THEN 'on_worklist' ELSE 'planned_later' END"
        " AS code, currency, amount_minor FROM payments WHERE state = 'scheduled' AND"
        " (next_attempt_on IS NULL OR next_attempt_on > %(business_on)s OR worklist IS NOT NULL)",
        {"business_on": business_on},
    )


def _overdue_left_out(business_on: date) -> Population:
    """Overdue invoices of which nobody is reminded whatever was agreed, by the first reason."""
    return Population(
        "SELECT CASE WHEN p.is_default THEN 'default_payer'"
        f" WHEN i.in_payment_minor <> 0 THEN 'in_payment' WHEN {_REMINDED} THEN 'reminded_today'"
        f" WHEN p.is_on_hold THEN 'payer_on_hold' WHEN {_IN_DISPUTE} THEN 'disputed'"
        f" WHEN {_IS_ARRANGED} THEN 'arranged'"
        " END AS code, i.currency, i.open_minor AS amount_minor"
        f" FROM invoices i JOIN payers p ON p.id = i.payer_id WHERE {_OVERDUE}",
        {"business_on": business_on},
    )


# Jobs that leave out what one might expect in them.
_LEFT_OUT = {
    "invoice_issuing": _drafts_left_out,
    "payment_collection": _invoices_left_out,
    "payment_retrying": _payments_left_out,
    "reminding": _overdue_left_out,
}


def read_preview(job: str, business_on: date, parameters: Mapping[str, Any]) -> RunPreview:
    """Count what a run of a job would freeze, per currency, with its largest items.

    Shape: three statements at most, however many items there are.
    """
    items = PER_CURRENCY.get(job, POPULATIONS[job])(business_on, parameters)
    counted = "count(DISTINCT id)" if job in PER_CURRENCY else "count(*)"
    rows = fetch(
        f"SELECT currency, GROUPING(currency) AS is_total, {counted}::int AS items_count,"
        " COALESCE(sum(amount_minor), 0)::bigint AS sum_minor"
        f" FROM ({items.statement}) AS items GROUP BY GROUPING SETS ((currency), ())"
        " ORDER BY currency",
        items.parameters,
    )
    total = next(row for row in rows if row.is_total)
    return RunPreview(
        job,
        business_on,
        total.items_count,
        total.sum_minor,
        tuple(
            PreviewSum(row.currency, row.items_count, row.sum_minor)
            for row in rows
            if row.currency is not None
        ),
        _list_examples(items),
        _count_left_out(job, business_on),
    )


def _list_examples(items: Population) -> tuple[PreviewExample, ...]:
    rows = fetch(
        f"SELECT COALESCE({document_number('i')}, i.external_ref, o.gateway_ref, g.code,"
        " p.external_ref, z.name) AS subject, p.name AS payer, x.currency, x.amount_minor::bigint"
        " FROM (SELECT id, currency, amount_minor"
        f" FROM ({items.statement}) AS items ORDER BY amount_minor DESC, id LIMIT {EXAMPLES_MAX})"
        " AS x LEFT JOIN payments y ON y.id = x.id"
        " LEFT JOIN settlements s ON s.id = x.id LEFT JOIN payouts o ON o.id = s.payout_id"
        " LEFT JOIN gateway_accounts g ON g.id = x.id LEFT JOIN organisations z ON z.id = x.id"
        " LEFT JOIN invoices i ON i.id = COALESCE(y.invoice_id, x.id)"
        " LEFT JOIN payers p ON p.id = COALESCE(i.payer_id, y.payer_id, x.id)"
        " ORDER BY x.amount_minor DESC, x.id, x.currency",
        items.parameters,
    )
    return tuple(PreviewExample(*row) for row in rows)


def _count_left_out(job: str, business_on: date) -> tuple[LeftOut, ...]:
    if job not in _LEFT_OUT:
        return ()
    candidates = _LEFT_OUT[job](business_on)
    sums: dict[str, list[PreviewSum]] = {}
    for row in fetch(
        "SELECT code, currency, count(*)::int AS items_count, sum(amount_minor)::bigint"
        f" AS sum_minor FROM ({candidates.statement}) AS candidates"
        " WHERE code IS NOT NULL GROUP BY code, currency ORDER BY code, currency",
        candidates.parameters,
    ):
        one = PreviewSum(row.currency, row.items_count, row.sum_minor)
        sums.setdefault(row.code, []).append(one)
    found = (
        LeftOut(
            code, LEFT_OUT_SENTENCES[code], sum(one.items_count for one in of_code), (*of_code,)
        )
        for code, of_code in sums.items()
    )
    # Those of one size stay in the order of their codes.
    return tuple(sorted(found, key=lambda one: one.items_count, reverse=True))

"""What each job is about: the population that a run freezes when it is prepared."""

from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

from portal.sql import Population


def _invoices_to_issue(_business_on: date, _parameters: Mapping[str, Any]) -> Population:
    return Population(
        "SELECT id, version, total_minor AS amount_minor FROM invoices WHERE state = 'draft'", {}
    )


def _payers_to_match(_business_on: date, _parameters: Mapping[str, Any]) -> Population:
    """Payers who have both something open and something in its currency that may settle it.

    Shape: the version grows with each change of the payer's open invoices and sources. A default
    payer is left out: it stands for many unknown people, whose credits are not one another's.
    """
    return Population(
        "SELECT p.id, (sum(s.version) + sum(o.version))::bigint AS version,"
        " sum(s.usable)::bigint AS amount_minor"
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
        " AND i.open_minor > i.in_payment_minor) o ON o.version IS NOT NULL GROUP BY p.id",
        {},
    )


def _invoices_to_collect(business_on: date, _parameters: Mapping[str, Any]) -> Population:
    """Open invoices that are due, may be collected by mandate, and wait for nothing else."""
    return Population(
        "SELECT i.id, i.version, i.open_minor AS amount_minor FROM invoices i"
        " JOIN payers p ON p.id = i.payer_id AND NOT p.is_on_hold"
        " JOIN mandates m ON m.payer_id = i.payer_id AND m.currency = i.currency"
        " AND m.state = 'active'"
        " WHERE i.state = 'issued' AND i.payment_status <> 'paid' AND i.open_minor > 0"
        " AND i.in_payment_minor = 0 AND i.due_on <= %(business_on)s"
        " AND NOT EXISTS (SELECT FROM payments y WHERE y.invoice_id = i.id"
        " AND (y.state IN ('scheduled', 'processing', 'requires_action')"
        " OR y.state = 'failed' AND y.worklist IS NOT NULL))",
        {"business_on": business_on},
    )


def _payments_to_retry(business_on: date, _parameters: Mapping[str, Any]) -> Population:
    return Population(
        "SELECT id, version, amount_minor FROM payments WHERE state = 'scheduled'"
        " AND next_attempt_on <= %(business_on)s",
        {"business_on": business_on},
    )


def _settlements_to_close(_business_on: date, _parameters: Mapping[str, Any]) -> Population:
    """The gateway accounts, to ask for their payouts, and the settlements not closed yet."""
    return Population(
        "SELECT id, 1 AS version, 0 AS amount_minor FROM gateway_accounts WHERE is_active"
        " UNION ALL "
        "SELECT s.id, s.version, abs(p.net_minor) AS amount_minor FROM settlements s"
        " JOIN payouts p ON p.id = s.payout_id WHERE s.state IN ('open', 'matching', 'balanced')",
        {},
    )


def _organisation_itself(_business_on: date, _parameters: Mapping[str, Any]) -> Population:
    """The ledger of the organisation as one item."""
    return Population(
        "SELECT id, 1 AS version, 0 AS amount_minor FROM organisations WHERE id = NULLIF("
        "current_setting('app.organisation_id', true), '')::uuid",
        {},
    )


POPULATIONS: dict[str, Callable[[date, Mapping[str, Any]], Population]] = {
    "invoice_issuing": _invoices_to_issue,
    "deposit_matching": _payers_to_match,
    "payment_collection": _invoices_to_collect,
    "payment_retrying": _payments_to_retry,
    "settlement_closing": _settlements_to_close,
    "ledger_check": _organisation_itself,
}

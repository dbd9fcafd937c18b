"""Asking about deposits and what else of a payer's money waits to be used."""

from typing import NamedTuple
from uuid import UUID

from portal.sql import fetch_plain


class PayerToMatch(NamedTuple):
    """A payer whose own money could settle an open invoice now.

    Shape: the version grows with each change of the payer's open invoices and sources.
    """

    payer_id: UUID
    version: int
    sum_minor: int


def list_payers_to_match(
    *, limit: int | None = None, after: UUID | None = None
) -> list[PayerToMatch]:
    """List payers who have both something usable and something open in the same currency.

    Shape: by payer id, those behind `after`; all of them without a limit.
    Units: sum_minor, what is usable, over all currencies: a control total.
    """
    rows = fetch_plain(
        "SELECT payer_id, (sum(source.version) + sum(o.version))::bigint, sum(usable)::bigint"
        " FROM (SELECT payer_id, currency, sum(usable) AS usable, sum(version) AS version FROM ("
        " SELECT payer_id, currency, credit_left_minor AS usable, version FROM invoices"
        " WHERE state = 'issued' AND kind = 'credit_note' AND applied_minor < total_minor"
        " UNION ALL SELECT payer_id, currency, left_minor, 1 FROM payer_credits"
        " WHERE applied_minor < amount_minor"
        " UNION ALL SELECT payer_id, currency, left_minor, version FROM deposits"
        " WHERE state IN ('held', 'partially_applied') AND may_set_off) AS waiting"
        " WHERE %(after)s::uuid IS NULL OR payer_id > %(after)s"
        " GROUP BY payer_id, currency) AS source"
        " JOIN LATERAL (SELECT sum(i.version) AS version FROM invoices i"
        " WHERE i.payer_id = source.payer_id AND i.currency = source.currency"
        " AND i.state = 'issued' AND i.kind <> 'credit_note'"
        " AND i.open_minor > i.in_payment_minor) o ON o.version IS NOT NULL"
        " GROUP BY payer_id ORDER BY payer_id LIMIT %(limit)s",
        {"after": after, "limit": limit},
    )
    return [PayerToMatch._make(row) for row in rows]

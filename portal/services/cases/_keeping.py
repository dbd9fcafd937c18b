"""Keeping cases in step with their causes, in one statement however many there are."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from portal.db import current_organisation_id
from portal.domain.cases import CASE_MOVES, CaseKind, CaseState
from portal.domain.users import PORTAL
from portal.services.events import record_events
from portal.sql import fetch

CAUSE_GONE = "Its cause is gone."

# What stands is open, or was closed by a person while its cause went on: for both there is no
# second case. Differences are found of one gateway account at a time, and stand since they were
# first seen; the cases of other accounts are left alone.
_KEEP = """
WITH causes AS MATERIALIZED ({causes}),
opened AS (
  INSERT INTO cases (organisation_id, id, kind, subject_type, subject_id, subject_name, since_at,
    opened_at, amount_minor, currency, details, gateway_account_id)
  SELECT %(o)s, gen_random_uuid(), kind, subject_type, subject_id, subject_name, since_at,
    %(now)s, amount_minor, currency, details, %(account)s FROM causes
  ON CONFLICT (organisation_id, kind, subject_id) WHERE gone_at IS NULL DO NOTHING RETURNING id
),
gone AS (
  UPDATE cases c SET gone_at = %(now)s, ended_at = COALESCE(c.ended_at, %(now)s),
    state = CASE c.state WHEN 'open' THEN 'resolved' ELSE c.state END
  WHERE c.organisation_id = %(o)s AND c.gone_at IS NULL AND c.kind = ANY(%(kinds)s)
    AND c.gateway_account_id IS NOT DISTINCT FROM %(account)s::uuid
    AND NOT EXISTS (SELECT FROM causes f WHERE (f.kind, f.subject_id) = (c.kind, c.subject_id))
  RETURNING c.id, c.state
),
changed AS (
  UPDATE cases c SET amount_minor = f.amount_minor, details = f.details,
    since_at = CASE WHEN c.gateway_account_id IS NULL THEN f.since_at ELSE c.since_at END
  FROM causes f WHERE c.organisation_id = %(o)s AND c.state = 'open'
    AND (c.kind, c.subject_id) = (f.kind, f.subject_id)
    AND c.gateway_account_id IS NOT DISTINCT FROM %(account)s::uuid
    AND ((c.amount_minor, c.details) IS DISTINCT FROM (f.amount_minor, f.details)
      OR c.gateway_account_id IS NULL AND c.since_at <> f.since_at)
)
SELECT id, 'open' AS state FROM opened UNION ALL SELECT id, state FROM gone
"""


class Kept(NamedTuple):
    """How many cases were opened, and how many have resolved themselves."""

    opened: int
    resolved: int


def keep_cases(
    causes: Mapping[CaseKind, str],
    *,
    kinds: Sequence[CaseKind],
    parameters: Mapping[str, Any],
    account_id: UUID | None = None,
    now: datetime,
) -> Kept:
    """Open a case for each cause that has none, and end those whose cause is gone.

    Shape: `causes` are SELECTs as in `_causes`; cases of `kinds` that none of them names are ended.
    """
    named = " UNION ALL ".join(
        f"SELECT '{kind}' AS kind, k.* FROM ({statement}) AS k (subject_type, subject_id,"
        " subject_name, since_at, amount_minor, currency, details)"
        for kind, statement in causes.items()
    )
    rows = fetch(
        _KEEP.format(causes=named),
        {
            **parameters,
            "o": current_organisation_id(),
            "now": now,
            "account": account_id,
            "kinds": [kind.value for kind in kinds],
        },
    )
    opened = [row.id for row in rows if row.state == CaseState.OPEN]
    resolved = [row.id for row in rows if row.state == CaseState.RESOLVED]
    record_events((("case.opened", case_id) for case_id in opened), actor=PORTAL, now=now)
    record_events(
        ((CASE_MOVES.recorded("resolve"), case_id) for case_id in resolved),
        actor=PORTAL,
        now=now,
        reason=CAUSE_GONE,
    )
    return Kept(len(opened), len(resolved))

"""Reading why the rules decided what they did about one thing, with the agreement that held."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any, NamedTuple
from uuid import UUID

from portal.sql import fetch
from rules.traces import Explanation, explain_trace

# More decisions about one thing than anybody reads; the latest are shown.
DECISIONS_MAX = 100


class TraceRow(NamedTuple):
    """One decision: at which moment, on which day, by which version, and each clause's part."""

    stage: str
    rule_set_version: int
    decided_on: date
    recorded_at: datetime
    entries: Sequence[Sequence[Any]]
    definition: Mapping[str, Any]

    def explain(self, currency: str) -> tuple[Explanation, ...]:
        """Put the entries into words, for amounts in a currency."""
        return explain_trace(self.definition, self.entries, currency)


def list_traces(subject_id: UUID) -> list[TraceRow]:
    """List what was decided about an invoice or a payment, the latest first."""
    rows = fetch(
        "SELECT t.stage, t.rule_set_version, t.decided_on, t.recorded_at, t.entries, r.definition"
        " FROM rule_traces t JOIN rule_sets r ON r.organisation_id = t.organisation_id"
        " AND r.version = t.rule_set_version WHERE t.subject_id = %s"
        " ORDER BY t.id DESC LIMIT %s",
        (subject_id, DECISIONS_MAX),
    )
    return [TraceRow(*row) for row in rows]

"""Recording why the rules decided what they did, in the transaction in which it counts."""

from collections.abc import Iterable
from datetime import date, datetime
from json import JSONEncoder
from typing import Final, Literal
from uuid import UUID

from portal.db import current_organisation_id
from portal.sql import execute
from rules.types import Stage, TraceEntry

SubjectType = Literal["invoice", "payment"]
Trace = tuple[UUID, list[TraceEntry]]

_ENCODE: Final = JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode
_INSERT: Final = (
    "INSERT INTO rule_traces (organisation_id, subject_id, subject_type, stage, rule_set_version,"
    " decided_on, recorded_at, entries) SELECT %(o)s, s.subject_id, %(subject_type)s, %(stage)s,"
    " %(version)s, %(on)s, %(now)s, s.entries::jsonb"
    " FROM ROWS FROM (unnest(%(ids)s::uuid[]), string_to_table(%(entries)s, chr(10)))"
    " AS s (subject_id, entries)"
)
# A draft that is refused night after night for the same reason is told of once.
_IS_NEWS: Final = (
    " WHERE NOT COALESCE((SELECT (t.rule_set_version, t.entries) = (%(version)s, s.entries::jsonb)"
    " FROM rule_traces t WHERE t.organisation_id = %(o)s AND t.subject_id = s.subject_id"
    " AND t.stage = %(stage)s ORDER BY t.id DESC LIMIT 1), false)"
)


def record_traces(
    traces: Iterable[Trace],
    *,
    subject_type: SubjectType,
    stage: Stage,
    version: int,
    on: date,
    now: datetime,
    only_news: bool = False,
) -> None:
    """Record what the clauses of a version decided about things on a day, in one statement.

    Shape: the id of each thing with its entries, which `rules.traces` makes of prices, findings,
    retries, charges and levels; nothing for a thing without entries. Only news is what differs from
    the last that was recorded about the thing at this stage.
    """
    rows = [(subject_id, _ENCODE(entries)) for subject_id, entries in traces if entries]
    if not rows:
        return
    execute(
        _INSERT + _IS_NEWS if only_news else _INSERT,
        {
            "o": current_organisation_id(),
            "subject_type": subject_type,
            "stage": stage.value,
            "version": version,
            "on": on,
            "now": now,
            "ids": [subject_id for subject_id, _ in rows],
            # One text, since each of an array would be escaped; JSON has no bare line breaks.
            "entries": "\n".join([entries for _, entries in rows]),
        },
    )

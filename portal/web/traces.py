"""Why: what the rules decided about one thing, each clause's part in words."""

from typing import NamedTuple
from uuid import UUID

from flask.typing import ResponseReturnValue

from portal.queries.traces import TraceRow, list_traces
from portal.web.htmx import render_part
from portal.web.rulesets import STAGE_WORDS
from rules.traces import Explanation
from rules.types import Stage

ENTRIES_SHOWN_MAX = 200


class Decision(NamedTuple):
    """One decision as the page says it."""

    moment: str
    row: TraceRow
    entries: tuple[Explanation, ...]
    hidden: int


class Subject(NamedTuple):
    """What is asked about: how it is called, where its page is, what is said without a trace."""

    id: UUID
    title: str
    address: str
    currency: str
    nothing: str


def show_why(subject: Subject) -> ResponseReturnValue:
    """Show each decision about a thing, the latest first."""
    return render_part(
        "traces/why.html",
        "traces/_why.html",
        subject=subject,
        decisions=[_decision(row, subject.currency) for row in list_traces(subject.id)],
    )


def _decision(row: TraceRow, currency: str) -> Decision:
    entries = row.explain(currency)
    moment = STAGE_WORDS[Stage(row.stage)]
    hidden = max(0, len(entries) - ENTRIES_SHOWN_MAX)
    return Decision(moment, row, entries[:ENTRIES_SHOWN_MAX], hidden)

"""Cases for machines: what did not come or differs, listed and read; people close them."""

from typing import Any
from uuid import UUID

from flask import Response

from portal.api.access import require
from portal.api.answers import answer, money, shown_id
from portal.api.doors import DoorBlueprint, answers
from portal.api.fields import (
    Strict,
    amount_of_money,
    moment,
    noun_name,
    own_id,
    state_of,
    words,
)
from portal.api.lists import answer_list, list_schema, lists
from portal.domain.cases import CASE_TEXTS, CaseKind, CaseState, CaseSubject
from portal.domain.users import Permission
from portal.ids import PREFIXES
from portal.queries.cases import CaseRow, get_case
from portal.queries.tables import CASE_TABLE

bp = DoorBlueprint("cases", "What was expected and did not come, or differs from a gateway.")


class CaseSchema(Strict):
    """A case: what is wrong, what was done about it, and what a person can do."""

    object = noun_name("case")
    id = own_id("case")
    kind = state_of(CaseKind)
    state = state_of(CaseState)
    about = state_of(CaseSubject, description="What it is about.")
    about_id = words(none=True, description="The id of what it is about, where that has one.")
    name = words(description="What it is about, by its name or reference.")
    sentence = words(description="What is wrong.")
    done = words(description="What was done about it already.")
    advice = words(description="What a person can do.")
    amount = amount_of_money(none=True, description="What is at stake; null for no money.")
    since = moment()
    opened = moment()
    ended = moment(none=True)
    closed_by = words(none=True)
    reason = words(none=True, description="Why it was closed.")


@bp.route("/cases")
@lists(CASE_TABLE)
@answers(list_schema(CASE_TABLE))
@require(Permission.VIEW_CASES)
def list_cases() -> Response:
    """List cases."""
    return answer_list(CASE_TABLE)


@bp.route("/cases/<api_id(case):case_id>")
@answers(CaseSchema, refuses=(404,))
@require(Permission.VIEW_CASES)
def show_case(case_id: UUID) -> Response:
    """Show a case."""
    return answer(shown_case(get_case(case_id)))


def shown_case(case: CaseRow) -> dict[str, Any]:
    """Write a case."""
    text = CASE_TEXTS[case.kind]
    subject = case.subject_type.value
    return {
        "object": "case",
        "id": shown_id("case", case.id),
        "kind": case.kind.value,
        "state": case.state.value,
        "about": subject,
        "about_id": shown_id(subject, case.subject_id) if subject in PREFIXES else None,
        "name": case.subject_name,
        "sentence": text.sentence,
        "done": text.done,
        "advice": text.advice,
        "amount": (None if case.amount_minor is None else money(case.amount_minor, case.currency)),
        "since": case.since_at,
        "opened": case.opened_at,
        "ended": case.ended_at,
        "closed_by": case.closed_by,
        "reason": case.reason,
    }

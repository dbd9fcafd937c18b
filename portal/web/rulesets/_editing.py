"""Writing a draft: its name, and its clauses one by one."""

from collections.abc import Mapping
from typing import Any

from flask import abort, request, url_for
from flask.typing import ResponseReturnValue
from flask_wtf import FlaskForm
from wtforms import HiddenField, StringField, TextAreaField
from wtforms.validators import InputRequired, Length, Optional

from portal.clock import now_utc
from portal.domain.errors import Conflict, Invalid, PortalError
from portal.domain.rulesets import RuleSetState
from portal.domain.users import Permission
from portal.queries.rulesets import RuleSetRow, get_rule_set
from portal.services.rulesets import (
    ClauseInvalid,
    ClauseMissing,
    RuleSetNotDraft,
    add_clause,
    change_clause,
    change_rule_set_head,
    remove_clause,
)
from portal.web.access import require
from portal.web.htmx import render_part
from portal.web.once import answer_once, new_request_key
from portal.web.rulesets._blueprint import VERSION, bp
from portal.web.rulesets._form import ClauseForm
from portal.web.rulesets._reading import group_catalogue
from portal.web.visitors import current_actor, current_organisation
from rules import CATALOGUE
from rules.clauses import Clause

CLAUSE = f"{VERSION}/clauses/<int(max=999):place>"
NEW = f"{VERSION}/add/<clause_code>"


class HeadForm(FlaskForm):  # type: ignore[misc]  # it carries no types
    """What a rule set is called."""

    request_key = HiddenField(validators=[InputRequired()])
    seen = HiddenField()
    title = StringField("Title", [InputRequired("Give the rule set a title."), Length(max=200)])
    description = TextAreaField("Description", [Optional(), Length(max=200)])


@bp.get(f"{VERSION}/title")
@require(Permission.EDIT_RULES)
def ask_name(rule_set_version: int) -> ResponseReturnValue:
    """Ask what a draft is to be called."""
    row = _draft(rule_set_version)
    form = HeadForm(
        formdata=None,
        request_key=new_request_key(),
        seen=row.definition_hash,
        title=row.definition.get("title", ""),
        description=row.definition.get("description", ""),
    )
    return _name_page(row, form)


@bp.post(f"{VERSION}/title")
@require(Permission.EDIT_RULES)
def name(rule_set_version: int) -> ResponseReturnValue:
    """Name a draft."""
    row, form = get_rule_set(rule_set_version), HeadForm()
    if not form.validate_on_submit():
        return _name_page(row, form, status=422)

    def work() -> tuple[str, str]:
        change_rule_set_head(
            version=row.version, title=form.title.data, description=form.description.data or "",
            seen=form.seen.data or "", actor=current_actor(), now=now_utc(),
        )  # fmt: skip
        return url_for(".show", rule_set_version=row.version), "The title was saved."

    try:
        return answer_once(work)
    except (Invalid, Conflict) as refused:
        return _name_page(row, form, refused, status=_status(refused))


@bp.get(CLAUSE)
@require(Permission.EDIT_RULES)
def edit(rule_set_version: int, place: int) -> ResponseReturnValue:
    """Show a clause of a draft in its form."""
    row = _draft(rule_set_version)
    entry = _entry(row, place)
    form = ClauseForm(_known(entry["code"]), _currency(), entry=entry, hidden=_hidden(row))
    return _clause_page(row, form, _edit_address(row, place))


@bp.post(CLAUSE)
@require(Permission.EDIT_RULES)
def save(rule_set_version: int, place: int) -> ResponseReturnValue:
    """Save a clause that was changed."""
    row = get_rule_set(rule_set_version)
    code = _entry(row, place)["code"]

    def work(entry: Mapping[str, Any], seen: str) -> None:
        change_clause(
            version=row.version, place=place, entry=entry, seen=seen, actor=current_actor(),
            now=now_utc(),
        )  # fmt: skip

    return _save(row, _known(code), _edit_address(row, place), work, f"{code} was changed.")


@bp.get(f"{VERSION}/add")
@require(Permission.EDIT_RULES)
def choose(rule_set_version: int) -> ResponseReturnValue:
    """Offer the clauses of the catalogue."""
    return render_part(
        "rules/choose.html",
        "rules/_choose.html",
        version=_draft(rule_set_version),
        groups=group_catalogue(),
    )


@bp.get(NEW)
@require(Permission.EDIT_RULES)
def new(rule_set_version: int, clause_code: str) -> ResponseReturnValue:
    """Show the form of a clause with the defaults of the catalogue."""
    row = _draft(rule_set_version)
    form = ClauseForm(_known(clause_code), _currency(), entry=None, hidden=_hidden(row))
    return _clause_page(row, form, _new_address(row, clause_code), is_new=True)


@bp.post(NEW)
@require(Permission.EDIT_RULES)
def add(rule_set_version: int, clause_code: str) -> ResponseReturnValue:
    """Add a clause to a draft."""
    row = get_rule_set(rule_set_version)

    def work(entry: Mapping[str, Any], seen: str) -> None:
        add_clause(
            version=row.version, entry=entry, seen=seen, actor=current_actor(), now=now_utc()
        )

    return _save(
        row, _known(clause_code), _new_address(row, clause_code), work,
        f"{clause_code} was added.", is_new=True,
    )  # fmt: skip


@bp.get(f"{CLAUSE}/remove")
@require(Permission.EDIT_RULES)
def ask_remove(rule_set_version: int, place: int) -> ResponseReturnValue:
    """Ask whether a clause is to be taken out."""
    row = _draft(rule_set_version)
    return _remove_page(row, place)


@bp.post(f"{CLAUSE}/remove")
@require(Permission.EDIT_RULES)
def remove(rule_set_version: int, place: int) -> ResponseReturnValue:
    """Take a clause out of a draft."""
    row = get_rule_set(rule_set_version)

    def work() -> tuple[str, str]:
        remove_clause(
            version=row.version, place=place, seen=request.form.get("seen", ""),
            actor=current_actor(), now=now_utc(),
        )  # fmt: skip
        return url_for(".show", rule_set_version=row.version), "The clause was removed."

    try:
        return answer_once(work)
    except Conflict as refused:
        return _remove_page(row, place, refused)


def _save(
    row: RuleSetRow, known: Clause, address: str, work: Any, said: str, *, is_new: bool = False
) -> ResponseReturnValue:
    """Save what the form of a clause says, or show the form again with what is wrong."""
    form = ClauseForm(known, _currency(), entry=None, hidden=None)
    if "add" in request.form and form.fields:
        form.add_row()
        return _clause_page(row, form, address, is_new=is_new)
    entry = form.read()
    if entry is None:
        return _clause_page(row, form, address, status=422, is_new=is_new)

    def reply() -> tuple[str, str]:
        work(entry, form.form.seen.data or "")
        return url_for(".show", rule_set_version=row.version), said

    try:
        return answer_once(reply)
    except ClauseInvalid as refused:
        form.place(refused.problems)
        return _clause_page(row, form, address, status=422, is_new=is_new)
    except Conflict as refused:
        return _clause_page(row, form, address, refused, status=409, is_new=is_new)


def _clause_page(
    row: RuleSetRow,
    form: ClauseForm,
    address: str,
    refused: PortalError | None = None,
    *,
    status: int = 200,
    is_new: bool = False,
) -> ResponseReturnValue:
    return render_part(
        "rules/edit.html",
        "rules/_edit.html",
        status=status,
        version=row,
        clause=form.clause,
        form=form.form,
        parameters=form.parameters,
        stage_boxes=form.stages,
        fields=form.fields,
        address=address,
        is_new=is_new,
        has_errors=form.has_errors(),
        problem=refused.message if refused else None,
    )


def _remove_page(
    row: RuleSetRow, place: int, refused: PortalError | None = None
) -> ResponseReturnValue:
    entry = _entry(row, place)
    known = CATALOGUE.get(entry["code"])
    return render_part(
        "rules/remove.html",
        "rules/_remove.html",
        status=409 if refused else 200,
        version=row,
        place=place,
        code=entry["code"],
        title=known.title if known else "",
        problem=refused.message if refused else None,
        back=url_for(".show", rule_set_version=row.version),
        hidden=_hidden(row),
    )


def _name_page(
    row: RuleSetRow, form: HeadForm, refused: PortalError | None = None, *, status: int = 200
) -> ResponseReturnValue:
    return render_part(
        "rules/name.html",
        "rules/_name.html",
        status=status,
        version=row,
        form=form,
        problem=refused.message if refused else None,
        back=url_for(".show", rule_set_version=row.version),
    )


def _draft(version: int) -> RuleSetRow:
    """Return a version that may be written.

    Raises: RuleSetMissing; RuleSetNotDraft.
    """
    row = get_rule_set(version)
    if row.state is not RuleSetState.DRAFT:
        raise RuleSetNotDraft(version=version, label=row.state.label)
    return row


def _entry(row: RuleSetRow, place: int) -> Mapping[str, Any]:
    """Return one clause of a version.

    Raises: ClauseMissing.
    """
    clauses = row.definition.get("clause", ())
    if place >= len(clauses):
        raise ClauseMissing(version=row.version)
    entry: Mapping[str, Any] = clauses[place]
    return entry


def _known(code: str) -> Clause:
    known = CATALOGUE.get(code)
    if known is None:
        abort(404)
    return known


def _hidden(row: RuleSetRow) -> dict[str, str]:
    return {"request_key": new_request_key(), "seen": row.definition_hash}


def _edit_address(row: RuleSetRow, place: int) -> str:
    return url_for(".save", rule_set_version=row.version, place=place)


def _new_address(row: RuleSetRow, code: str) -> str:
    return url_for(".add", rule_set_version=row.version, clause_code=code)


def _currency() -> str:
    return current_organisation().currency


def _status(refused: PortalError) -> int:
    return 422 if isinstance(refused, Invalid) else 409

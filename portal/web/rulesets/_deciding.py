"""The life of a version: begun, asked for, decided by a second person, given up or taken out."""

from collections.abc import Callable
from typing import Any

from flask import request, url_for
from flask.typing import ResponseReturnValue
from flask_wtf import FlaskForm
from wtforms import DateField, HiddenField, TextAreaField
from wtforms.validators import InputRequired, Length, Optional

from portal.clock import now_utc
from portal.domain.errors import Conflict, Forbidden, Invalid, PortalError
from portal.domain.rulesets import RULE_SET_MOVES
from portal.domain.users import Permission
from portal.queries.rulesets import RuleSetRow, get_rule_set
from portal.services.rulesets import (
    approve_activation,
    copy_rule_set,
    decline_activation,
    discard_rule_set,
    import_rule_set,
    request_activation,
    retire_rule_set,
)
from portal.web.access import require
from portal.web.htmx import render_part
from portal.web.once import answer_once, new_request_key
from portal.web.rulesets._blueprint import VERSION, bp
from portal.web.rulesets._reading import list_problems, why_undecidable
from portal.web.visitors import current_actor
from rules.compiling import RuleSetInvalid
from rules.definitions import TEXT_CHARACTERS_MAX

REASON_CHARACTERS_MAX = 500
_TOO_LONG = f"Say it in at most {REASON_CHARACTERS_MAX} characters."


class RequestForm(FlaskForm):  # type: ignore[misc]  # it carries no types
    """From when a version is to be in force, and why."""

    request_key = HiddenField(validators=[InputRequired()])
    seen = HiddenField()
    starts_on = DateField("In force from", [InputRequired("Enter the first day.")])
    note = TextAreaField("Why", [Optional(), Length(max=REASON_CHARACTERS_MAX, message=_TOO_LONG)])


class ReasonForm(FlaskForm):  # type: ignore[misc]  # it carries no types
    """Why a version is declined or taken out."""

    request_key = HiddenField()
    reason = TextAreaField(
        "Reason",
        [InputRequired("Say why."), Length(max=REASON_CHARACTERS_MAX, message=_TOO_LONG)],
    )


class ImportForm(FlaskForm):  # type: ignore[misc]  # it carries no types
    """A rule set as text."""

    request_key = HiddenField(validators=[InputRequired()])
    text = TextAreaField(
        "Rule set as TOML",
        [
            InputRequired("Paste the text of a rule set."),
            Length(max=TEXT_CHARACTERS_MAX, message="It is too long for a rule set."),
        ],
    )


@bp.post(f"{VERSION}/copy")
@require(Permission.EDIT_RULES)
def copy(rule_set_version: int) -> ResponseReturnValue:
    """Begin a draft with what a version says."""

    def work() -> tuple[str, str]:
        version = copy_rule_set(version=rule_set_version, actor=current_actor(), now=now_utc())
        said = f"Version {version} is a draft; nothing applies it yet."
        return url_for(".show", rule_set_version=version), said

    return answer_once(work)


@bp.get("/rules/import")
@require(Permission.EDIT_RULES)
def ask_import() -> ResponseReturnValue:
    """Ask for a rule set as text."""
    return _import_page(ImportForm(formdata=None, request_key=new_request_key()))


@bp.post("/rules/import")
@require(Permission.EDIT_RULES)
def import_text() -> ResponseReturnValue:
    """Begin a draft with what a text says."""
    form = ImportForm()
    if not form.validate_on_submit():
        return _import_page(form, status=422)

    def work() -> tuple[str, str]:
        version = import_rule_set(text=form.text.data, actor=current_actor(), now=now_utc())
        return url_for(".show", rule_set_version=version), f"Version {version} is a draft."

    try:
        return answer_once(work)
    except RuleSetInvalid as refused:
        problems = [str(problem) for problem in refused.problems]
        return _import_page(form, status=422, problems=problems)
    except (Invalid, Conflict) as refused:
        return _import_page(form, refused, status=422 if isinstance(refused, Invalid) else 409)


@bp.get(f"{VERSION}/request")
@require(Permission.EDIT_RULES)
def ask_request(rule_set_version: int) -> ResponseReturnValue:
    """Ask from when a draft is to be in force."""
    row = get_rule_set(rule_set_version)
    form = RequestForm(
        formdata=None,
        request_key=new_request_key(),
        seen=row.definition_hash,
        starts_on=row.starts_on,
        note=row.note,
    )
    return _request_page(row, form)


@bp.post(f"{VERSION}/request")
@require(Permission.EDIT_RULES)
def request_one(rule_set_version: int) -> ResponseReturnValue:
    """Ask that a draft comes into force."""
    row, form = get_rule_set(rule_set_version), RequestForm()
    if not form.validate_on_submit():
        return _request_page(row, form, status=422)

    def work() -> tuple[str, str]:
        request_activation(
            version=row.version, starts_on=form.starts_on.data, note=form.note.data or "",
            seen=form.seen.data or "", actor=current_actor(), now=now_utc(),
        )  # fmt: skip
        return _home(row), "It was asked for; a second person decides."

    try:
        return answer_once(work)
    except (Invalid, Conflict) as refused:
        field = form._fields.get(getattr(refused, "field", None) or "")
        if field is not None:
            field.errors = [refused.message]
            return _request_page(row, form, status=422)
        return _request_page(row, form, refused, status=409)


@bp.get(f"{VERSION}/approve")
@require(Permission.APPROVE_RULES)
def ask_approve(rule_set_version: int) -> ResponseReturnValue:
    """Say what approving means, and ask for it."""
    return _decision_page(get_rule_set(rule_set_version), "approve")


@bp.post(f"{VERSION}/approve")
@require(Permission.APPROVE_RULES)
def approve(rule_set_version: int) -> ResponseReturnValue:
    """Put a version in force that another person has asked for."""
    row = get_rule_set(rule_set_version)

    def work() -> None:
        approve_activation(version=row.version, actor=current_actor(), now=now_utc())

    return _decide(row, "approve", work, "The version is approved.")


@bp.get(f"{VERSION}/decline")
@require(Permission.APPROVE_RULES)
def ask_decline(rule_set_version: int) -> ResponseReturnValue:
    """Ask why a version is declined."""
    return _decision_page(get_rule_set(rule_set_version), "decline", form=_reason_form())


@bp.post(f"{VERSION}/decline")
@require(Permission.APPROVE_RULES)
def decline(rule_set_version: int) -> ResponseReturnValue:
    """Say no to a version."""
    row, form = get_rule_set(rule_set_version), ReasonForm()

    def work() -> None:
        decline_activation(
            version=row.version, reason=form.reason.data, actor=current_actor(), now=now_utc()
        )

    return _decide(row, "decline", work, "The version is declined; it is a draft again.", form)


@bp.get(f"{VERSION}/retire")
@require(Permission.APPROVE_RULES)
def ask_retire(rule_set_version: int) -> ResponseReturnValue:
    """Ask why a version is taken out."""
    return _decision_page(get_rule_set(rule_set_version), "retire", form=_reason_form())


@bp.post(f"{VERSION}/retire")
@require(Permission.APPROVE_RULES)
def retire(rule_set_version: int) -> ResponseReturnValue:
    """Take a version out that was not used yet."""
    row, form = get_rule_set(rule_set_version), ReasonForm()

    def work() -> None:
        retire_rule_set(
            version=row.version, reason=form.reason.data, actor=current_actor(), now=now_utc()
        )

    return _decide(row, "retire", work, "The version is taken out.", form)


@bp.get(f"{VERSION}/discard")
@require(Permission.EDIT_RULES)
def ask_discard(rule_set_version: int) -> ResponseReturnValue:
    """Ask whether a draft is to be given up."""
    return _decision_page(get_rule_set(rule_set_version), "discard")


@bp.post(f"{VERSION}/discard")
@require(Permission.EDIT_RULES)
def discard(rule_set_version: int) -> ResponseReturnValue:
    """Give a draft up."""
    row = get_rule_set(rule_set_version)

    def work() -> None:
        discard_rule_set(
            version=row.version, seen=request.form.get("seen", ""), actor=current_actor(),
            now=now_utc(),
        )  # fmt: skip

    return _decide(row, "discard", work, "The draft is discarded.")


def _decide(
    row: RuleSetRow, name: str, work: Callable[[], None], said: str, form: ReasonForm | None = None
) -> ResponseReturnValue:
    """Do what was decided and lead back, or say why it could not be done."""
    if form is not None and not form.validate_on_submit():
        return _decision_page(row, name, form=form, status=422)

    def reply() -> tuple[str, str]:
        work()
        return _home(row), said

    try:
        return answer_once(reply)
    except Invalid as refused:
        if form is None or refused.field != "reason":
            return _decision_page(row, name, refused, form=form, status=409)
        form.reason.errors = [refused.message]
        return _decision_page(row, name, form=form, status=422)
    except (Conflict, Forbidden) as refused:
        status = 403 if isinstance(refused, Forbidden) else 409
        return _decision_page(get_rule_set(row.version), name, refused, form=form, status=status)


def _decision_page(
    row: RuleSetRow,
    name: str,
    refused: PortalError | None = None,
    *,
    form: ReasonForm | None = None,
    status: int = 200,
) -> ResponseReturnValue:
    """Show a question; where nothing can be decided, say why and lead back."""
    impossible = None
    if refused is None and not RULE_SET_MOVES.may(row.state, name):
        impossible = f"the version is “{row.state.label.lower()}”"
    elif refused is None and name == "approve":
        impossible = why_undecidable(row)
    return render_part(
        "rules/decide.html",
        "rules/_decide.html",
        status=409 if impossible else status,
        version=row,
        name=name,
        form=form,
        problem=refused.message if refused else None,
        impossible=impossible,
        hidden={"request_key": new_request_key(), "seen": row.definition_hash},
        back=_home(row),
    )


def _request_page(
    row: RuleSetRow,
    form: RequestForm,
    refused: PortalError | None = None,
    *,
    status: int = 200,
) -> ResponseReturnValue:
    impossible = None
    if refused is None and not RULE_SET_MOVES.may(row.state, "request"):
        impossible = f"the version is “{row.state.label.lower()}”"
    elif refused is None and list_problems(row):
        impossible = "it is not whole yet; its page says what is missing"
    return render_part(
        "rules/request.html",
        "rules/_request.html",
        status=409 if impossible else status,
        version=row,
        form=form,
        problem=refused.message if refused else None,
        impossible=impossible,
        back=_home(row),
    )


def _import_page(
    form: ImportForm,
    refused: PortalError | None = None,
    *,
    status: int = 200,
    problems: Any = (),
) -> ResponseReturnValue:
    return render_part(
        "rules/import.html",
        "rules/_import.html",
        status=status,
        form=form,
        problem=refused.message if refused else None,
        problems=problems,
    )


def _reason_form() -> ReasonForm:
    return ReasonForm(formdata=None, request_key=new_request_key())


def _home(row: RuleSetRow) -> str:
    return url_for("rulesets.show", rule_set_version=row.version)

"""Signing in and out, and choosing the organisation to work for."""

from uuid import UUID

from flask import Blueprint, current_app, redirect, request, session, url_for
from flask.typing import ResponseReturnValue
from flask_wtf import FlaskForm
from wtforms import HiddenField, PasswordField, StringField
from wtforms.validators import InputRequired

from portal.clock import now_utc
from portal.domain.errors import Invalid
from portal.domain.users import Permission
from portal.services.passwords import TooManyTries
from portal.services.users import SignInRefused, choose_organisation, end_session, sign_in
from portal.web.access import require
from portal.web.addresses import split_address
from portal.web.htmx import redirect_part, render_part
from portal.web.visitors import current_visitor, find_visitor

bp = Blueprint("auth", __name__)


class OrganisationUnreadable(Invalid):
    """No organisation was chosen. Nothing was changed; choose one at the top of the page."""


class SignInForm(FlaskForm):  # type: ignore[misc]  # it carries no types
    """What a person signs in with."""

    email = StringField("E-mail address", [InputRequired("Enter your e-mail address.")])
    password = PasswordField("Password", [InputRequired("Enter your password.")])
    next = HiddenField()


@bp.get("/sign-in", endpoint="sign_in")
@require(Permission.PUBLIC)
def show_sign_in() -> ResponseReturnValue:
    """Show the form, or go on when someone is signed in already."""
    wanted = _local(request.args.get("next"))
    if find_visitor() is not None:
        return redirect(wanted, 303)
    return _form_page(SignInForm(formdata=None, next=wanted if wanted != "/" else ""))


@bp.post("/sign-in", endpoint="begin_session")
@require(Permission.PUBLIC)
def begin_session() -> ResponseReturnValue:
    """Check the password and begin a session with a token of its own."""
    form = SignInForm()
    if not form.validate_on_submit():
        return _form_page(form, status=422)
    try:
        token = sign_in(
            email=form.email.data,
            password=form.password.data,
            now=now_utc(),
            hours_max=current_app.config["PORTAL"].session_hours_max,
        )
    except SignInRefused as refused:
        return _form_page(form, problem=refused.message, status=422)
    except TooManyTries as refused:
        return _form_page(form, problem=refused.message, status=429)
    # Nothing of the session before may outlive the sign-in.
    session.clear()
    session["token"] = token
    return redirect_part(_local(form.next.data))


@bp.post("/sign-out", endpoint="sign_out")
@require(Permission.SIGNED_IN)
def sign_out() -> ResponseReturnValue:
    """End the session here and on the server."""
    end_session(token=session["token"])
    session.clear()
    return redirect_part(url_for("auth.sign_in", ended="yes"))


@bp.post("/organisation", endpoint="choose_organisation")
@require(Permission.SIGNED_IN)
def choose() -> ResponseReturnValue:
    """Go on working for another organisation."""
    try:
        organisation_id = UUID(request.form.get("organisation", ""))
    except ValueError:
        raise OrganisationUnreadable from None
    choose_organisation(
        token=session["token"], user_id=current_visitor().id, organisation_id=organisation_id
    )
    return redirect_part(url_for("overview.show"))


def _form_page(
    form: SignInForm, *, problem: str | None = None, status: int = 200
) -> ResponseReturnValue:
    return render_part(
        "auth/sign_in.html",
        "auth/sign_in.html",
        status=status,
        form=form,
        problem=problem,
        has_ended="ended" in request.args,
    )


def _local(address: str | None) -> str:
    """Return an address inside this portal; anything else leads to the overview."""
    # Browsers take two slashes, a backslash or a control character for the way to another site.
    if not address or not address.startswith("/") or not address.isprintable():
        return "/"
    parts = split_address(address)
    if parts.scheme or parts.netloc or "\\" in address or address.startswith("//"):
        return "/"
    return address

"""Commands for people and for the keys of external systems."""

from __future__ import annotations

import secrets
import sys
from datetime import timedelta
from typing import TYPE_CHECKING

import click

from portal.cli import is_quiet
from portal.cli.context import with_app
from portal.domain.users import Actor, Role

if TYPE_CHECKING:
    from uuid import UUID

OPERATOR = Actor("person", None, "command line")
GENERATED_BYTES = 15

_organisation = click.option(
    "--organisation", "code", required=True, help="Code of the organisation, such as harbour."
)
_email = click.option("--email", required=True, help="E-mail address to sign in with.")
_role = click.option(
    "--role", type=click.Choice([role.value for role in Role]), required=True, help="What they do."
)
_from_stdin = click.option(
    "--password-stdin",
    is_flag=True,
    help="Read the password from the first line of standard input instead of making one.",
)


@click.group()
def user() -> None:
    """Add people, say what they may do, and lock them out."""


@user.command("add")
@_email
@click.option("--name", required=True, help="Name as others see it.")
@_organisation
@_role
@_from_stdin
@with_app
def add_person(*, email: str, name: str, code: str, role: str, password_stdin: bool) -> None:
    """Add a person; without --password-stdin a password is made and shown once."""
    from portal.clock import now_utc
    from portal.services.users import add_user

    password, is_made = _password(from_stdin=password_stdin)
    add_user(
        email=email,
        name=name,
        password=password,
        memberships=[(_organisation_id(code), Role(role))],
        now=now_utc(),
        actor=OPERATOR,
    )
    _say(f"{name} may sign in as {email.strip().lower()} and works for {code} as {role}.")
    _show(password, is_made=is_made)


@user.command("allow")
@_email
@_organisation
@_role
@with_app
def allow(*, email: str, code: str, role: str) -> None:
    """Let a person into an organisation, or change their role there."""
    from portal.clock import now_utc
    from portal.services.users import allow_user

    allow_user(
        email=email,
        organisation_id=_organisation_id(code),
        role=Role(role),
        actor=OPERATOR,
        now=now_utc(),
    )
    _say(f"{email} now works for {code} as {role}.")


@user.command("password")
@_email
@_from_stdin
@with_app
def new_password(*, email: str, password_stdin: bool) -> None:
    """Give a person a new password and end all their sessions."""
    from portal.clock import now_utc
    from portal.services.users import change_password

    password, is_made = _password(from_stdin=password_stdin)
    change_password(email=email, password=password, actor=OPERATOR, now=now_utc())
    _say(f"The password of {email} is changed; all their sessions have ended.")
    _show(password, is_made=is_made)


@user.command("lock")
@_email
@with_app
def lock(*, email: str) -> None:
    """Lock a person out at once."""
    _set_activity(email, is_active=False)
    _say(f"{email} is locked out; all their sessions have ended.")


@user.command("unlock")
@_email
@with_app
def unlock(*, email: str) -> None:
    """Let a locked person in again."""
    _set_activity(email, is_active=True)
    _say(f"{email} may sign in again.")


@user.command("list")
@_organisation
@with_app
def list_people(*, code: str) -> None:
    """List the people of an organisation."""
    from portal.queries.users import list_members
    from portal.services.users import scope

    with scope(organisation_id=_organisation_id(code)):
        members = list_members()
    if not members:
        click.echo("Nobody works for it yet; add someone with `portal user add`.")
    for member in members:
        locked = "" if member.is_active else "  (locked)"
        click.echo(f"{member.email}  {member.name}  {member.role.label}{locked}")


@click.group()
def key() -> None:
    """Make, list and revoke the keys of external systems."""


@key.command("add")
@_organisation
@click.option("--name", required=True, help="Which system will use it.")
@click.option(
    "--scope", "scopes", multiple=True, default=("read",), show_default=True, help="What it may do."
)
@click.option("--days", type=click.IntRange(1, 3650), help="Days after which it expires.")
@with_app
def add_system_key(*, code: str, name: str, scopes: tuple[str, ...], days: int | None) -> None:
    """Make a key and show it once; only its hash is kept."""
    from portal.clock import now_utc
    from portal.services.api_keys import add_key

    now = now_utc()
    _, made = add_key(
        organisation_id=_organisation_id(code),
        name=name,
        scopes=scopes,
        actor=OPERATOR,
        now=now,
        expires_at=now + timedelta(days=days) if days else None,
    )
    _say("The key is shown once; it cannot be read again:")
    click.echo(made)


@key.command("list")
@_organisation
@with_app
def list_system_keys(*, code: str) -> None:
    """List the keys of an organisation, without the keys."""
    from portal.clock import now_utc
    from portal.queries.users import list_keys
    from portal.services.users import scope

    with scope(organisation_id=_organisation_id(code)):
        rows = list_keys()
    if not rows:
        click.echo("There is no key yet; make one with `portal key add`.")
    now = now_utc()
    for row in rows:
        state = "active"
        if row.revoked_at is not None:
            state = "revoked"
        elif row.expires_at is not None and row.expires_at <= now:
            state = "expired"
        click.echo(f"{row.prefix}  {row.name}  {', '.join(row.scopes)}  {state}")


@key.command("revoke")
@_organisation
@click.option("--prefix", required=True, help="The part between the first two underscores.")
@with_app
def revoke_system_key(*, code: str, prefix: str) -> None:
    """Make a key worthless from now on."""
    from portal.clock import now_utc
    from portal.services.api_keys import revoke_key
    from portal.services.users import scope

    with scope(organisation_id=_organisation_id(code)):
        revoke_key(prefix=prefix, actor=OPERATOR, now=now_utc())
    _say(f"The key {prefix} is revoked.")


def _set_activity(email: str, *, is_active: bool) -> None:
    from portal.clock import now_utc
    from portal.services.users import change_activity

    change_activity(email=email, is_active=is_active, actor=OPERATOR, now=now_utc())


def _organisation_id(code: str) -> UUID:
    from portal.queries.organisations import get_organisation_by_code

    return get_organisation_by_code(code).id


def _password(*, from_stdin: bool) -> tuple[str, bool]:
    """Return the password and whether it was made here; nothing is ever asked for."""
    if not from_stdin:
        return secrets.token_urlsafe(GENERATED_BYTES), True
    return sys.stdin.readline().rstrip("\r\n"), False


def _show(password: str, *, is_made: bool) -> None:
    if is_made:
        _say("The password is shown once; it cannot be read again:")
        click.echo(password)


def _say(sentence: str) -> None:
    if not is_quiet():
        # Beside the answer, so that a script can take a password or key from standard output.
        click.echo(sentence, err=True)

"""People: adding them, what they may do where, signing in and out.

Keys of external systems live in `portal.services.api_keys`, password rules in
`portal.services.passwords`.
"""

import hashlib
import secrets
from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from uuid import UUID

from portal.db import acting_for, transaction
from portal.domain.errors import Conflict, Forbidden, Invalid, NotFound
from portal.domain.users import PORTAL, Actor, Role
from portal.ids import new_id
from portal.queries.users import find_user_by_email, list_memberships
from portal.services.events import record_event
from portal.services.passwords import (
    check_password,
    count_try,
    forget_tries,
    hash_password,
    is_outdated,
    is_password,
)
from portal.sql import execute, fetch_one

EMAIL_CHARACTERS_MAX = 254
NAME_CHARACTERS_MAX = 200
SESSION_HOURS_MAX = 12


class UserInvalid(Invalid):
    """The person cannot be added: {reason}. Nothing was saved; correct it and try again."""

    reason: str


class EmailTaken(Conflict):
    """There is a person with the address {email} already. Nothing was saved; use `portal user
    allow` to let them into another organisation."""

    email: str


class UserNotFound(NotFound):
    """There is no person with the address {email}. Nothing was changed; `portal user list` shows
    who there is."""

    email: str


class SignInRefused(Invalid):
    """This e-mail address and password do not go together. You are not signed in; check both and
    try again."""


class NotAMember(Forbidden):
    """You are not a member of this organisation; you still work for the one shown at the top.
    Ask its manager to let you in."""


def add_user(
    *,
    email: str,
    name: str,
    password: str,
    memberships: Sequence[tuple[UUID, Role]],
    now: datetime,
    actor: Actor = PORTAL,
) -> UUID:
    """Add a person with at least one organisation to work for.

    Raises: UserInvalid; PasswordRefused; EmailTaken.
    """
    email = _checked_email(email)
    name = _checked_name(name)
    check_password(password, email=email)
    if not memberships:
        raise UserInvalid(field="organisation", reason="no organisation to work for was named")
    password_hash = hash_password(password)
    user_id = new_id()
    (home_id, role), *others = memberships
    with transaction(home_id):
        added = execute(
            "INSERT INTO users (id, email, name, password_hash, created_at)"
            " VALUES (%s, %s, %s, %s, %s) ON CONFLICT (email) DO NOTHING",
            (user_id, email, name, password_hash, now),
        )
        if not added:
            raise EmailTaken(email=email)
        record_event("user.added", user_id, actor=actor, now=now, details={"email": email})
        _write_membership(user_id, home_id, role, actor=actor, now=now)
    # A transaction acts for one organisation; what is missing after a crash is allowed again.
    for organisation_id, other_role in others:
        with transaction(organisation_id):
            _write_membership(user_id, organisation_id, other_role, actor=actor, now=now)
    return user_id


def allow_user(
    *, email: str, organisation_id: UUID, role: Role, actor: Actor, now: datetime
) -> None:
    """Let a person into an organisation, or give them another role in it.

    Raises: UserNotFound.
    """
    with transaction(organisation_id):
        user_id = _user_id(email)
        _write_membership(user_id, organisation_id, role, actor=actor, now=now)


def change_password(*, email: str, password: str, actor: Actor, now: datetime) -> None:
    """Set a new password and end every session of the person.

    Raises: UserNotFound; PasswordRefused.
    """
    email = email.strip().lower()
    check_password(password, email=email)
    password_hash = hash_password(password)
    with transaction():
        user_id = _user_id(email)
        execute("UPDATE users SET password_hash = %s WHERE id = %s", (password_hash, user_id))
        execute("DELETE FROM user_sessions WHERE user_id = %s", (user_id,))
    _record_everywhere("user.password_changed", user_id, actor=actor, now=now)
    forget_tries(email)


def change_activity(*, email: str, is_active: bool, actor: Actor, now: datetime) -> None:
    """Lock a person out at once, or let them in again.

    Raises: UserNotFound.
    """
    with transaction():
        user_id = _user_id(email)
        execute("UPDATE users SET is_active = %s WHERE id = %s", (is_active, user_id))
        if not is_active:
            execute("DELETE FROM user_sessions WHERE user_id = %s", (user_id,))
    kind = "user.unlocked" if is_active else "user.locked"
    _record_everywhere(kind, user_id, actor=actor, now=now)


def sign_in(*, email: str, password: str, now: datetime, hours_max: int = SESSION_HOURS_MAX) -> str:
    """Begin a session and return its token, which is nowhere stored in the clear.

    Shape: an unknown address, a wrong password and a locked person get the same answer after the
    same work.
    Raises: SignInRefused; TooManyTries.
    """
    email = email.strip().lower()
    count_try(email)
    with acting_for(None):
        user = find_user_by_email(email)
    fits = is_password(password, user.password_hash if user else None)
    if user is None or not fits or not user.is_active:
        raise SignInRefused
    with acting_for(None, user.id):
        memberships = list_memberships()
    home_id = memberships[0].organisation_id if memberships else None
    token = f"{user.id.hex}.{secrets.token_urlsafe(32)}"
    with transaction(home_id):
        execute("DELETE FROM user_sessions WHERE user_id = %s AND expires_at < %s", (user.id, now))
        execute(
            "INSERT INTO user_sessions"
            " (token_hash, user_id, organisation_id, created_at, last_seen_at, expires_at)"
            " VALUES (%s, %s, %s, %s, %s, %s)",
            (token_hash(token), user.id, home_id, now, now, now + timedelta(hours=hours_max)),
        )
        if is_outdated(user.password_hash):
            execute(
                "UPDATE users SET password_hash = %s WHERE id = %s",
                (hash_password(password), user.id),
            )
        if home_id is not None:
            actor = Actor("person", user.id, user.name)
            record_event("user.signed_in", user.id, actor=actor, now=now)
    forget_tries(email)
    return token


def end_session(*, token: str) -> None:
    """End a session; one that is not there is ended already."""
    with transaction():
        execute("DELETE FROM user_sessions WHERE token_hash = %s", (token_hash(token),))


def touch_session(*, token: str, now: datetime) -> None:
    """Note that the person of a session is at work."""
    with transaction():
        execute(
            "UPDATE user_sessions SET last_seen_at = greatest(last_seen_at, %s)"
            " WHERE token_hash = %s",
            (now, token_hash(token)),
        )


def choose_organisation(*, token: str, user_id: UUID, organisation_id: UUID) -> None:
    """Make a session work for another organisation of its person.

    Raises: NotAMember.
    """
    with acting_for(None, user_id):
        known = {membership.organisation_id for membership in list_memberships()}
    if organisation_id not in known:
        raise NotAMember
    with transaction():
        execute(
            "UPDATE user_sessions SET organisation_id = %s WHERE token_hash = %s AND user_id = %s",
            (organisation_id, token_hash(token), user_id),
        )


def user_of_token(token: str) -> UUID | None:
    """Read whose session a token claims to be; None when it is no token at all.

    Shape: the claim lets the database show one person's memberships; only the stored hash of the
    whole token proves it.
    """
    try:
        return UUID(token.partition(".")[0])
    except ValueError:
        return None


def token_hash(token: str) -> bytes:
    """Return what is stored of a token: 256 random bits need no salt and no slow hash."""
    return hashlib.sha256(token.encode()).digest()


def scope(
    *, organisation_id: UUID | None, user_id: UUID | None = None
) -> AbstractContextManager[None]:
    """Let what is read in a block be what this person may see of this organisation."""
    return acting_for(organisation_id, user_id)


def _write_membership(
    user_id: UUID, organisation_id: UUID, role: Role, *, actor: Actor, now: datetime
) -> None:
    execute(
        "INSERT INTO memberships (organisation_id, user_id, role, created_at)"
        " VALUES (%s, %s, %s, %s)"
        " ON CONFLICT (organisation_id, user_id) DO UPDATE SET role = excluded.role",
        (organisation_id, user_id, role.value, now),
    )
    details = {"role": role.value}
    record_event("user.allowed", user_id, actor=actor, now=now, details=details)


def _record_everywhere(kind: str, user_id: UUID, *, actor: Actor, now: datetime) -> None:
    """Record an event in each organisation of a person, since each keeps its own record."""
    with acting_for(None, user_id):
        organisation_ids = [one.organisation_id for one in list_memberships()]
    for organisation_id in organisation_ids:
        with transaction(organisation_id):
            record_event(kind, user_id, actor=actor, now=now)


def _user_id(email: str) -> UUID:
    email = email.strip().lower()
    row = fetch_one("SELECT id FROM users WHERE email = %s FOR UPDATE", (email,))
    if row is None:
        raise UserNotFound(email=email[:EMAIL_CHARACTERS_MAX])
    user_id: UUID = row.id
    return user_id


def _checked_email(email: str) -> str:
    email = email.strip().lower()
    local, _, domain = email.rpartition("@")
    is_plain = email.isprintable() and " " not in email and len(email) <= EMAIL_CHARACTERS_MAX
    if not (local and domain and is_plain):
        raise UserInvalid(field="email", reason=f"“{email[:80]}” is not an e-mail address")
    return email


def _checked_name(name: str) -> str:
    name = " ".join(name.split())
    if not name or len(name) > NAME_CHARACTERS_MAX or not name.isprintable():
        reason = f"the name must have 1 to {NAME_CHARACTERS_MAX} printable characters"
        raise UserInvalid(field="name", reason=reason)
    return name

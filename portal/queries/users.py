"""Reading people, their memberships and sessions, and the keys of external systems."""

from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from portal.domain.users import Role
from portal.sql import fetch, fetch_one, fetch_plain


class UserRow(NamedTuple):
    """A person with what a sign-in is checked against."""

    id: UUID
    email: str
    name: str
    password_hash: str
    is_active: bool


class MembershipRow(NamedTuple):
    """An organisation that a person works for, and as what."""

    organisation_id: UUID
    code: str
    name: str
    currency: str
    zone: str
    locale: str
    role: Role


class SessionRow(NamedTuple):
    """A session that still counts, with its person and where they may work."""

    user_id: UUID
    email: str
    name: str
    organisation_id: UUID | None
    last_seen_at: datetime
    memberships: tuple[MembershipRow, ...]


class MemberRow(NamedTuple):
    """A person as a list of an organisation's people shows them."""

    email: str
    name: str
    role: Role
    is_active: bool
    last_seen_at: datetime | None


class KeyRow(NamedTuple):
    """A key of an external system, without the key."""

    id: UUID
    name: str
    prefix: str
    scopes: list[str]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None


def find_user_by_email(email: str) -> UserRow | None:
    """Return the person with an address, or None."""
    # PostgreSQL cannot even be asked for a text with a NUL in it.
    if "\0" in email:
        return None
    row = fetch_one(
        "SELECT id, email, name, password_hash, is_active FROM users WHERE email = %s", (email,)
    )
    return UserRow(*row) if row else None


def list_memberships() -> list[MembershipRow]:
    """List where the person in scope works, by the organisation's name."""
    rows = fetch_plain(
        "SELECT o.id, o.code, o.name, o.currency, o.zone, o.locale, m.role FROM memberships m"
        " JOIN organisations o ON o.id = m.organisation_id"
        " WHERE m.user_id = NULLIF(current_setting('app.user_id', true), '')::uuid"
        " ORDER BY o.name, o.id"
    )
    return [MembershipRow(*row)._replace(role=Role(row[-1])) for row in rows]


def find_session(
    token_hash: bytes, *, user_id: UUID, now: datetime, idle: timedelta
) -> SessionRow | None:
    """Return a session of the person in scope that is neither over nor idle, or None.

    Shape: one statement; memberships by the organisation's name, roles as they are now.
    """
    rows = fetch(
        "SELECT u.id, u.email, u.name AS user_name, s.organisation_id AS chosen_id,"
        " s.last_seen_at, o.id AS organisation_id, o.code, o.name, o.currency, o.zone, o.locale,"
        " m.role"
        " FROM user_sessions s JOIN users u ON u.id = s.user_id"
        " LEFT JOIN memberships m ON m.user_id = u.id"
        " LEFT JOIN organisations o ON o.id = m.organisation_id"
        " WHERE s.token_hash = %s AND s.user_id = %s AND u.is_active"
        " AND s.expires_at > %s AND s.last_seen_at > %s"
        " ORDER BY o.name, o.id",
        (token_hash, user_id, now, now - idle),
    )
    if not rows:
        return None
    first = rows[0]
    memberships = tuple(
        MembershipRow(
            row.organisation_id, row.code, row.name, row.currency, row.zone, row.locale,
            Role(row.role),
        )
        for row in rows
        if row.organisation_id is not None
    )  # fmt: skip
    return SessionRow(
        first.id, first.email, first.user_name, first.chosen_id, first.last_seen_at, memberships
    )


def list_members() -> list[MemberRow]:
    """List the people of the organisation in scope, by name."""
    rows = fetch_plain(
        "SELECT u.email, u.name, m.role, u.is_active, max(s.last_seen_at) FROM memberships m"
        " JOIN users u ON u.id = m.user_id LEFT JOIN user_sessions s ON s.user_id = u.id"
        " GROUP BY u.id, m.role ORDER BY u.name, u.email"
    )
    return [MemberRow(row[0], row[1], Role(row[2]), *row[3:]) for row in rows]


def list_keys() -> list[KeyRow]:
    """List the keys of the organisation in scope, the newest first."""
    rows = fetch_plain(
        "SELECT id, name, prefix, scopes, created_at, expires_at, revoked_at, last_used_at"
        " FROM api_keys ORDER BY created_at DESC, id DESC"
    )
    return [KeyRow(*row) for row in rows]

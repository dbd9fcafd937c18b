"""Keys of external systems: made once, shown once, kept as a hash."""

import hashlib
import re
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from portal.db import current_organisation_id, transaction
from portal.domain.errors import Invalid, NotFound
from portal.domain.users import Actor
from portal.ids import new_id
from portal.services.events import record_event
from portal.sql import execute, fetch_one

PREFIX_BYTES = 5
SECRET_BYTES = 32
NAME_CHARACTERS_MAX = 100
# Noting each use would make every reading request write.
LAST_USED_ROUNDING = timedelta(minutes=1)

_KEY = re.compile(r"bp_([0-9a-f]{10})_[A-Za-z0-9_-]{43}")


class KeyInvalid(Invalid):
    """The key cannot be made: {reason}. Nothing was saved; correct it and try again."""

    reason: str


class KeyNotFound(NotFound):
    """There is no key {prefix} here. Nothing was changed; `portal key list` shows those there
    are."""

    prefix: str


class KeyHolder(NamedTuple):
    """The external system behind a valid key, and what of its organisation each request needs."""

    organisation_id: UUID
    key_id: UUID
    name: str
    scopes: tuple[str, ...]
    currency: str
    zone: str


def add_key(
    *,
    organisation_id: UUID,
    name: str,
    scopes: Sequence[str],
    actor: Actor,
    now: datetime,
    expires_at: datetime | None = None,
) -> tuple[UUID, str]:
    """Make a key for an external system.

    Shape: (id, the key itself); the key is `bp_<prefix>_<secret>` and is never readable again.
    Raises: KeyInvalid.
    """
    name = " ".join(name.split())
    if not name or len(name) > NAME_CHARACTERS_MAX or not name.isprintable():
        reason = f"the name must have 1 to {NAME_CHARACTERS_MAX} printable characters"
        raise KeyInvalid(field="name", reason=reason)
    if not scopes:
        raise KeyInvalid(field="scopes", reason="no scope was named, so it could do nothing")
    if expires_at is not None and expires_at <= now:
        raise KeyInvalid(field="expires_at", reason="it would have expired already")
    key_id = new_id()
    prefix = secrets.token_hex(PREFIX_BYTES)
    key = f"bp_{prefix}_{secrets.token_urlsafe(SECRET_BYTES)}"
    with transaction(organisation_id):
        execute(
            "INSERT INTO api_keys"
            " (organisation_id, id, name, prefix, key_hash, scopes, expires_at, created_at)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
            (organisation_id, key_id, name, prefix, key_hash(key), list(scopes), expires_at, now),
        )
        record_event(
            "api_key.added",
            key_id,
            actor=actor,
            now=now,
            details={"name": name, "prefix": prefix, "scopes": sorted(scopes)},
        )
    return key_id, key


def revoke_key(*, prefix: str, actor: Actor, now: datetime) -> None:
    """Make a key worthless from now on; one that is revoked already stays so.

    Raises: KeyNotFound.
    """
    with transaction():
        row = fetch_one(
            "SELECT id, revoked_at FROM api_keys WHERE prefix = %s FOR UPDATE", (prefix,)
        )
        if row is None:
            raise KeyNotFound(prefix=prefix[:40])
        if row.revoked_at is None:
            execute("UPDATE api_keys SET revoked_at = %s WHERE id = %s", (now, row.id))
            record_event("api_key.revoked", row.id, actor=actor, now=now)


def use_key(*, key: str, now: datetime) -> KeyHolder | None:
    """Find who holds a key and note its use; None when it is unknown, expired or revoked."""
    if not _KEY.fullmatch(key):
        return None
    with transaction():
        # The key's hash opens its own row and no other, before the organisation is known. One
        # statement: the row is looked for with what the setting returns, so only after it is set.
        row = fetch_one(
            "SELECT k.organisation_id, k.id, k.name, k.scopes, k.last_used_at, o.currency, o.zone"
            " FROM (SELECT set_config('app.key_hash', %s, true) AS hash OFFSET 0) opened"
            " CROSS JOIN LATERAL (SELECT * FROM api_keys"
            " WHERE key_hash = decode(opened.hash, 'hex') AND revoked_at IS NULL"
            " AND (expires_at IS NULL OR expires_at > %s) OFFSET 0) k"
            " JOIN organisations o ON o.id = k.organisation_id",
            (key_hash(key).hex(), now),
        )
    if row is None:
        return None
    if row.last_used_at is None or now - row.last_used_at >= LAST_USED_ROUNDING:
        with transaction(row.organisation_id):
            execute(
                "UPDATE api_keys SET last_used_at = %s WHERE organisation_id = %s AND id = %s",
                (now, current_organisation_id(), row.id),
            )
    return KeyHolder(
        row.organisation_id, row.id, row.name, tuple(row.scopes), row.currency, row.zone
    )


def key_hash(key: str) -> bytes:
    """Return what is stored of a key: 256 random bits need no salt and no slow hash."""
    return hashlib.sha256(key.encode()).digest()

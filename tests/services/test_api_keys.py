"""Keys of external systems: shown once, found by their hash, worthless once revoked."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

import pytest

from portal.db import acting_for, transaction
from portal.queries.users import list_keys
from portal.services.api_keys import KeyInvalid, KeyNotFound, add_key, revoke_key, use_key
from portal.sql import fetch_one
from tests.factories import CLERK


def make_key(organisation_id: UUID, now: datetime, **over: object) -> str:
    wanted = {
        "organisation_id": organisation_id, "name": "ERP", "scopes": ["read"], "actor": CLERK,
        "now": now,
    }  # fmt: skip
    return add_key(**{**wanted, **over})[1]  # type: ignore[arg-type]


def test_a_key_is_found_without_knowing_its_organisation(organisation: UUID, now: datetime) -> None:
    key = make_key(organisation, now)
    holder = use_key(key=key, now=now)
    assert holder is not None
    assert (holder.organisation_id, holder.name, holder.scopes) == (organisation, "ERP", ("read",))
    with acting_for(organisation):
        (row,) = list_keys()
    assert row.last_used_at == now
    assert key.startswith(f"bp_{row.prefix}_")


def test_only_the_hash_of_a_key_is_stored(organisation: UUID, now: datetime) -> None:
    key = make_key(organisation, now)
    with transaction(organisation):
        stored = fetch_one("SELECT k::text AS words FROM api_keys k")
    assert stored is not None
    assert key.rpartition("_")[2] not in stored.words


@pytest.mark.parametrize("key", ["", "bp_", "bp_0123456789_" + "x" * 43, "Bearer x", "bp_\0"])
def test_what_is_no_key_opens_nothing(organisation: UUID, now: datetime, key: str) -> None:
    assert use_key(key=key, now=now) is None


def test_a_key_expires(organisation: UUID, now: datetime) -> None:
    key = make_key(organisation, now, expires_at=now + timedelta(days=1))
    assert use_key(key=key, now=now + timedelta(hours=23))
    assert use_key(key=key, now=now + timedelta(days=1)) is None


def test_a_revoked_key_is_worthless_and_stays_so(organisation: UUID, now: datetime) -> None:
    key = make_key(organisation, now)
    prefix = key.split("_")[1]
    with acting_for(organisation):
        revoke_key(prefix=prefix, actor=CLERK, now=now)
        revoke_key(prefix=prefix, actor=CLERK, now=now + timedelta(days=1))
        assert [row.revoked_at for row in list_keys()] == [now]
    assert use_key(key=key, now=now) is None


def test_another_organisation_cannot_see_or_revoke_a_key(
    organisation: UUID, other_organisation: UUID, now: datetime
) -> None:
    key = make_key(organisation, now)
    with acting_for(other_organisation):
        assert list_keys() == []
        with pytest.raises(KeyNotFound):
            revoke_key(prefix=key.split("_")[1], actor=CLERK, now=now)
    assert use_key(key=key, now=now)


@pytest.mark.parametrize("over", [{"name": " "}, {"scopes": []}, {"name": "x" * 101}])
def test_a_key_that_says_too_little_is_not_made(
    organisation: UUID, now: datetime, over: dict[str, object]
) -> None:
    with pytest.raises(KeyInvalid):
        make_key(organisation, now, **over)


def test_a_key_cannot_be_made_expired(organisation: UUID, now: datetime) -> None:
    with pytest.raises(KeyInvalid):
        make_key(organisation, now, expires_at=now)

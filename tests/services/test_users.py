"""Adding people, signing in and out, and the throttle; each answer says no more than it must."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

import pytest
from flask import Flask

from portal.db import acting_for, transaction
from portal.domain.users import PORTAL, Role
from portal.queries.users import SessionRow, find_session, find_user_by_email, list_memberships
from portal.queue import open_redis
from portal.services import passwords
from portal.services.passwords import PasswordRefused, TooManyTries
from portal.services.users import (
    EmailTaken,
    NotAMember,
    SignInRefused,
    UserInvalid,
    UserNotFound,
    add_user,
    allow_user,
    change_activity,
    change_password,
    choose_organisation,
    end_session,
    sign_in,
    token_hash,
    touch_session,
    user_of_token,
)
from portal.sql import fetch, fetch_one
from tests.factories import CLERK

PASSWORD = "four quiet harbour boats"
EMAIL = "mara@harbour.example"
IDLE = timedelta(minutes=30)


@pytest.fixture
def user_id(organisation: UUID, now: datetime) -> UUID:
    return add_user(
        email=" Mara@Harbour.example ",
        name="Mara  Weber",
        password=PASSWORD,
        memberships=[(organisation, Role.CLERK)],
        now=now,
    )


def session_of(token: str, now: datetime) -> SessionRow | None:
    user = user_of_token(token)
    assert user is not None
    with acting_for(None, user):
        return find_session(token_hash(token), user_id=user, now=now, idle=IDLE)


def test_a_person_is_stored_without_their_password(user_id: UUID) -> None:
    with acting_for(None):
        user = find_user_by_email(EMAIL)
    assert user is not None
    assert (user.id, user.name) == (user_id, "Mara Weber")
    assert user.password_hash.startswith("$argon2id$")
    assert PASSWORD not in user.password_hash


def test_each_organisation_records_whom_it_let_in(
    user_id: UUID, organisation: UUID, other_organisation: UUID, now: datetime
) -> None:
    allow_user(
        email=EMAIL, organisation_id=other_organisation, role=Role.AUDITOR, actor=CLERK, now=now
    )
    with acting_for(None, user_id):
        assert {(one.organisation_id, one.role) for one in list_memberships()} == {
            (organisation, Role.CLERK),
            (other_organisation, Role.AUDITOR),
        }
    with acting_for(other_organisation):
        events = fetch("SELECT kind FROM events WHERE subject_id = %s", (user_id,))
    assert [event.kind for event in events] == ["user.allowed"]


def test_a_person_may_be_added_for_several_organisations_at_once(
    organisation: UUID, other_organisation: UUID, now: datetime
) -> None:
    memberships = [(organisation, Role.MANAGER), (other_organisation, Role.AUDITOR)]
    user_id = add_user(
        email=EMAIL, name="Mara", password=PASSWORD, memberships=memberships, now=now
    )
    with acting_for(None, user_id):
        assert [one.role for one in list_memberships()] == [Role.MANAGER, Role.AUDITOR]


def test_an_address_is_taken_once_however_it_is_written(
    user_id: UUID, organisation: UUID, now: datetime
) -> None:
    with pytest.raises(EmailTaken):
        add_user(
            email="MARA@harbour.example", name="Other", password=PASSWORD,
            memberships=[(organisation, Role.CLERK)], now=now,
        )  # fmt: skip


@pytest.mark.parametrize(
    "password", ["fourteen chars", "a" * 40, "ab" * 20, EMAIL + " ", "x1y2z" * 300]
)
def test_a_weak_or_endless_password_is_refused_and_nothing_is_stored(
    organisation: UUID, now: datetime, password: str
) -> None:
    with pytest.raises(PasswordRefused, match="Nothing was saved"):
        add_user(
            email=EMAIL, name="Mara", password=password,
            memberships=[(organisation, Role.CLERK)], now=now,
        )  # fmt: skip
    with acting_for(None):
        assert find_user_by_email(EMAIL) is None


@pytest.mark.parametrize("email", ["", "mara", "mara@", "@x.example", "ma ra@x.example", "a\0@x.y"])
def test_what_is_no_address_is_refused(organisation: UUID, now: datetime, email: str) -> None:
    with pytest.raises(UserInvalid):
        add_user(
            email=email, name="Mara", password=PASSWORD,
            memberships=[(organisation, Role.CLERK)], now=now,
        )  # fmt: skip


def test_a_sign_in_begins_a_session_whose_token_is_not_stored(
    user_id: UUID, organisation: UUID, now: datetime
) -> None:
    token = sign_in(email=" MARA@harbour.example", password=PASSWORD, now=now, hours_max=12)
    row = session_of(token, now)
    assert row is not None
    assert (row.user_id, row.organisation_id) == (user_id, organisation)
    with transaction():
        stored = fetch_one("SELECT * FROM user_sessions")
    assert stored is not None
    assert token not in str(stored)
    assert stored.expires_at == now + timedelta(hours=12)


def test_equal_letters_make_the_same_password(organisation: UUID, now: datetime) -> None:
    add_user(
        email=EMAIL, name="Mara", password="über die große Brücke",
        memberships=[(organisation, Role.CLERK)], now=now,
    )  # fmt: skip
    assert sign_in(email=EMAIL, password="u\u0308ber die große Bru\u0308cke", now=now)


@pytest.mark.parametrize(
    ("email", "password"),
    [
        (EMAIL, "wrong"),
        (EMAIL, ""),
        (EMAIL, "x" * 5000),
        ("nobody@harbour.example", PASSWORD),
        ("\0", ""),
    ],
)
def test_every_refusal_of_a_sign_in_reads_the_same(
    user_id: UUID, now: datetime, email: str, password: str
) -> None:
    with pytest.raises(SignInRefused) as refused:
        sign_in(email=email, password=password, now=now)
    assert refused.value.message == SignInRefused().message


def test_an_unknown_address_costs_the_same_work(
    user_id: UUID, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    verified: list[str] = []
    verify = passwords._hasher.verify

    class Counting:
        def __getattr__(self, name: str) -> object:
            return getattr(kept, name)

        def verify(self, password_hash: str, password: str) -> bool:
            verified.append(password_hash)
            return verify(password_hash, password)

    kept = passwords._hasher
    monkeypatch.setattr(passwords, "_hasher", Counting())
    for email in (EMAIL, "nobody@harbour.example"):
        with pytest.raises(SignInRefused):
            sign_in(email=email, password="wrong password given", now=now)
    parameters = [one.rsplit("$", 2)[0] for one in verified]
    assert len(parameters) == 2
    assert parameters[0] == parameters[1]


def test_a_locked_person_is_out_at_once(user_id: UUID, now: datetime) -> None:
    token = sign_in(email=EMAIL, password=PASSWORD, now=now)
    change_activity(email=EMAIL, is_active=False, actor=PORTAL, now=now)
    assert session_of(token, now) is None
    with pytest.raises(SignInRefused):
        sign_in(email=EMAIL, password=PASSWORD, now=now)
    change_activity(email=EMAIL, is_active=True, actor=PORTAL, now=now)
    assert sign_in(email=EMAIL, password=PASSWORD, now=now)


def test_a_new_password_ends_every_session(user_id: UUID, now: datetime) -> None:
    token = sign_in(email=EMAIL, password=PASSWORD, now=now)
    change_password(email=EMAIL, password="another long sentence", actor=PORTAL, now=now)
    assert session_of(token, now) is None
    with pytest.raises(SignInRefused):
        sign_in(email=EMAIL, password=PASSWORD, now=now)
    assert sign_in(email=EMAIL, password="another long sentence", now=now)


def test_nobody_can_be_changed_who_is_not_there(organisation: UUID, now: datetime) -> None:
    with pytest.raises(UserNotFound):
        change_activity(email="nobody@x.example", is_active=False, actor=PORTAL, now=now)


def test_a_session_ends_when_idle_when_old_and_when_told(user_id: UUID, now: datetime) -> None:
    token = sign_in(email=EMAIL, password=PASSWORD, now=now, hours_max=1)
    assert session_of(token, now + IDLE) is None
    touch_session(token=token, now=now + timedelta(minutes=20))
    assert session_of(token, now + timedelta(minutes=45)) is not None
    touch_session(token=token, now=now + timedelta(minutes=45))
    assert session_of(token, now + timedelta(minutes=60)) is None
    end_session(token=token)
    assert session_of(token, now) is None


def test_an_older_click_does_not_turn_a_session_back(user_id: UUID, now: datetime) -> None:
    token = sign_in(email=EMAIL, password=PASSWORD, now=now)
    touch_session(token=token, now=now + timedelta(minutes=10))
    touch_session(token=token, now=now)
    row = session_of(token, now + timedelta(minutes=11))
    assert row is not None
    assert row.last_seen_at == now + timedelta(minutes=10)


def test_a_token_of_another_person_opens_nothing(user_id: UUID, now: datetime) -> None:
    token = sign_in(email=EMAIL, password=PASSWORD, now=now)
    forged = f"{UUID(int=7).hex}.{token.partition('.')[2]}"
    assert session_of(forged, now) is None
    assert user_of_token("no token at all") is None


def test_a_session_only_works_for_an_organisation_of_its_person(
    user_id: UUID, organisation: UUID, other_organisation: UUID, now: datetime
) -> None:
    token = sign_in(email=EMAIL, password=PASSWORD, now=now)
    with pytest.raises(NotAMember):
        choose_organisation(token=token, user_id=user_id, organisation_id=other_organisation)
    allow_user(
        email=EMAIL, organisation_id=other_organisation, role=Role.CLERK, actor=CLERK, now=now
    )
    choose_organisation(token=token, user_id=user_id, organisation_id=other_organisation)
    row = session_of(token, now)
    assert row is not None
    assert row.organisation_id == other_organisation


def test_too_many_tries_are_refused_even_with_the_right_password(
    user_id: UUID, now: datetime
) -> None:
    for _ in range(passwords.TRIES_MAX):
        with pytest.raises(SignInRefused):
            sign_in(email=EMAIL, password="wrong", now=now)
    with pytest.raises(TooManyTries) as refused:
        sign_in(email=EMAIL, password=PASSWORD, now=now)
    assert refused.value.minutes == passwords.TRIES_WINDOW_SECONDS // 60


def test_nobody_is_locked_out_for_ever(user_id: UUID, now: datetime) -> None:
    for _ in range(passwords.TRIES_MAX + 5):
        with pytest.raises((SignInRefused, TooManyTries)):
            sign_in(email=EMAIL, password="wrong", now=now)
    (key,) = open_redis().keys("sign-in-tries:*")
    assert 0 < open_redis().ttl(key) <= passwords.TRIES_WINDOW_SECONDS
    open_redis().delete(key)
    assert sign_in(email=EMAIL, password=PASSWORD, now=now)


def test_the_right_password_forgets_the_wrong_ones(user_id: UUID, now: datetime) -> None:
    for _ in range(2):
        for _ in range(passwords.TRIES_MAX - 1):
            with pytest.raises(SignInRefused):
                sign_in(email=EMAIL, password="wrong", now=now)
        assert sign_in(email=EMAIL, password=PASSWORD, now=now)


def test_an_unknown_address_is_throttled_like_a_known_one(
    organisation: UUID, now: datetime
) -> None:
    for _ in range(passwords.TRIES_MAX):
        with pytest.raises(SignInRefused):
            sign_in(email="nobody@x.example", password="wrong", now=now)
    with pytest.raises(TooManyTries):
        sign_in(email="nobody@x.example", password="wrong", now=now)


def test_without_redis_people_still_sign_in(app: Flask, user_id: UUID, now: datetime) -> None:
    import redis

    kept = app.extensions["portal_redis"]
    app.extensions["portal_redis"] = redis.Redis(host="127.0.0.1", port=1)
    try:
        assert sign_in(email=EMAIL, password=PASSWORD, now=now)
    finally:
        app.extensions["portal_redis"] = kept


def test_an_outdated_hash_is_renewed_at_the_sign_in(
    user_id: UUID, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    from argon2 import PasswordHasher

    monkeypatch.setattr(
        passwords, "_hasher", PasswordHasher(time_cost=3, memory_cost=19_456, parallelism=1)
    )
    sign_in(email=EMAIL, password=PASSWORD, now=now)
    with acting_for(None):
        user = find_user_by_email(EMAIL)
    assert user is not None
    assert "t=3" in user.password_hash

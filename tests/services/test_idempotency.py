"""What is asked twice is done once: the reply is kept with the effect, or neither is."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from uuid import UUID

import pytest
from flask import Flask

from portal.db import acting_for, transaction
from portal.domain.errors import Conflict
from portal.services import idempotency
from portal.services.idempotency import (
    KEPT_DAYS,
    KeyReused,
    KeyUnusable,
    Reply,
    RequestUnderWay,
    do_once,
)
from portal.sql import fetch_plain
from tests.factories import NOW, make_payer
from tests.services.collecting import run_together

HASH = b"what is asked"
Ask = Callable[..., tuple[Reply, bool]]


@pytest.fixture
def ask(organisation: UUID) -> Ask:
    """Ask once for a payer to be made; the reply names how many there then are."""

    def asked(
        key: str = "key-1", request_hash: bytes = HASH, now: datetime = NOW
    ) -> tuple[Reply, bool]:
        def work() -> Reply:
            make_payer(organisation_id=organisation)
            return Reply(201, {"Location": "/there"}, str(count("payers")).encode())

        with acting_for(organisation):
            return do_once(key=key, request_hash=request_hash, work=work, now=now)

    return asked


def count(table: str) -> int:
    return int(fetch_plain(f"SELECT count(*) FROM {table}")[0][0])


def counted(organisation_id: UUID, table: str) -> int:
    with acting_for(organisation_id):
        return count(table)


def test_the_second_time_the_first_reply_comes_back(organisation: UUID, ask: Ask) -> None:
    first, second = ask(), ask()

    assert first == (Reply(201, {"Location": "/there"}, b"1"), False)
    assert second == (first[0], True)
    assert counted(organisation, "payers") == 1


def test_another_key_is_another_request(organisation: UUID, ask: Ask) -> None:
    assert ask("key-1")[1] is ask("key-2")[1] is False
    assert counted(organisation, "payers") == 2


def test_a_key_belongs_to_what_was_asked_with_it(organisation: UUID, ask: Ask) -> None:
    ask()
    with pytest.raises(KeyReused):
        ask(request_hash=b"something else")
    assert counted(organisation, "payers") == 1


def test_a_key_belongs_to_its_organisation(ask: Ask, other_organisation: UUID) -> None:
    ask()

    def work() -> Reply:
        return Reply(200, {}, b"theirs")

    with acting_for(other_organisation):
        reply, is_replay = do_once(key="key-1", request_hash=b"other", work=work, now=NOW)
    assert (reply.body, is_replay) == (b"theirs", False)


@pytest.mark.parametrize("key", ["", "k" * 256, "kéy", "a b", "a\nb", "a\0b"])
def test_a_key_is_short_plain_text(ask: Ask, key: str) -> None:
    with pytest.raises(KeyUnusable):
        ask(key)


def test_work_that_fails_leaves_neither_effect_nor_key(organisation: UUID, ask: Ask) -> None:
    def fail() -> Reply:
        make_payer(organisation_id=organisation)
        raise Conflict(reason="it was not to be")

    with acting_for(organisation), pytest.raises(Conflict):
        do_once(key="key-1", request_hash=HASH, work=fail, now=NOW)
    assert counted(organisation, "payers") == counted(organisation, "idempotency_keys") == 0

    assert ask()[1] is False


def test_many_at_once_have_one_effect_and_one_reply(
    app: Flask, organisation: UUID, ask: Ask
) -> None:
    answers = run_together(app, *[ask] * 8)

    assert sorted(is_replay for _, is_replay in answers) == [False, *[True] * 7]
    assert {reply.body for reply, _ in answers} == {b"1"}
    assert counted(organisation, "payers") == 1


def test_a_rival_waits_only_so_long(
    app: Flask, organisation: UUID, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idempotency, "RIVAL_WAIT_MS", 50)
    met: list[object] = []

    def work() -> Reply:
        met.extend(run_together(app, ask))
        return Reply(200, {}, b"at last")

    with acting_for(organisation):
        reply, is_replay = do_once(key="key-1", request_hash=HASH, work=work, now=NOW)

    assert isinstance(met[0], RequestUnderWay)
    assert met[0].retry_after_seconds
    assert (reply.body, is_replay) == (b"at last", False)
    assert ask() == (reply, True)


def test_the_wait_for_rivals_does_not_shorten_other_waits(organisation: UUID) -> None:
    def work() -> Reply:
        return Reply(200, {}, fetch_plain("SHOW lock_timeout")[0][0].encode())

    with acting_for(organisation):
        usual = fetch_plain("SHOW lock_timeout")[0][0]
        reply, _ = do_once(key="key-1", request_hash=HASH, work=work, now=NOW)
    assert reply.body.decode() == usual


def test_old_keys_are_forgotten_by_new_ones(organisation: UUID, ask: Ask) -> None:
    for place in range(3):
        ask(f"old-{place}")
    later = NOW + timedelta(days=KEPT_DAYS)
    assert ask("old-0", now=later)[1] is True, "kept to the last day"

    assert ask("old-0", now=later + timedelta(seconds=1))[1] is False, "then as good as new"
    with transaction(organisation):
        assert fetch_plain("SELECT key FROM idempotency_keys") == [("old-0",)]

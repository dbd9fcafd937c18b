import io
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from flask.testing import FlaskClient
from standardwebhooks import Webhook

from jobs.message_delivery import drain_messages
from portal.gateways.sandbox.keys import derive_key
from portal.queue import open_queue, open_redis
from tests.factories import make_organisation
from tests.services.books import rows
from tests.services.collecting import Case, case_of, make_case, run_together
from tests.services.noticing import make_notices_account

URL = "/api/v1/webhooks/harbour"


@pytest.fixture
def configured(app: Flask) -> Flask:
    # Nobody listens there; only the secret matters here.
    app.config["PORTAL"] = app.config["PORTAL"].changed(sandbox_url="http://127.0.0.1:9")
    return app


@pytest.fixture
def case(configured: Flask, organisation: UUID) -> Case:
    return make_case("pending")


def body_of(case: Case, **over: Any) -> dict[str, Any]:
    data = {
        "gateway_ref": case.attempt.gateway_ref,
        "merchant_ref": case.attempt.merchant_ref,
        "amount_minor": case.attempt.amount_minor,
        "currency": "EUR",
        "reason_code": None,
        "fee_minor": 25,
    }
    return {
        "id": "evt_1",
        "type": "charge.succeeded",
        "occurred_at": "2026-03-18T09:30:00+00:00",
        "data": {**data, **over},
    }


def sign(
    app: Flask,
    raw: bytes,
    *,
    account: str = "harbour",
    event_id: str = "evt_1",
    at: datetime | None = None,
) -> dict[str, str]:
    secret = app.config["PORTAL"].sandbox_secret
    moment = at or datetime.now(UTC)
    webhook = Webhook(derive_key(secret, account, "webhook"))
    return {
        "webhook-id": event_id,
        "webhook-timestamp": str(int(moment.timestamp())),
        "webhook-signature": webhook.sign(event_id, moment, raw.decode()),
        "content-type": "application/json",
    }


def stored() -> list[Any]:
    return rows("SELECT * FROM inbox_messages")


def test_a_signed_event_is_stored_as_it_came_and_then_acknowledged(
    configured: Flask, client: FlaskClient, case: Case
) -> None:
    open_redis().delete(open_queue().key)
    raw = json.dumps(body_of(case)).encode()

    answer = client.post(URL, data=raw, headers=sign(configured, raw))

    assert (answer.status_code, answer.data) == (204, b"")
    (event,) = stored()
    assert (event.event_ref, event.kind, event.state) == ("evt_1", "charge.succeeded", "ready")
    assert bytes(event.raw) == raw
    assert event.content["merchant_ref"] == case.attempt.merchant_ref
    assert case_of(case.payment.id).attempt.state == "pending", "handled later, by a worker"
    assert [job.func_name for job in open_queue().jobs] == ["jobs.message_delivery.drain_messages"]
    drain_messages()
    assert case_of(case.payment.id).attempt.state == "succeeded"


def test_a_repeat_is_acknowledged_and_kept_once(
    configured: Flask, client: FlaskClient, case: Case
) -> None:
    raw = json.dumps(body_of(case)).encode()

    answers = [client.post(URL, data=raw, headers=sign(configured, raw)) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [204, 204, 204]
    assert len(stored()) == 1


def test_the_same_event_many_times_at_once_is_kept_once(configured: Flask, case: Case) -> None:
    raw = json.dumps(body_of(case)).encode()

    def post() -> int:
        client = configured.test_client()
        return client.post(URL, data=raw, headers=sign(configured, raw)).status_code

    assert run_together(configured, *[post] * 6) == [204] * 6
    assert len(stored()) == 1


Spoil = Callable[[bytes, dict[str, str]], tuple[bytes, dict[str, str]]]


def without(name: str, raw: bytes, headers: dict[str, str]) -> tuple[bytes, dict[str, str]]:
    return raw, {key: value for key, value in headers.items() if key != name}


def changed(
    name: str, value: str, raw: bytes, headers: dict[str, str]
) -> tuple[bytes, dict[str, str]]:
    return raw, {**headers, name: value}


def other_byte(raw: bytes, headers: dict[str, str]) -> tuple[bytes, dict[str, str]]:
    return raw.replace(b"EUR", b"USD"), headers


def other_blanks(raw: bytes, headers: dict[str, str]) -> tuple[bytes, dict[str, str]]:
    return json.dumps(json.loads(raw), separators=(",", ":")).encode(), headers


@pytest.mark.parametrize(
    "spoil",
    [
        partial(without, "webhook-id"),
        partial(without, "webhook-timestamp"),
        partial(without, "webhook-signature"),
        partial(changed, "webhook-id", "evt_2"),
        partial(changed, "webhook-timestamp", "1"),
        partial(changed, "webhook-timestamp", "soon"),
        partial(changed, "webhook-signature", "v1,AAAA"),
        partial(changed, "webhook-signature", ""),
        other_byte,
        other_blanks,
    ],
)
def test_a_forged_event_is_refused_and_nothing_is_stored(
    configured: Flask, client: FlaskClient, case: Case, spoil: Spoil
) -> None:
    raw = json.dumps(body_of(case)).encode()
    raw, headers = spoil(raw, sign(configured, raw))

    answer = client.post(URL, data=raw, headers=headers)

    assert answer.status_code == 401
    assert answer.get_json()["status"] == 401
    assert stored() == []


@pytest.mark.parametrize("minutes", [-6, 6])
def test_an_old_or_future_event_is_refused(
    configured: Flask, client: FlaskClient, case: Case, minutes: int
) -> None:
    raw = json.dumps(body_of(case)).encode()
    at = datetime.now(UTC) + timedelta(minutes=minutes)

    assert client.post(URL, data=raw, headers=sign(configured, raw, at=at)).status_code == 401
    assert stored() == []


def test_the_signature_of_one_account_opens_no_other(
    configured: Flask, client: FlaskClient, case: Case
) -> None:
    make_organisation("rivertown")
    raw = json.dumps(body_of(case)).encode()
    headers = sign(configured, raw, account="rivertown")

    assert client.post(URL, data=raw, headers=headers).status_code == 401
    theirs = URL.replace("harbour", "rivertown")
    assert client.post(theirs, data=raw, headers=headers).status_code == 204
    assert stored() == []
    drain_messages()
    assert case_of(case.payment.id).attempt.state == "pending"


def test_an_unknown_account_is_not_there(
    configured: Flask, client: FlaskClient, case: Case
) -> None:
    raw = json.dumps(body_of(case)).encode()
    headers = sign(configured, raw)

    answer = client.post(URL.replace("harbour", "atlantis"), data=raw, headers=headers)

    assert answer.status_code == 404
    assert "atlantis" in answer.get_json()["detail"]


def test_an_account_for_notices_reports_no_payments(
    configured: Flask, client: FlaskClient, case: Case
) -> None:
    make_notices_account()
    raw = json.dumps(body_of(case)).encode()
    headers = sign(configured, raw, account="harbour-notices")

    answer = client.post(URL.replace("harbour", "harbour-notices"), data=raw, headers=headers)

    assert answer.status_code == 404
    assert stored() == []


@pytest.mark.parametrize(
    "over",
    [
        {"amount_minor": "11900"},
        {"amount_minor": 119.5},
        {"amount_minor": -1},
        {"amount_minor": 10**30},
        {"currency": "euro"},
        {"merchant_ref": None},
        {"gateway_ref": ""},
    ],
)
def test_a_signed_event_that_cannot_be_read_is_refused(
    configured: Flask, client: FlaskClient, case: Case, over: dict[str, Any]
) -> None:
    raw = json.dumps(body_of(case, **over)).encode()

    answer = client.post(URL, data=raw, headers=sign(configured, raw))

    assert answer.status_code == 400
    assert answer.get_json()["detail"]
    assert stored() == []


@pytest.mark.parametrize("is_chunked", [False, True])
def test_a_body_that_is_too_large_is_not_read(
    configured: Flask, client: FlaskClient, organisation: UUID, *, is_chunked: bool
) -> None:
    size = 64 * 1024 + 1
    sent = io.BytesIO(b" " * size * 20)
    length = {} if is_chunked else {"content_length": size * 20}
    environ = {"wsgi.input_terminated": True} if is_chunked else {}

    answer = client.post(URL, input_stream=sent, environ_overrides=environ, **length)

    assert answer.status_code == 413
    assert sent.tell() <= size + 1
    assert stored() == []


def test_an_event_is_only_taken_by_post(client: FlaskClient, organisation: UUID) -> None:
    assert client.get(URL).status_code == 405


def test_a_rotation_in_flight_loses_no_event_and_lets_no_third_secret_in(
    configured: Flask, client: FlaskClient, case: Case
) -> None:
    before = configured.config["PORTAL"]
    after = before.changed(
        sandbox_secret="the secret that comes next, long enough",
        sandbox_secret_previous=before.sandbox_secret,
    )
    stranger = before.changed(sandbox_secret="a secret that nobody has agreed on")

    def push(event_id: str, signer: Any, **over: Any) -> int:
        raw = json.dumps(body_of(case) | {"id": event_id}).encode()
        reading = configured.config["PORTAL"]
        configured.config["PORTAL"] = signer
        headers = sign(configured, raw, event_id=event_id, **over)
        configured.config["PORTAL"] = reading
        return client.post(URL, data=raw, headers=headers).status_code

    configured.config["PORTAL"] = after
    taken = [push("evt_1", before), push("evt_2", after)]
    old = datetime.now(UTC) - timedelta(minutes=6)
    refused = [push("evt_3", stranger), push("evt_4", before, at=old)]
    configured.config["PORTAL"] = after.changed(sandbox_secret_previous=None)
    refused.append(push("evt_5", before))

    assert {status // 100 for status in taken} == {2}
    assert set(refused) == {401}
    assert {row.event_ref for row in stored()} == {"evt_1", "evt_2"}

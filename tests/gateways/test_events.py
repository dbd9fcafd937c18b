"""An event counts only when its raw bytes are signed by an active secret, now."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from standardwebhooks import Webhook

from portal.gateways.base import (
    EventKind,
    EventMalformed,
    GatewayAccess,
    GatewayUnsupported,
    SignatureInvalid,
    read_event,
)
from portal.gateways.sandbox.keys import derive_key

SECRET = derive_key("master", "harbour", "webhook")
NEXT_SECRET = derive_key("the next master", "harbour", "webhook")
OTHER_SECRET = derive_key("master", "library", "webhook")
ACCESS = GatewayAccess("sandbox", "http://127.0.0.1:1", "harbour", "key", (SECRET,))
DATA: dict[str, Any] = {
    "merchant_ref": "attempt-1",
    "gateway_ref": "ch_1",
    "amount_minor": 4_200,
    "currency": "EUR",
    "reason_code": "AM04",
    "fee_minor": 28,
}
BODY: dict[str, Any] = {
    "id": "evt_1",
    "type": "charge.returned",
    "occurred_at": "2026-11-20T10:00:00+00:00",
    "data": DATA,
}


def signed(
    body: dict[str, Any] | bytes, *, secret: str = SECRET, age: float = 0.0, name: str = "evt_1"
) -> tuple[dict[str, str], bytes]:
    """Sign a body as the gateway does, some seconds ago."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    sent_at = datetime.now(UTC) - timedelta(seconds=age)
    signature = Webhook(secret).sign(name, sent_at, raw.decode())
    stamp = str(int(sent_at.timestamp()))
    return {"webhook-id": name, "webhook-timestamp": stamp, "webhook-signature": signature}, raw


def test_a_signed_event_is_read() -> None:
    event = read_event(ACCESS, *signed(BODY))
    assert event.event_id == "evt_1"
    assert event.kind == EventKind.CHARGE_RETURNED
    assert (event.merchant_ref, event.gateway_ref) == ("attempt-1", "ch_1")
    assert (event.amount_minor, event.currency, event.fee_minor) == (4_200, "EUR", 28)
    assert event.reason_code == "AM04"
    assert event.occurred_at == datetime(2026, 11, 20, 10, tzinfo=UTC)
    assert event.payload == DATA


def test_a_payout_event_names_no_charge() -> None:
    data = {name: value for name, value in DATA.items() if name != "merchant_ref"}
    event = read_event(ACCESS, *signed(BODY | {"type": "payout.paid", "data": data}))
    assert (event.kind, event.merchant_ref) == (EventKind.PAYOUT_PAID, "")


def test_header_names_may_be_written_in_any_case() -> None:
    headers, raw = signed(BODY)
    upper = {name.upper(): value for name, value in headers.items()}
    assert read_event(ACCESS, upper, raw) == read_event(ACCESS, headers, raw)


@pytest.mark.parametrize("age", [299, -299])
def test_five_minutes_either_way_are_tolerated(age: float) -> None:
    assert read_event(ACCESS, *signed(BODY, age=age)).event_id == "evt_1"


@pytest.mark.parametrize("age", [310, -310, 86_400])
def test_an_older_or_newer_event_is_refused(age: float) -> None:
    with pytest.raises(SignatureInvalid, match="not stored"):
        read_event(ACCESS, *signed(BODY, age=age))


@pytest.mark.parametrize("secret", [OTHER_SECRET, NEXT_SECRET])
def test_another_secret_is_refused(secret: str) -> None:
    with pytest.raises(SignatureInvalid):
        read_event(ACCESS, *signed(BODY, secret=secret))


def test_two_secrets_are_accepted_while_one_is_rotated() -> None:
    rotating = GatewayAccess("sandbox", "", "harbour", "key", (NEXT_SECRET, SECRET))
    assert read_event(rotating, *signed(BODY, secret=SECRET)).event_id == "evt_1"
    assert read_event(rotating, *signed(BODY, secret=NEXT_SECRET)).event_id == "evt_1"
    with pytest.raises(SignatureInvalid):
        read_event(rotating, *signed(BODY, secret=OTHER_SECRET))


@pytest.mark.parametrize("secrets", [(), ("",), ("whsec_",)])
def test_without_a_secret_nothing_is_accepted(secrets: tuple[str, ...]) -> None:
    access = GatewayAccess("sandbox", "", "harbour", "key", secrets)
    with pytest.raises(SignatureInvalid):
        read_event(access, *signed(BODY))


def test_every_single_changed_byte_is_noticed() -> None:
    headers, raw = signed(BODY)
    for place in range(len(raw)):
        changed = bytearray(raw)
        changed[place] ^= 1
        with pytest.raises(SignatureInvalid):
            read_event(ACCESS, headers, bytes(changed))


def test_the_same_json_written_otherwise_is_refused() -> None:
    headers, raw = signed(BODY)
    with pytest.raises(SignatureInvalid):
        read_event(ACCESS, headers, json.dumps(json.loads(raw), indent=1).encode())


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
@pytest.mark.parametrize("value", [None, "", "x", "v1,", "v1,é", "v1,AAAA v2", "nan", "9" * 400])
def test_broken_headers_are_refused(name: str, value: str | None) -> None:
    headers, raw = signed(BODY)
    headers = {key: text for key, text in headers.items() if key != name}
    if value is not None:
        headers[name] = value
    with pytest.raises(SignatureInvalid):
        read_event(ACCESS, headers, raw)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'{"id":"evt_1","id":"evt_1"}',
        BODY | {"type": "charge.invented"},
        BODY | {"occurred_at": "2026-11-20T10:00:00"},
        BODY | {"occurred_at": "yesterday"},
        BODY | {"data": None},
        BODY | {"data": DATA | {"amount_minor": 0}},
        BODY | {"data": DATA | {"amount_minor": "4200"}},
        BODY | {"data": DATA | {"amount_minor": 42.0}},
        BODY | {"data": DATA | {"amount_minor": 10**30}},
        BODY | {"data": DATA | {"currency": "eur"}},
        BODY | {"data": DATA | {"merchant_ref": ""}},
        BODY | {"data": DATA | {"merchant_ref": "a\x00b"}},
        BODY | {"data": DATA | {"note": "\ud800"}},
        BODY | {"id": "evt_2"},
    ],
)
def test_a_signed_event_that_makes_no_sense_is_malformed(body: dict[str, Any] | bytes) -> None:
    with pytest.raises(EventMalformed, match="not applied"):
        read_event(ACCESS, *signed(body))


def test_bytes_that_are_no_text_and_bodies_without_measure_are_refused() -> None:
    headers, _ = signed(BODY)
    with pytest.raises(SignatureInvalid):
        read_event(ACCESS, headers, b"\xff\xfe")
    with pytest.raises(SignatureInvalid, match="too large"):
        read_event(ACCESS, headers, b" " * 10_000_000)


def test_an_unknown_kind_of_gateway_is_refused() -> None:
    access = GatewayAccess("abacus", "", "harbour", "key", (SECRET,))
    with pytest.raises(GatewayUnsupported):
        read_event(access, *signed(BODY))


def test_each_account_and_each_purpose_has_its_own_key() -> None:
    keys = {
        derive_key(secret, account, purpose)
        for secret in ("master", "other")
        for account in ("a", "b", "a\x00b")
        for purpose in ("api", "webhook")
    }
    assert len(keys) == 12
    assert derive_key("master", "a", "api") == derive_key("master", "a", "api")

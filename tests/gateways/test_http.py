"""What each trouble on the wire means for a charge: never a false no, never a false yes."""

import asyncio
import gzip
import json
import logging
from dataclasses import replace
from typing import Any

import pytest

from portal.gateways.base import (
    AnswerKind,
    ChargeOrder,
    GatewayAnswer,
    GatewayUnreachable,
    open_gateway,
)
from tests.gateways.running import free_port, make_order
from tests.gateways.wires import (
    Answer,
    Wire,
    drips,
    keeps_silent,
    listening,
    never_ends,
    resets,
    says,
    says_json,
    sends,
)

ORDER = make_order(merchant_ref="attempt-on-the-wire", amount_minor=4_200)
GOOD: dict[str, Any] = {
    "id": "ch_1",
    "status": "pending",
    "merchant_ref": ORDER.merchant_ref,
    "amount_minor": 4_200,
    "currency": "EUR",
    "reason_code": None,
    "reason": None,
    "fee_minor": 0,
}
DEEP = b'{"a":' * 5_000 + b"1" + b"}" * 5_000


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        pytest.param(says_json(GOOD, status=202), AnswerKind.PENDING, id="good"),
        pytest.param(says_json(GOOD | {"status": "succeeded"}), AnswerKind.SUCCEEDED, id="at-once"),
        pytest.param(says_json(GOOD | {"amount_minor": 4_201}), AnswerKind.MISMATCH, id="amount"),
        pytest.param(says_json(GOOD | {"currency": "CHF"}), AnswerKind.MISMATCH, id="currency"),
        pytest.param(says_json(GOOD | {"merchant_ref": "x"}), AnswerKind.MISMATCH, id="reference"),
        pytest.param(says_json(GOOD | {"status": "declined"}), AnswerKind.DECLINED, id="declined"),
        pytest.param(says_json(GOOD | {"status": "perhaps"}), AnswerKind.UNKNOWN, id="new-status"),
        pytest.param(says_json(GOOD | {"amount_minor": "4200"}), AnswerKind.UNKNOWN, id="type"),
        pytest.param(says_json(GOOD | {"amount_minor": True}), AnswerKind.UNKNOWN, id="bool"),
        pytest.param(says_json({}), AnswerKind.UNKNOWN, id="empty-object"),
        pytest.param(says(b""), AnswerKind.UNKNOWN, id="empty"),
        pytest.param(says(b'{"id": "ch_'), AnswerKind.UNKNOWN, id="cut-json"),
        pytest.param(says(b"[]"), AnswerKind.UNKNOWN, id="list"),
        pytest.param(says(b'{"a":1,"a":2}'), AnswerKind.UNKNOWN, id="twice"),
        pytest.param(says(b'{"a":NaN}'), AnswerKind.UNKNOWN, id="nan"),
        pytest.param(says(b'{"a":1e99999999999999999999}'), AnswerKind.UNKNOWN, id="exponent"),
        pytest.param(says(b'{"a":' + b"9" * 9_999 + b"}"), AnswerKind.UNKNOWN, id="digits"),
        pytest.param(says(b"\xef\xbb\xbf{}"), AnswerKind.UNKNOWN, id="byte-order-mark"),
        pytest.param(says(b'{"a":"\xff"}'), AnswerKind.UNKNOWN, id="not-utf8"),
        pytest.param(says(b'{"a":"\\ud800"}'), AnswerKind.UNKNOWN, id="half-a-pair"),
        pytest.param(says(DEEP), AnswerKind.UNKNOWN, id="deep"),
        pytest.param(says(b"[" * 900_000), AnswerKind.UNKNOWN, id="deeper"),
        pytest.param(
            says(b" " * 1_000_001 + json.dumps(GOOD).encode()), AnswerKind.UNKNOWN, id="huge"
        ),
        pytest.param(never_ends, AnswerKind.UNKNOWN, id="endless"),
        pytest.param(resets, AnswerKind.UNKNOWN, id="reset"),
        pytest.param(sends(b""), AnswerKind.UNKNOWN, id="closed"),
        pytest.param(
            sends(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"),
            AnswerKind.UNKNOWN,
            id="cut-body",
        ),
        pytest.param(sends(b"220 this is no HTTP\r\n\r\n"), AnswerKind.UNKNOWN, id="no-http"),
        pytest.param(says(b"{}", status=500), AnswerKind.UNKNOWN, id="500"),
        pytest.param(says(b"{}", status=503), AnswerKind.UNKNOWN, id="503"),
        pytest.param(says(b"no", status=401), AnswerKind.NOT_SENT, id="401"),
        pytest.param(says(b"no", status=404), AnswerKind.NOT_SENT, id="404"),
        pytest.param(says(b"later", status=429), AnswerKind.NOT_SENT, id="429"),
        pytest.param(says(b"{}", status=408), AnswerKind.UNKNOWN, id="408"),
        pytest.param(says(b"{}", status=409), AnswerKind.UNKNOWN, id="409"),
        pytest.param(says(b"no", status=422), AnswerKind.UNKNOWN, id="422-without-code"),
        pytest.param(
            says_json({"error": {"code": "no_mandate"}}, status=422), AnswerKind.DECLINED, id="422"
        ),
        pytest.param(
            says_json({"error": {"code": "idempotency_key_reused"}}, status=422),
            AnswerKind.UNKNOWN,
            id="422-key-reused",
        ),
    ],
)
def test_an_answer_means_for_a_charge(answer: Answer, kind: AnswerKind) -> None:
    told, wire = _charge(answer)
    assert told.kind == kind
    assert len(wire.requests) == 1


@pytest.mark.parametrize("answer", [keeps_silent, drips])
def test_no_answer_within_the_deadline_is_unknown(answer: Answer) -> None:
    told, wire = _charge(answer, timeout_seconds=0.4)
    assert told.kind == AnswerKind.UNKNOWN
    assert len(wire.requests) == 1


def test_a_refused_connection_was_certainly_not_sent() -> None:
    async def run() -> tuple[GatewayAnswer, GatewayAnswer]:
        access = Wire(port=free_port()).access()
        async with open_gateway(access) as gateway:
            return await gateway.charge(ORDER), await gateway.query(ORDER.merchant_ref)

    charged, asked = asyncio.run(run())
    assert charged.kind == AnswerKind.NOT_SENT
    # That a question was not sent says nothing about the charge.
    assert asked.kind == AnswerKind.UNKNOWN


@pytest.mark.parametrize("url", ["", "localhost", "ftp://127.0.0.1/", "http://"])
def test_an_address_that_is_none_was_certainly_not_sent(url: str) -> None:
    async def run() -> GatewayAnswer:
        async with open_gateway(Wire().access(base_url=url)) as gateway:
            return await gateway.charge(ORDER)

    assert asyncio.run(run()).kind == AnswerKind.NOT_SENT


def test_a_line_without_tls_gets_no_order() -> None:
    taken = b""

    async def run() -> GatewayAnswer:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal taken
            writer.write(b"this is no handshake\r\n")
            taken += await reader.read(100_000)
            writer.close()

        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            access = Wire().access(base_url=f"https://127.0.0.1:{port}")
            async with open_gateway(access) as gateway:
                return await gateway.charge(ORDER)

    answer = asyncio.run(run())
    assert answer.kind == AnswerKind.NOT_SENT
    assert ORDER.merchant_ref.encode() not in taken


def test_a_redirect_is_not_followed() -> None:
    async def run() -> None:
        async with listening(says_json(GOOD)) as target:
            location = f"Location: http://127.0.0.1:{target.port}/"
            for status in (301, 302, 303, 307, 308):
                answer, _ = await _charge_at(says(b"", status=status, headers=[location]))
                assert answer.kind == AnswerKind.UNKNOWN
            assert target.requests == []

    asyncio.run(run())


def test_a_compressed_answer_is_not_unpacked() -> None:
    packed = gzip.compress(json.dumps(GOOD).encode())
    answer, _ = _charge(says(packed, headers=["Content-Encoding: gzip"]))
    assert answer.kind == AnswerKind.UNKNOWN


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        (["Retry-After: 7"], 7.0),
        (["Retry-After: 999999999"], 3600.0),
        (["Retry-After: -5"], None),
        (["Retry-After: soon"], None),
        ([], None),
        (
            [
                "Date: Fri, 20 Nov 2026 10:00:00 GMT",
                "Retry-After: Fri, 20 Nov 2026 10:01:30 GMT",
            ],
            90.0,
        ),
    ],
)
def test_retry_after_is_read(headers: list[str], seconds: float | None) -> None:
    answer, _ = _charge(says(b"", status=429, headers=headers))
    assert (answer.http_status, answer.retry_after_seconds) == (429, seconds)


def test_a_question_is_asked_again_and_an_order_never() -> None:
    succeeded = says_json(GOOD | {"status": "succeeded"})

    async def run() -> None:
        async with listening(says(b"", status=503), resets, succeeded) as wire:
            async with open_gateway(wire.access()) as gateway:
                answer = await gateway.query(ORDER.merchant_ref)
            assert answer.kind == AnswerKind.SUCCEEDED
            assert len(wire.requests) == 3
        async with listening(says(b"", status=503)) as wire:
            async with open_gateway(wire.access()) as gateway:
                answer = await gateway.query(ORDER.merchant_ref)
            assert answer.kind == AnswerKind.UNKNOWN
            assert len(wire.requests) == 3

    asyncio.run(run())


def test_not_found_counts_only_when_the_gateway_itself_says_so() -> None:
    async def run(answer: Answer) -> AnswerKind:
        async with listening(answer) as wire, open_gateway(wire.access()) as gateway:
            return (await gateway.query(ORDER.merchant_ref)).kind

    own = says_json({"error": {"code": "charge_not_found"}}, status=404)
    foreign = says(b"<h1>Not Found</h1>", status=404)
    assert asyncio.run(run(own)) == AnswerKind.NOT_FOUND
    assert asyncio.run(run(foreign)) == AnswerKind.UNKNOWN
    assert asyncio.run(run(says_json({}, status=404))) == AnswerKind.UNKNOWN


def test_reading_the_books_says_when_it_cannot() -> None:
    async def run(answer: Answer) -> None:
        async with listening(answer) as wire, open_gateway(wire.access()) as gateway:
            for reading in (
                gateway.close_day(ORDER.business_date),
                gateway.list_effects(),
                gateway.list_events(None),
            ):
                with pytest.raises(GatewayUnreachable, match="nothing was booked"):
                    await reading

    endless_pages = {"payouts": [{}], "effects": [], "events": [{}], "cursor": "0"}
    for answer in (says(b"", status=500), says(b"[]"), says_json({}), says_json(endless_pages)):
        asyncio.run(run(answer))


def test_the_key_travels_in_its_header_and_no_secret_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    _, wire = _charge(says(b"", status=500))
    (request,) = wire.requests
    head, _, body = request.partition(b"\r\n\r\n")
    assert f"Idempotency-Key: {ORDER.idempotency_key}".encode() in head
    assert b"Authorization: Bearer the-api-key-nobody-may-see" in head
    assert ORDER.mandate_token.encode() in body
    written = "".join(str(vars(record)) for record in caplog.records)
    assert "gateway.call_troubled" in written
    for secret in (ORDER.mandate_token, "the-api-key-nobody-may-see"):
        assert secret not in written
        assert secret not in repr(ORDER) + repr(wire.access())


def test_an_order_that_cannot_be_written_breaks_nobody_else() -> None:
    broken: ChargeOrder = replace(ORDER, idempotency_key="a\r\nHost: elsewhere")

    async def run() -> tuple[AnswerKind, int]:
        async with listening(says_json(GOOD)) as wire, open_gateway(wire.access()) as gateway:
            return (await gateway.charge(broken)).kind, len(wire.requests)

    assert asyncio.run(run()) == (AnswerKind.UNKNOWN, 0)


def _charge(answer: Answer, **over: Any) -> tuple[GatewayAnswer, Wire]:
    return asyncio.run(_charge_at(answer, **over))


async def _charge_at(answer: Answer, **over: Any) -> tuple[GatewayAnswer, Wire]:
    async with listening(answer) as wire, open_gateway(wire.access(**over)) as gateway:
        return await gateway.charge(ORDER), wire

"""The one way out over HTTP: deadlines, caps, strict JSON, and what each trouble means for money.

Which words a vendor uses lives beside its client; retries of messages live in the outbox.
"""

import json
import logging
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any

import aiohttp
from tenacity import AsyncRetrying, retry_if_result, stop_after_attempt, stop_after_delay
from tenacity.wait import wait_random_exponential

from portal.gateways.strict_json import read_json
from portal.gateways.values import AnswerKind, GatewayAccess

BODY_BYTES_MAX = 1_000_000
CONNECT_SECONDS_MAX = 5.0
QUERY_TRIES_MAX = 3
RETRY_AFTER_SECONDS_MAX = 3600.0
# Refused at the door: the gateway did not look at the order itself.
NOT_EXECUTED_STATUSES = frozenset(
    {
        HTTPStatus.UNAUTHORIZED,
        HTTPStatus.FORBIDDEN,
        HTTPStatus.NOT_FOUND,
        HTTPStatus.METHOD_NOT_ALLOWED,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        HTTPStatus.TOO_MANY_REQUESTS,
    }
)

logger = logging.getLogger("portal.gateways")


@dataclass(frozen=True, slots=True)
class Reply:
    """A complete, readable answer, whatever its status says."""

    status: int
    body: dict[str, Any]
    retry_after_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Trouble:
    """No readable answer: `not_sent` or `unknown`; transient means worth asking again now."""

    kind: AnswerKind
    error: str
    http_status: int | None = None
    retry_after_seconds: float | None = None
    transient: bool = False


class GatewayHttp:
    """One account's session; made by `open_http`."""

    def __init__(self, session: aiohttp.ClientSession, access: GatewayAccess) -> None:
        self._session = session
        self._base_url = access.base_url.rstrip("/")
        self._deadline_seconds = access.timeout_seconds

    async def post(
        self, path: str, body: Mapping[str, Any], *, idempotency_key: str | None = None
    ) -> Reply | Trouble:
        """Send once, and only once: whether to send again is decided by who keeps the message."""
        headers = {"Content-Type": "application/json"}
        if idempotency_key is not None:
            headers["Idempotency-Key"] = idempotency_key
        return await self._exchange("POST", path, headers=headers, data=_written(body))

    async def get(self, path: str, query: Mapping[str, str]) -> Reply | Trouble:
        """Ask, and ask again a few times while the trouble looks short."""
        retrying = AsyncRetrying(
            retry=retry_if_result(_is_transient),
            stop=stop_after_attempt(QUERY_TRIES_MAX) | stop_after_delay(self._deadline_seconds),
            wait=wait_random_exponential(multiplier=0.1, max=1.0),
            retry_error_callback=lambda state: state.outcome.result() if state.outcome else None,
        )
        found: Reply | Trouble = await retrying(self._exchange, "GET", path, query=dict(query))
        return found

    async def _exchange(
        self,
        method: str,
        path: str,
        *,
        query: dict[str, str] | None = None,
        headers: dict[str, str] | None = None,
        data: bytes | None = None,
    ) -> Reply | Trouble:
        try:
            async with self._session.request(
                method,
                self._base_url + path,
                params=query,
                headers=headers,
                data=data,
                allow_redirects=False,
            ) as response:
                outcome = await _read(response)
        except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError):
            outcome = Trouble(AnswerKind.NOT_SENT, "the gateway's address is not valid")
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            # Raised before the first byte of a request is written, and only there.
            outcome = Trouble(AnswerKind.NOT_SENT, _named("no connection", error), transient=True)
        except TimeoutError as error:
            outcome = Trouble(AnswerKind.UNKNOWN, _named("no answer in time", error))
        except ValueError as error:
            # The library refuses to write what could forge a header.
            outcome = Trouble(AnswerKind.UNKNOWN, _named("not writable", error))
        except (aiohttp.ClientError, OSError) as error:
            outcome = Trouble(AnswerKind.UNKNOWN, _named("broken off", error), transient=True)
        _log(method, path, outcome)
        return outcome


@asynccontextmanager
async def open_http(access: GatewayAccess) -> AsyncIterator[GatewayHttp]:
    """Open the session of one account: no redirects, no proxies, no cookies, no compression."""
    connector = aiohttp.TCPConnector(limit=max(access.in_flight_max, 1), ttl_dns_cache=60)
    timeout = aiohttp.ClientTimeout(
        total=access.timeout_seconds,
        sock_connect=min(CONNECT_SECONDS_MAX, access.timeout_seconds),
    )
    async with aiohttp.ClientSession(
        connector=connector,
        timeout=timeout,
        cookie_jar=aiohttp.DummyCookieJar(),
        # A compressed answer could be small on the wire and endless in memory.
        auto_decompress=False,
        headers={
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "Authorization": f"Bearer {access.api_key}",
            "User-Agent": "billing-portal",
        },
        trust_env=False,
    ) as session:
        yield GatewayHttp(session, access)


def is_success(status: int) -> bool:
    """Tell whether a status is one of the 2xx."""
    return HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES


async def _read(response: aiohttp.ClientResponse) -> Reply | Trouble:
    status = response.status
    wait = _retry_after(response.headers)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return _closed(response, AnswerKind.UNKNOWN, "a fault of the gateway", wait, transient=True)
    if status in NOT_EXECUTED_STATUSES and response.method == "POST":
        return _closed(response, AnswerKind.NOT_SENT, "refused unread", wait)
    if not (is_success(status) or status >= HTTPStatus.BAD_REQUEST):
        return _closed(response, AnswerKind.UNKNOWN, "a redirect, not followed", wait)
    raw = bytearray()
    async for piece in response.content.iter_any():
        raw += piece
        if len(raw) > BODY_BYTES_MAX:
            return _closed(response, AnswerKind.UNKNOWN, "an answer over 1 MB", wait)
    try:
        return Reply(status, read_json(bytes(raw)), wait)
    except ValueError as error:
        return Trouble(AnswerKind.UNKNOWN, f"an unreadable answer: {error}", status, wait)


def _closed(
    response: aiohttp.ClientResponse,
    kind: AnswerKind,
    what: str,
    wait: float | None,
    *,
    transient: bool = False,
) -> Trouble:
    # The rest is never read, so the connection cannot be used again.
    response.close()
    error = f"{what} (HTTP {response.status})"
    return Trouble(kind, error, response.status, wait, transient)


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Read Retry-After in seconds, or as a date against the gateway's own clock."""
    text = headers.get("Retry-After", "")
    if re.fullmatch(r"[0-9]{1,9}", text):
        return min(float(text), RETRY_AFTER_SECONDS_MAX)
    try:
        until = parsedate_to_datetime(text)
        seconds = (until - parsedate_to_datetime(headers.get("Date", ""))).total_seconds()
    except (TypeError, ValueError):
        return None
    return min(max(seconds, 0.0), RETRY_AFTER_SECONDS_MAX)


def _is_transient(outcome: Reply | Trouble) -> bool:
    return isinstance(outcome, Trouble) and outcome.transient


def _written(body: Mapping[str, Any]) -> bytes:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def _named(what: str, error: BaseException) -> str:
    # The class only: the text of an error may quote addresses, headers or tokens.
    return f"{what} ({type(error).__name__})"


def _log(method: str, path: str, outcome: Reply | Trouble) -> None:
    if isinstance(outcome, Trouble):
        logger.warning(
            "gateway.call_troubled",
            extra={
                "method": method,
                "path": path,
                "kind": outcome.kind.value,
                "status": outcome.http_status,
                "error": outcome.error,
            },
        )
    elif logger.isEnabledFor(logging.DEBUG):
        logger.debug(
            "gateway.called", extra={"method": method, "path": path, "status": outcome.status}
        )

"""External systems with keys, as they would call."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from uuid import UUID, uuid4

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.test import TestResponse

from portal.clock import now_utc
from portal.domain.users import Scope
from portal.services.api_keys import add_key
from tests.factories import CLERK

EVERYTHING = tuple(one.value for one in Scope)
PREFIX = "/api/v1"
UNSET: Any = object()


class Machine:
    """An external system that holds a key."""

    def __init__(self, client: FlaskClient, key: str) -> None:
        self.client = client
        self.key = key

    def send(
        self,
        method: str,
        path: str,
        body: Any = UNSET,
        *,
        once: str | None = None,
        headers: Mapping[str, str] | None = None,
        **sent: Any,
    ) -> TestResponse:
        """Send a request; the answer must be JSON (or nothing) and look like the API's."""
        said = {"Authorization": f"Bearer {self.key}", **(headers or {})}
        if once is not None:
            said["Idempotency-Key"] = once
        if body is not UNSET:
            sent["data"] = json.dumps(body)
            sent.setdefault("content_type", "application/json")
        return self.client.open(PREFIX + path, method=method, headers=said, **sent)

    def get(self, path: str, **sent: Any) -> TestResponse:
        return self.send("GET", path, **sent)

    def post(self, path: str, body: Any = UNSET, **sent: Any) -> TestResponse:
        """Send a POST that is meant to be done once, with a new key unless one is given."""
        return self.send("POST", path, body, **{"once": uuid4().hex, **sent})

    def patch(self, path: str, body: Any, **sent: Any) -> TestResponse:
        return self.send("PATCH", path, body, content_type="application/merge-patch+json", **sent)

    def read(self, path: str, **sent: Any) -> Any:
        """Get something that is there."""
        answer = self.get(path, **sent)
        assert answer.status_code == 200, answer.text
        return answer.get_json()


def problem_of(answer: TestResponse, status: int, code: str) -> dict[str, Any]:
    """Return problem details after checking what all of them have."""
    assert answer.status_code == status, answer.text
    assert answer.content_type == "application/problem+json"
    found: dict[str, Any] = json.loads(answer.data)
    assert found["status"] == status
    assert found["code"] == code, found
    assert found["type"] == f"/help/errors/{code}"
    assert {"title", "detail", "instance", "request_id", "errors"} < found.keys()
    return found


@pytest.fixture
def make_machine(app: Flask, organisation: UUID) -> Callable[..., Machine]:
    """Make a system with a key of an organisation and some scopes."""

    def make(
        scopes: Sequence[str] = EVERYTHING,
        *,
        organisation_id: UUID | None = None,
        name: str = "ERP",
    ) -> Machine:
        _, key = add_key(
            organisation_id=organisation_id or organisation,
            name=name,
            scopes=scopes,
            actor=CLERK,
            now=now_utc(),
        )
        return Machine(app.test_client(), key)

    return make


@pytest.fixture
def machine(make_machine: Callable[..., Machine]) -> Machine:
    """A system that may do everything in the organisation."""
    return make_machine()


class Silent(WSGIRequestHandler):
    """Thousands of lines would hide the one that matters."""

    def log_request(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def address(app: Flask) -> Iterator[str]:
    """Where the application listens, as it would in production."""
    app.testing = False
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Silent)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.port}"
    server.shutdown()
    thread.join()
    server.server_close()

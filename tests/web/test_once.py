"""A form that is sent twice: done once, answered twice, said once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask, request
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from portal.domain.errors import Conflict
from portal.domain.users import Permission
from portal.web.access import require
from portal.web.once import answer_once, new_request_key, seen_version
from tests.pages import read_page
from tests.web.conftest import sign_in, token_on

HTMX = {"HX-Request": "true"}


class Refused(Conflict):
    """This was refused; nothing was done."""


@pytest.fixture
def done() -> list[str]:
    """What the form has done so far."""
    return []


@pytest.fixture
def refusals() -> list[bool]:
    """Whether the next sendings are refused by the work itself."""
    return []


@pytest.fixture
def browser(
    own_app: Flask, add_person: Callable[..., str], done: list[str], refusals: list[bool]
) -> FlaskClient:
    """A browser of a signed-in person, and a form at /take that does what it is sent."""

    @require(Permission.SIGNED_IN)
    def take() -> Any:
        def work() -> tuple[str, str]:
            if refusals and refusals.pop():
                raise Refused
            done.append(request.form["words"])
            return "/runs", f"{request.form['words']} was saved."

        return answer_once(work)

    own_app.add_url_rule("/take", "take", take, methods=["POST"])
    client = own_app.test_client()
    sign_in(client, add_person())
    return client


@pytest.fixture
def sender(browser: FlaskClient) -> Callable[..., TestResponse]:
    """Send that form."""
    token = token_on(browser.get("/runs"))

    def send(
        words: str, key: str, address: str = "/take", headers: Any = None, **more: Any
    ) -> TestResponse:
        sent = {"csrf_token": token, "words": words, "request_key": key, **more}
        return browser.post(address, data=sent, headers=headers)

    return send


def toasts(client_answer: TestResponse) -> list[str]:
    return [one.text for one in read_page(client_answer.text).find_all("div", class_="toast")]


def test_a_form_sent_twice_is_done_once_and_leads_to_the_same_page(
    sender: Callable[..., TestResponse], done: list[str]
) -> None:
    key = new_request_key()
    first, second = sender("Draft", key), sender("Draft", key)
    assert done == ["Draft"]
    assert (first.status_code, first.location) == (303, "/runs")
    assert (second.status_code, second.location) == (303, "/runs")


def test_with_another_key_it_is_done_again(
    sender: Callable[..., TestResponse], done: list[str]
) -> None:
    sender("Draft", new_request_key())
    sender("Draft", new_request_key())
    assert done == ["Draft", "Draft"]


def test_htmx_is_led_there_as_well(sender: Callable[..., TestResponse], done: list[str]) -> None:
    key = new_request_key()
    for _ in range(2):
        answer = sender("Draft", key, headers=HTMX)
        assert (answer.status_code, answer.headers["HX-Redirect"]) == (204, "/runs")
    assert done == ["Draft"]


@pytest.mark.parametrize(
    "other",
    [
        {"words": "Other"},
        {"words": "Draft", "extra": "1"},
        {"words": "Draft", "address": "/take?payer=2"},
        {"words": "Draft\nextra=1"},
    ],
)
def test_another_form_with_a_used_key_is_not_done_and_says_so(
    sender: Callable[..., TestResponse], done: list[str], other: dict[str, str]
) -> None:
    key = new_request_key()
    sender("Draft", key)
    answer = sender(**{**other, "key": key})
    assert answer.status_code == 409
    assert "This form was sent before with something else in it" in answer.text
    assert "key of this request" not in answer.text
    assert done == ["Draft"]


def test_what_was_refused_keeps_its_key(
    sender: Callable[..., TestResponse], done: list[str], refusals: list[bool]
) -> None:
    key = new_request_key()
    refusals.append(True)
    assert sender("Draft", key).status_code == 409
    assert sender("Draft corrected", key).status_code == 303
    assert done == ["Draft corrected"]


@pytest.mark.parametrize("key", ["", "k" * 256, "schlüssel", "a\nb"])
def test_without_a_usable_key_nothing_is_done(
    sender: Callable[..., TestResponse], done: list[str], key: str
) -> None:
    assert sender("Draft", key).status_code == 422
    assert done == []


def test_the_token_of_the_form_is_no_part_of_what_is_asked(
    own_app: Flask, sender: Callable[..., TestResponse], done: list[str]
) -> None:
    key = new_request_key()
    sender("Draft", key)
    other = own_app.test_client()
    sign_in(other, "mara@harbour.example")
    sent = {"csrf_token": token_on(other.get("/runs")), "words": "Draft", "request_key": key}
    assert other.post("/take", data=sent).status_code == 303
    assert done == ["Draft"]
    assert toasts(other.get("/runs")) == ["Draft was saved. It was sent twice and done once."]


def test_two_clicks_are_answered_by_one_sentence(
    browser: FlaskClient, sender: Callable[..., TestResponse], done: list[str]
) -> None:
    key = new_request_key()
    for _ in range(2):
        assert sender("Draft", key).status_code == 303
    assert done == ["Draft"]
    assert toasts(browser.get("/runs")) == ["Draft was saved."]
    assert toasts(browser.get("/runs")) == []
    sender("Draft", key)
    assert toasts(browser.get("/runs")) == ["Draft was saved. It was sent twice and done once."]


@pytest.mark.parametrize(
    ("text", "version"),
    [("3", 3), ("", 0), ("x", 0), ("-1", 0), ("１", 0), ("9" * 10, 0), ("999999999", 999_999_999)],
)
def test_a_version_that_cannot_be_read_was_seen_by_nobody(text: str, version: int) -> None:
    with Flask("plain").test_request_context(method="POST", data={"version": text}):
        assert seen_version() == version

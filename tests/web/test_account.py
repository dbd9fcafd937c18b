"""How a person wants the pages, and where a choice leads back to."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.pages import Page, read_page
from tests.web.conftest import post, token_on


def choose(client: FlaskClient, what: str, referrer: str | None = None, **fields: str) -> Any:
    token = token_on(client.get("/"))
    headers = {"Referer": referrer} if referrer else {}
    return client.post(
        f"/account/{what}", data={"csrf_token": token, **fields}, headers=headers
    )  # fmt: skip


def root(client: FlaskClient) -> dict[str, str]:
    return read_page(client.get("/runs").text).find("html").attributes


def test_a_theme_is_written_by_the_server_and_taken_back(signed_in: FlaskClient) -> None:
    assert "data-theme" not in root(signed_in)
    for theme in ("dark", "light"):
        assert choose(signed_in, "theme", theme=theme).status_code == 303
        assert root(signed_in)["data-theme"] == theme
    choose(signed_in, "theme", theme="")
    assert "data-theme" not in root(signed_in), "the system decides again"


def test_shortcuts_are_turned_off_and_on(signed_in: FlaskClient) -> None:
    assert "data-keys" not in root(signed_in)
    choose(signed_in, "keys", keys="off")
    assert root(signed_in)["data-keys"] == "off"
    found: Page = read_page(signed_in.get("/runs").text)
    assert "Turn keyboard shortcuts on" in found.text
    choose(signed_in, "keys", keys="on")
    assert "data-keys" not in root(signed_in)


@pytest.mark.parametrize(
    ("what", "fields"),
    [("theme", {"theme": "pink"}), ("theme", {}), ("keys", {"keys": "maybe"})],
)
def test_there_is_no_other_choice(
    signed_in: FlaskClient, what: str, fields: dict[str, str]
) -> None:
    answer = post(signed_in, f"/account/{what}", **fields)
    assert answer.status_code == 422
    assert "Nothing was changed" in answer.text


@pytest.mark.parametrize(
    ("referrer", "expected"),
    [
        ("http://localhost/runs?before=9", "/runs?before=9"),
        ("http://localhost/nothing", "/"),
        ("http://localhost/organisation", "/"),
        ("https://evil.example/runs", "/"),
        ("http://localhost//evil.example", "/"),
        (None, "/"),
    ],
)
def test_a_choice_leads_back_to_a_page_of_ours(
    signed_in: FlaskClient, referrer: str | None, expected: str
) -> None:
    assert choose(signed_in, "theme", referrer, theme="dark").location == expected

"""Forms as a browser without scripts fills them in and sends them."""

from __future__ import annotations

from typing import Any

from flask.testing import FlaskClient
from werkzeug.datastructures import MultiDict
from werkzeug.test import TestResponse

from tests.pages import Element, Page, read_page

UNSENT = frozenset({"submit", "button", "image", "reset"})


def form_to(page: Page, address: str) -> Element:
    """Return the form that leads to an address."""
    return page.find("form", action=address)


def fields_of(form: Element) -> MultiDict[str, str]:
    """Return what a form sends when nothing more is entered."""
    sent: MultiDict[str, str] = MultiDict()
    for one in form.walk():
        name, given = one.attributes.get("name"), one.attributes
        if name is None:
            continue
        if one.tag == "textarea":
            sent.add(name, one.text)
        elif one.tag == "select":
            options = one.find_all("option")
            chosen = [each for each in options if "selected" in each.attributes] or options[:1]
            for each in chosen:
                sent.add(name, each.attributes.get("value", each.text))
        elif one.tag == "input" and given.get("type") in {"checkbox", "radio"}:
            if "checked" in given:
                sent.add(name, given.get("value", "on"))
        elif one.tag == "input" and given.get("type") not in UNSENT:
            sent.add(name, given.get("value", ""))
    return sent


def send(
    client: FlaskClient, page: Page, address: str, *, headers: Any = None, **entered: str
) -> TestResponse:
    """Fill in the form of a page and send it; names of fields are written with `_` for `-`.

    Shape: what is not entered is sent as the page shows it; a field that the page lacks is added.
    """
    fields = fields_of(form_to(page, address))
    known = {name.replace("-", "_"): name for name in fields}
    for name, value in entered.items():
        fields[known.get(name, name)] = value
    return client.post(address, data=fields, headers=headers)


def read(client: FlaskClient, address: str, *, status: int = 200, **sent: Any) -> Page:
    """Fetch a page, and see that nothing is wrong with it."""
    return read_answer(client.get(address, **sent), status=status)


def read_answer(answer: TestResponse, *, status: int = 200) -> Page:
    """Parse an answer, and see that nothing is wrong with it."""
    assert answer.status_code == status, (answer.status, answer.text)
    found = read_page(answer.text)
    assert found.faults() == []
    return found

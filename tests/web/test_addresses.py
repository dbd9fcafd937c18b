"""What browsers and strangers send as an address never breaks a page."""

from __future__ import annotations

import pytest
from flask.testing import FlaskClient

from portal.ids import public_id
from portal.web.addresses import NOWHERE, split_address
from tests.factories import make_run

BROKEN = ("http://[", "//[", "http://[::1", "https://a]b/")


def test_what_is_no_address_has_no_parts() -> None:
    assert all(split_address(text) == NOWHERE for text in BROKEN)
    assert split_address("https://portal.example/runs?a=b").netloc == "portal.example"


@pytest.mark.parametrize("broken", BROKEN)
def test_a_broken_address_is_no_fault_of_the_portal(client: FlaskClient, broken: str) -> None:
    assert client.get("/sign-in", query_string={"next": broken}).status_code == 200
    assert client.get("/nope", headers={"Referer": broken}).status_code in {303, 404}
    part = {"HX-Request": "true", "HX-Current-URL": broken}
    assert client.get("/invoices", headers=part).status_code == 401
    assert client.post("/sign-in", headers={"Origin": broken}).status_code == 400


@pytest.mark.parametrize("seen", ["completed.\u00b2", "completed." + "9" * 5000, "...", "x.-1"])
def test_a_forged_mark_of_a_run_is_read_as_none(signed_in: FlaskClient, seen: str) -> None:
    address = f"/runs/{public_id('run', make_run().id)}"
    answer = signed_in.get(address, query_string={"seen": seen}, headers={"HX-Request": "true"})
    assert answer.status_code == 200

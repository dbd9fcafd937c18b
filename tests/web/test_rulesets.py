"""Pages of rules: what is agreed, the editor made from the catalogue, and two people."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from flask.testing import FlaskClient

from portal.db import acting_for
from portal.domain.users import Role
from portal.queries.rulesets import RuleSetRow, get_rule_set, list_rule_sets
from rules import CATALOGUE
from rules.definitions import dump_definition, load_definition
from tests.factories import make_issued_invoice
from tests.web.conftest import post, sign_in

ALWAYS = {"when-way": "always", "when-word": "all", "when-rows-0-op": "eq"}


@pytest.fixture
def clerk(client: FlaskClient, add_person: Callable[..., str]) -> FlaskClient:
    assert sign_in(client, add_person(Role.CLERK)).status_code == 303
    return client


@pytest.fixture
def manager(app: Flask, add_person: Callable[..., str]) -> FlaskClient:
    other = app.test_client()
    assert sign_in(other, add_person(Role.MANAGER, email="max@harbour.example")).status_code == 303
    return other


def versions(organisation: UUID) -> list[RuleSetRow]:
    with acting_for(organisation):
        return list_rule_sets()


def version(organisation: UUID, number: int = 2) -> RuleSetRow:
    with acting_for(organisation):
        return get_rule_set(number)


def send(client: FlaskClient, address: str, **fields: str) -> Any:
    """Send a form with a key of its own and what the page had seen."""
    page = client.get(address)
    seen = re.search(r'name="seen"[^>]*value="([0-9a-f]{64})"', page.text)
    key = re.search(r'name="request_key"[^>]*value="([0-9a-f]+)"', page.text)
    hidden = {"seen": seen[1] if seen else "", "request_key": key[1] if key else "k"}
    return post(client, address, **{**hidden, **fields})


def copy(client: FlaskClient) -> None:
    answer = post(client, "/rules/1/copy", request_key="copy-once")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/rules/2")


def place_of(code: str, row: RuleSetRow) -> int:
    return next(at for at, one in enumerate(row.definition["clause"]) if one["code"] == code)


def test_a_clerk_copies_changes_tests_and_asks_and_a_manager_approves(
    clerk: FlaskClient, manager: FlaskClient, organisation: UUID
) -> None:
    copy(clerk)
    place = place_of("C201", version(organisation))
    address = f"/rules/2/clauses/{place}"
    page = clerk.get(address).text
    assert 'value="0,75"' in page
    saved = send(
        clerk, address, value_rate_bps="1,25", value_grace_days="10",
        **{**ALWAYS, "when-way": "rows", "when-rows-0-field": "payer_kind",
           "when-rows-0-op": "not eq", "when-rows-0-value": "public_body"},
    )  # fmt: skip
    assert saved.status_code == 303
    entry = version(organisation).definition["clause"][place]
    assert entry["parameters"] == {"rate_bps": 125, "grace_days": 10}
    assert entry["when"] == {"not": {"field": "payer_kind", "op": "eq", "value": "public_body"}}
    changes = clerk.get("/rules/2/changes").text
    assert "was 0.75 % and is 1.25 % now" in changes

    invoice = make_issued_invoice()
    number = f"{invoice.series}-{invoice.year}-{invoice.number}"
    tried = clerk.get(
        "/rules/2/test", query_string={"stage": "remind", "on": "2026-12-01", "document": number,
                                       "payer_kind": "person"},
    )  # fmt: skip
    assert tried.status_code == 200
    assert "C201 Late fee" in tried.text

    asked = send(clerk, "/rules/2/request", starts_on="2031-01-01", note="Higher fee")
    assert asked.status_code == 303
    assert clerk.get("/rules/2/approve").status_code == 403
    assert post(clerk, "/rules/2/approve", request_key="x").status_code == 403
    assert send(manager, "/rules/2/approve").status_code == 303
    assert [row.state.value for row in versions(organisation)] == ["active", "active"]


def test_the_same_form_twice_is_one_copy(clerk: FlaskClient, organisation: UUID) -> None:
    for _ in range(2):
        copy(clerk)
    assert len(versions(organisation)) == 2


def test_what_is_wrong_is_said_at_its_field_and_nothing_saved(
    clerk: FlaskClient, organisation: UUID
) -> None:
    copy(clerk)
    before = version(organisation)
    address = f"/rules/2/clauses/{place_of('C201', before)}"
    for fields, words in (
        ({"value_rate_bps": ""}, "Rate: enter a value."),
        ({"value_rate_bps": "much"}, "is not a number"),
        ({"value_rate_bps": "100,01"}, "must lie between"),
        ({"value_rate_bps": "0,755"}, "more than 2 decimals"),
        ({"value_rate_bps": "9" * 500}, "is not a number"),
        ({"value_grace_days": "1,5"}, "is not a whole number"),
        ({"when-way": "rows"}, "Choose a field in a row"),
        ({"when-way": "rows", "when-rows-0-field": "password"}, "Choose a field from the list"),
        ({"when-way": "rows", "when-rows-0-field": "currency", "when-rows-0-op": "lt"},
         "cannot be compared so"),
        ({"when-way": "rows", "when-rows-0-field": "open_minor", "when-rows-0-value": "a"},
         "is not a number"),
        ({"when-way": "text", "when-text": "open_minor >> 5"}, "At character 12"),
        ({"when-way": "text", "when-text": "organisation_id == 'x'"}, "no field"),
        ({"note": "x" * 201}, "longer than 200"),
    ):  # fmt: skip
        sent = {"value_rate_bps": "1", "value_grace_days": "5", **ALWAYS, **fields}
        answer = send(clerk, address, **sent)
        assert answer.status_code == 422, (fields, answer.status_code)
        assert words in answer.text, fields
        assert "<title>Error: " in answer.text
    assert version(organisation) == before


def test_a_row_more_saves_nothing(clerk: FlaskClient, organisation: UUID) -> None:
    copy(clerk)
    before = version(organisation)
    address = f"/rules/2/clauses/{place_of('C201', before)}"
    answer = send(
        clerk, address, value_rate_bps="3", add="yes", **{**ALWAYS, "when-rows-0-value": "kept"}
    )
    assert answer.status_code == 200
    assert 'name="when-rows-1-field"' in answer.text
    assert 'value="kept"' in answer.text
    assert version(organisation) == before


def test_a_stale_form_is_refused(clerk: FlaskClient, organisation: UUID) -> None:
    copy(clerk)
    address = f"/rules/2/clauses/{place_of('C201', version(organisation))}"
    fields = {"value_rate_bps": "1", "value_grace_days": "5", **ALWAYS}
    answer = send(clerk, address, seen="0" * 64, **fields)
    assert answer.status_code == 409
    assert "Somebody else has changed" in answer.text


def test_clauses_are_added_and_removed(clerk: FlaskClient, organisation: UUID) -> None:
    copy(clerk)
    assert clerk.get("/rules/2/add").status_code == 200
    added = send(clerk, "/rules/2/add/V115", value_maximum_minor="1.000,00", severity="warn",
                 stage_issue="y", **ALWAYS)  # fmt: skip
    assert added.status_code == 303
    place = place_of("V115", version(organisation))
    entry = version(organisation).definition["clause"][place]
    assert entry == {
        "code": "V115", "stage": "issue", "severity": "warn",
        "parameters": {"maximum_minor": 100_000},
    }  # fmt: skip
    address = f"/rules/2/clauses/{place}/remove"
    assert "Remove V115?" in clerk.get(address).text
    assert send(clerk, address).status_code == 303
    assert "V115" not in str(version(organisation).definition)
    for missing in ("/rules/2/add/V999", "/rules/2/clauses/998", "/rules/77", "/rules/clauses/x"):
        assert clerk.get(missing).status_code == 404, missing


def test_each_clause_of_the_catalogue_has_a_page_and_a_form(
    clerk: FlaskClient, organisation: UUID
) -> None:
    copy(clerk)
    for code in CATALOGUE:
        assert clerk.get(f"/rules/2/add/{code}").status_code == 200, code
        assert clerk.get(f"/rules/clauses/{code}").status_code == 200, code
    row = version(organisation)
    for place, entry in enumerate(row.definition["clause"]):
        page = clerk.get(f"/rules/2/clauses/{place}")
        assert page.status_code == 200, entry


def test_a_version_in_force_is_not_edited(clerk: FlaskClient) -> None:
    for address in ("/rules/1/clauses/0", "/rules/1/add", "/rules/1/add/V102", "/rules/1/title"):
        assert clerk.get(address).status_code == 409, address
    for address in ("/rules/1/request", "/rules/1/discard"):
        assert clerk.get(address).status_code == 409, address
    assert post(clerk, "/rules/1/discard", request_key="x", seen="0" * 64).status_code == 409


def test_nobody_approves_their_own(manager: FlaskClient, organisation: UUID) -> None:
    copy(manager)
    assert send(manager, "/rules/2/request", starts_on="2031-01-01").status_code == 303
    assert "you asked for it" in manager.get("/rules/2").text
    assert post(manager, "/rules/2/approve", request_key="x").status_code == 403
    assert version(organisation).state.value == "requested"
    assert send(manager, "/rules/2/decline", reason="").status_code == 422
    assert send(manager, "/rules/2/decline", reason="A slip.").status_code == 303
    assert version(organisation).state.value == "draft"
    assert send(manager, "/rules/2/discard").status_code == 303
    assert version(organisation).state.value == "retired"


def test_an_auditor_looks_and_changes_nothing(
    client: FlaskClient, add_person: Callable[..., str], organisation: UUID
) -> None:
    sign_in(client, add_person(Role.AUDITOR))
    for address in ("/rules", "/rules/1", "/rules/1/changes", "/rules/1/test", "/rules/clauses"):
        assert client.get(address).status_code == 200, address
    for address in ("/rules/1/copy", "/rules/import", "/rules/1/clauses/0"):
        assert post(client, address, request_key="x").status_code == 403, address
    assert len(versions(organisation)) == 1


def test_rules_travel_as_text(clerk: FlaskClient, organisation: UUID) -> None:
    text = clerk.get("/rules/1.toml").text
    assert load_definition(text) == version(organisation, 1).definition
    assert send(clerk, "/rules/import", text=text).status_code == 303
    assert version(organisation).definition_hash == version(organisation, 1).definition_hash
    for wrong, words in (
        ("", "Paste the text"),
        ("= 5", "cannot be read as TOML"),
        ("[[clause]]\ncode = 'V999'", "there is no clause with this code"),
        ('base = "atlantis"', "neither one of"),
        (dump_definition({"clause": [{"code": "V102"}]}), "how tax is rounded"),
        ("x" * 200_001, "too long"),
    ):
        answer = send(clerk, "/rules/import", text=wrong)
        assert answer.status_code == 422, wrong[:40]
        assert words in answer.text, wrong[:40]
    assert len(versions(organisation)) == 2


def test_a_trial_reads_typed_lines_and_says_what_it_cannot_read(clerk: FlaskClient) -> None:
    def tried(**over: str) -> Any:
        asked = {
            "stage": "issue", "on": "2026-03-18", "payer_kind": "company",
            "lines-0-net": "100,00", "lines-0-revenue_code": "FEE", "lines-0-tax_code": "S",
            **over,
        }  # fmt: skip
        return clerk.get("/rules/1/test", query_string=asked)

    good = tried()
    assert good.status_code == 200
    assert "119,00" in good.text
    for over, words in (
        ({"lines-0-net": "x"}, "is not an amount"),
        ({"lines-0-quantity": "x"}, "is not a number"),
        ({"document": "INV-9999-1"}, "There is no document"),
        ({"document": "\0"}, "There is no document"),
        ({"lines-0-net": ""}, "Give the number of a document"),
        ({"stage": "lunch"}, "cannot be read"),
        ({"on": "never"}, "cannot be read"),
    ):
        answer = tried(**over)
        assert answer.status_code == 422, over
        assert words in answer.text, over
    assert "lines-2-net" in tried(add="yes").text


def test_other_organisations_have_other_versions(
    signed_in: FlaskClient, other_organisation: UUID, organisation: UUID
) -> None:
    copy(signed_in)
    assert len(versions(other_organisation)) == 1

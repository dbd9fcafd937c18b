"""The pages of cases: what they say, where they lead, and who closes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from flask.testing import FlaskClient

from portal.domain.cases import CASE_TEXTS, CaseKind
from portal.domain.users import Role
from portal.ids import public_id
from tests.factories import attempt_of, make_open_case, make_succeeded_payment, read_row
from tests.services.books import events_of
from tests.services.collecting import make_case
from tests.web.conftest import post, sign_in
from tests.web.forms import read, read_answer, send


def address_of(case: Any) -> str:
    return f"/cases/{public_id('case', case.id)}"


@pytest.fixture
def unknown(organisation: UUID) -> Any:
    """A case about an attempt whose outcome nobody knows."""
    attempt = make_case("unknown").attempt
    return make_open_case(subject_id=attempt.id, subject_name=attempt.merchant_ref)


def test_a_case_says_what_is_wrong_and_what_to_do_and_leads_there(
    signed_in: FlaskClient, unknown: Any
) -> None:
    found = read(signed_in, address_of(unknown))

    assert found.find("h1").text == "Outcome unknown for long"
    text = CASE_TEXTS[CaseKind.UNKNOWN_OUTCOME_LATE]
    for words in (*text, unknown.subject_name, "119,00"):
        assert words in found.text
    attempt = f"/attempts/{public_id('attempt', unknown.subject_id)}"
    assert attempt in [one.attributes["href"] for one in found.find("main").find_all("a")]
    assert signed_in.get(attempt).status_code == 200


def test_a_day_without_its_payout_leads_to_what_was_collected(
    signed_in: FlaskClient, organisation: UUID
) -> None:
    attempt = attempt_of(make_succeeded_payment())
    case = make_open_case(
        kind="payout_late", subject_type="collected_day",
        details={"account": "harbour", "business_on": str(attempt.business_on), "rows": 1},
    )  # fmt: skip
    found = read(signed_in, address_of(case))
    (address,) = [
        one.attributes["href"] for one in found.find("main").find_all("a")
        if one.attributes["href"].startswith("/attempts?")
    ]  # fmt: skip
    rows = read(signed_in, address).find("div", id="list").find("tbody").find_all("tr")
    assert len(rows) == 1


@pytest.mark.parametrize("kind", list(CaseKind))
def test_every_kind_has_a_page(signed_in: FlaskClient, organisation: UUID, kind: CaseKind) -> None:
    case = make_open_case(
        kind=kind.value, subject_type="gateway_record", amount_minor=None,
        details={"ours": "", "theirs": "100 EUR"},
    )  # fmt: skip
    found = read(signed_in, address_of(case))
    assert CASE_TEXTS[kind].advice in found.text
    assert kind.label in read(signed_in, "/cases").text


def test_a_manager_closes_a_case_with_a_reason(signed_in: FlaskClient, unknown: Any) -> None:
    address = f"{address_of(unknown)}/close"
    page = read(signed_in, address)
    for reason, said in (("", "Say why the case is closed."), ("  ", "The case was not closed")):
        again = read_answer(send(signed_in, page, address, reason=reason), status=422)
        assert said in again.text
    assert read_row("cases", unknown.id).state == "open"

    answer = send(signed_in, page, address, reason="The gateway has answered by telephone.")
    assert answer.status_code == 303
    closed = read_row("cases", unknown.id)
    assert (closed.state, closed.closed_by) == ("closed", "Mara Weber")
    assert events_of(unknown.id) == ["case.closed"]
    found = read(signed_in, address_of(unknown))
    assert "The gateway has answered by telephone." in found.text
    assert "Close the case" not in found.text


def test_a_case_that_has_ended_says_so(signed_in: FlaskClient, unknown: Any) -> None:
    address = f"{address_of(unknown)}/close"
    page = read(signed_in, address)
    post(signed_in, address, reason="First.", request_key="k" * 32)
    answer = send(signed_in, page, address, reason="Second.")
    assert answer.status_code == 409
    assert read_row("cases", unknown.id).reason == "First."
    assert signed_in.get(f"{address_of(unknown)}/close").status_code == 409


@pytest.mark.parametrize("role", [Role.AUDITOR, Role.CLERK, Role.OPERATOR])
def test_who_may_only_look_closes_nothing(
    client: FlaskClient, add_person: Callable[..., str], unknown: Any, role: Role
) -> None:
    sign_in(client, add_person(role))

    found = read(client, address_of(unknown))
    assert "Your role may look at cases; a manager closes them." in found.text
    assert client.get(f"{address_of(unknown)}/close").status_code == 403
    assert post(client, f"{address_of(unknown)}/close", reason="x").status_code == 403
    assert read_row("cases", unknown.id).state == "open"


def test_cases_of_others_are_not_there(signed_in: FlaskClient, other_organisation: UUID) -> None:
    case = make_open_case(organisation_id=other_organisation)
    assert signed_in.get(address_of(case)).status_code == 404
    assert signed_in.get(f"{address_of(case)}/close").status_code == 404
    assert post(signed_in, f"{address_of(case)}/close", reason="x").status_code == 404
    assert "Open cases" not in read(signed_in, "/").text


def test_the_overview_counts_open_cases_and_leads_to_them(
    signed_in: FlaskClient, unknown: Any
) -> None:
    make_open_case()
    make_open_case(state="closed", ended_at=unknown.opened_at, closed_by="Ada", reason="Known.")
    found = read(signed_in, "/")
    (line,) = [one for one in found.find_all("li") if "Open cases" in one.text]
    assert line.find(class_="queue-number").text == "2"
    address = line.find("a").attributes["href"]
    assert address == "/cases?state=open"
    rows = read(signed_in, address).find("div", id="list").find("tbody").find_all("tr")
    assert len(rows) == 2


def test_nobody_waits_for_a_case_that_is_not_there(
    signed_in: FlaskClient, organisation: UUID
) -> None:
    found = read(signed_in, "/cases")
    assert "There are no cases yet." in found.text
    assert "opens by itself" in found.text


def test_what_others_wrote_cannot_break_a_page(signed_in: FlaskClient, organisation: UUID) -> None:
    canary = '"><script>alert(1)</script>'
    case = make_open_case(
        subject_type="gateway_record", subject_name=canary,
        details={"ours": canary, "theirs": canary, "account": canary, "rows": 3},
    )  # fmt: skip
    for address in ("/cases", address_of(case)):
        found = read(signed_in, address)
        assert canary in found.text
        assert all("src" in one.attributes for one in found.find_all("script"))

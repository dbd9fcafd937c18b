"""Adding organisations, finding them, and the agreement that is in force for them."""

from __future__ import annotations

from datetime import date
from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from schwifty import IBAN

from portal.db import acting_for, transaction
from portal.domain.errors import Invalid
from portal.paths import RULE_SAMPLES
from portal.queries.organisations import (
    OrganisationNotFound,
    find_organisation_by_code,
    get_gateway_account,
    get_organisation_by_code,
    list_bank_accounts,
    list_organisations,
)
from portal.services.calendars import bank_holidays
from portal.services.organisations import OrganisationCodeTaken
from portal.services.rulesets import RuleSetNotFound, load_rule_set
from portal.sql import execute, fetch_plain
from rules.ruleset import load_definition
from tests.factories import activate_rule_set, make_organisation


def read_sample(name: str) -> dict[str, Any]:
    return load_definition((RULE_SAMPLES / f"{name}.toml").read_text("utf-8"))


def test_an_organisation_comes_with_its_accounts_and_an_agreement(app: Flask) -> None:
    organisation_id = make_organisation("rivertown")
    assert get_organisation_by_code("rivertown").currency == "GBP"
    with acting_for(organisation_id):
        account = get_gateway_account("GBP")
        assert (account.code, account.kind) == ("rivertown", "sandbox")
        iban = list_bank_accounts()[0].iban
        assert IBAN(iban).country_code == "GB"
        version, rule_set = load_rule_set(on=date(1970, 1, 1))
        assert version == 1
        assert "Z" in rule_set.tax_codes
        kinds = [row[0] for row in fetch_plain("SELECT kind FROM events")]
        assert kinds == ["organisation.added"]


def test_one_organisation_does_not_see_the_accounts_of_another(app: Flask) -> None:
    make_organisation("rivertown")
    other_id = make_organisation("harbour")
    with acting_for(other_id):
        assert [account.currency for account in list_bank_accounts()] == ["EUR"]


@pytest.mark.parametrize(
    ("over", "said"),
    [
        ({"code": "River Town"}, "the code “River Town”"),
        ({"code": "1river"}, "begin with a letter"),
        ({"code": "r"}, "must have 2 to 32"),
        ({"name": " River"}, "the name"),
        ({"name": "Ri\nver"}, "the name"),
        ({"zone": "Europe/Atlantis"}, "not a time zone"),
        ({"zone": "../etc/passwd"}, "not a time zone"),
        ({"locale": "en"}, "language and country"),
        ({"locale": "xx_YY"}, "language and country"),
        ({"currency": "gbp"}, "not a currency"),
        ({"holiday_calendar": "ATLANTIS"}, "not a known calendar"),
        ({"iban": "GB00TEST"}, "not a valid IBAN"),
        ({"rule_definition": {"title": "Nothing"}}, "rule set"),
    ],
)
def test_a_wrong_value_is_refused_and_nothing_is_kept(
    app: Flask, over: dict[str, Any], said: str
) -> None:
    with pytest.raises(Invalid) as refused:
        make_organisation("rivertown", **over)
    assert said in refused.value.message
    assert list_organisations() == []


def test_a_code_is_taken_once(app: Flask) -> None:
    make_organisation("rivertown")
    with pytest.raises(OrganisationCodeTaken):
        make_organisation("rivertown")
    assert len(list_organisations()) == 1


def test_an_unknown_code_is_answered_with_the_known_ones(app: Flask) -> None:
    with pytest.raises(OrganisationNotFound, match="there is none yet"):
        get_organisation_by_code("nobody")
    make_organisation("rivertown")
    make_organisation("harbour")
    with pytest.raises(OrganisationNotFound, match="“nobody”; the known ones are harbour, river"):
        get_organisation_by_code("nobody")
    assert find_organisation_by_code("no\0body") is None


def test_the_agreement_in_force_is_the_latest_that_has_begun(organisation: UUID) -> None:
    retail = read_sample("retail")
    with acting_for(organisation):
        version = activate_rule_set(definition=retail, starts_on=date(2026, 4, 1))
        assert version == 2
        before, harbour = load_rule_set(on=date(2026, 3, 31))
        after, changed = load_rule_set(on=date(2026, 4, 1))
        assert (before, after) == (1, 2)
        assert "S" in harbour.tax_codes
        assert changed.tax_codes == ("Z",)


def test_without_an_agreement_in_force_the_day_is_named(organisation: UUID) -> None:
    with transaction(organisation):
        execute("UPDATE rule_sets SET state = 'retired'")
    with acting_for(organisation), pytest.raises(RuleSetNotFound, match="2026-03-18"):
        load_rule_set(on=date(2026, 3, 18))


def test_calendars_know_the_days_on_which_banks_rest() -> None:
    ecb = bank_holidays("ECB", 2026, 2026)
    assert date(2026, 4, 3) in ecb  # Good Friday
    assert date(2026, 8, 31) not in ecb
    assert date(2026, 5, 4) in bank_holidays("GB", 2026, 2026)  # early May bank holiday

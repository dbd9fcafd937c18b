"""Adding organisations, with the accounts and the first rule set each one needs."""

from collections.abc import Mapping
from datetime import date, datetime
from random import Random
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from babel import Locale, UnknownLocaleError
from psycopg.types.json import Jsonb
from schwifty import IBAN
from schwifty.exceptions import SchwiftyException

from portal.db import transaction
from portal.domain.errors import Conflict, Invalid
from portal.domain.money import check_currency
from portal.domain.users import Actor
from portal.ids import new_id
from portal.services.calendars import bank_holidays
from portal.services.events import record_event
from portal.sql import execute
from rules.ruleset import compile_rule_set, definition_hash

# Before every document, so that each day has a rule set in force.
FIRST_DAY = date(1970, 1, 1)

NAME_CHARACTERS_MAX = 200
CODE_CHARACTERS_MIN = 2
CODE_CHARACTERS_MAX = 32


class OrganisationInvalid(Invalid):
    """The organisation cannot be added: {reason}. Nothing was saved; correct it and try again."""

    reason: str


class OrganisationCodeTaken(Conflict):
    """There is an organisation “{organisation_code}” already. Nothing was saved; choose another
    code."""

    organisation_code: str


def add_organisation(
    *,
    code: str,
    name: str,
    currency: str,
    zone: str,
    locale: str,
    holiday_calendar: str,
    rule_definition: Mapping[str, Any],
    actor: Actor,
    now: datetime,
    iban: str | None = None,
) -> UUID:
    """Add an organisation with a gateway account, a bank account and its rule set in force.

    Shape: the gateway account has the organisation's code; without an IBAN one is invented, so
    that nothing can be paid to a stranger.
    Raises: OrganisationInvalid; CurrencyUnknown; CalendarUnknown; RuleSetInvalid;
    OrganisationCodeTaken.
    """
    _check_code(code)
    _check_name(name)
    check_currency(currency)
    _check_zone(zone)
    country = _country_of(locale)
    holidays = bank_holidays(holiday_calendar, now.year, now.year)
    compile_rule_set(rule_definition, holidays=holidays)
    account_iban = _check_iban(iban) if iban else _invent_iban(code, country)
    organisation_id = new_id()
    with transaction(organisation_id):
        added = execute(
            "INSERT INTO organisations"
            " (id, code, name, currency, zone, locale, holiday_calendar, created_at)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT (code) DO NOTHING",
            (organisation_id, code, name, currency, zone, locale, holiday_calendar, now),
        )
        if not added:
            raise OrganisationCodeTaken(organisation_code=code)
        _add_accounts(organisation_id, code, name, currency, account_iban)
        insert_rule_set(
            organisation_id, version=1, starts_on=FIRST_DAY, definition=rule_definition, now=now
        )
        record_event(
            "organisation.added",
            organisation_id,
            actor=actor,
            now=now,
            details={"code": code, "currency": currency, "zone": zone, "rule_set_version": 1},
        )
    return organisation_id


def insert_rule_set(
    organisation_id: UUID,
    *,
    version: int,
    starts_on: date,
    definition: Mapping[str, Any],
    now: datetime,
) -> UUID:
    """Write one version of an agreement as the one in force, inside the caller's transaction."""
    rule_set_id = new_id()
    execute(
        "INSERT INTO rule_sets"
        " (organisation_id, id, version, state, starts_on, definition, definition_hash, created_at)"
        " VALUES (%s, %s, %s, 'active', %s, %s, %s, %s)",
        (
            organisation_id,
            rule_set_id,
            version,
            starts_on,
            Jsonb(dict(definition)),
            definition_hash(definition),
            now,
        ),
    )
    return rule_set_id


def _add_accounts(organisation_id: UUID, code: str, name: str, currency: str, iban: str) -> None:
    execute(
        "INSERT INTO gateway_accounts (organisation_id, id, code, kind, currency)"
        " VALUES (%s, %s, %s, 'sandbox', %s)",
        (organisation_id, new_id(), code, currency),
    )
    execute(
        "INSERT INTO bank_accounts (organisation_id, id, iban, name, currency)"
        " VALUES (%s, %s, %s, %s, %s)",
        (organisation_id, new_id(), iban, name, currency),
    )


def find_code_fault(code: str) -> str | None:
    """Say what is wrong with the code of an organisation or of an account; None if nothing is."""
    is_plain = code.isascii() and code.replace("_", "").replace("-", "").isalnum()
    starts_well = code[:1].isalpha() and code == code.lower()
    is_sized = CODE_CHARACTERS_MIN <= len(code) <= CODE_CHARACTERS_MAX
    if is_plain and starts_well and is_sized:
        return None
    return (
        f"the code “{code[:40]}” must have 2 to {CODE_CHARACTERS_MAX} small letters, digits, - or"
        " _, and begin with a letter"
    )


def _check_code(code: str) -> None:
    if fault := find_code_fault(code):
        raise OrganisationInvalid(field="code", reason=fault)


def _check_name(name: str) -> None:
    if name != name.strip() or not 0 < len(name) <= NAME_CHARACTERS_MAX or not name.isprintable():
        raise OrganisationInvalid(
            field="name",
            reason=f"the name must have 1 to {NAME_CHARACTERS_MAX} printable characters and no"
            " blank at either end",
        )


def _check_zone(zone: str) -> None:
    try:
        ZoneInfo(zone)
    # ZoneInfo answers a folder or a path with OSError and ValueError.
    except (KeyError, ValueError, OSError):
        raise OrganisationInvalid(
            field="zone",
            reason=f"“{zone[:40]}” is not a time zone; write one such as Europe/London",
        ) from None


def _country_of(locale: str) -> str:
    """Return the country of a locale.

    Raises: OrganisationInvalid when it is no known locale with a country.
    """
    try:
        territory = Locale.parse(locale).territory
    except (ValueError, UnknownLocaleError):
        territory = None
    if not territory:
        raise OrganisationInvalid(
            field="locale",
            reason=f"“{locale[:40]}” is not a language and country; write one such as en_GB",
        )
    return territory


def _check_iban(iban: str) -> str:
    try:
        return str(IBAN(iban))
    except (SchwiftyException, ValueError):
        raise OrganisationInvalid(
            field="iban", reason=f"“{iban[:40]}” is not a valid IBAN"
        ) from None


def _invent_iban(code: str, country: str) -> str:
    """Make an account number that is valid, belongs to nobody and stays the same for a code."""
    chance = Random(code)  # noqa: S311 – an invented number is no secret
    try:
        return str(IBAN.random(country_code=country, random=chance, use_registry=False))
    except SchwiftyException:
        # A country without IBANs; the column needs one all the same.
        return str(IBAN.random(country_code="DE", random=chance, use_registry=False))

"""The agreement in force: loading it compiled, and putting a new version in force."""

from collections.abc import Mapping
from datetime import date, datetime
from threading import Lock
from typing import Any, NamedTuple
from uuid import UUID

from portal.db import current_organisation_id, transaction
from portal.domain.errors import NotFound
from portal.domain.users import Actor
from portal.services.calendars import bank_holidays
from portal.services.events import record_event
from portal.services.organisations import insert_rule_set
from portal.sql import execute, fetch_one, fetch_plain
from rules.ruleset import CompiledRuleSet, compile_rule_set

# Holidays are known from the year before the day to two years after it: the longest due date.
YEARS_BEFORE = 1
YEARS_AFTER = 2

# A rule set is compiled once per process; this many are kept before the store is emptied.
COMPILED_MAX = 256

_compiled: dict[tuple[UUID, int, str, str, int], CompiledRuleSet] = {}
_compiling = Lock()


class RuleSetNotFound(NotFound):
    """No rule set is in force on {on}. Nothing was changed; activate one that starts by then."""

    on: date


class AgreedTax(NamedTuple):
    """A tax code that is agreed, with its rate in basis points."""

    tax_code: str
    rate_bps: int


def load_rule_set(*, on: date) -> tuple[int, CompiledRuleSet]:
    """Return the agreement of the organisation in scope that is in force on a day.

    Shape: its version, and it compiled with the organisation's holidays around that day.
    Raises: RuleSetNotFound.
    """
    organisation_id = current_organisation_id()
    row = fetch_one(
        "SELECT r.id, r.version, r.definition_hash, o.holiday_calendar"
        " FROM rule_sets r JOIN organisations o ON o.id = r.organisation_id"
        " WHERE r.organisation_id = %s AND r.state = 'active' AND r.starts_on <= %s"
        " ORDER BY r.starts_on DESC LIMIT 1",
        (organisation_id, on),
    )
    if row is None:
        raise RuleSetNotFound(on=on)
    key = (organisation_id, row.version, row.definition_hash, row.holiday_calendar, on.year)
    found = _compiled.get(key)
    if found is None:
        found = _compile(row.id, row.holiday_calendar, on.year)
        with _compiling:
            if len(_compiled) >= COMPILED_MAX:
                _compiled.clear()
            _compiled[key] = found
    return row.version, found


def list_tax_codes(*, on: date) -> list[AgreedTax]:
    """List the tax codes that are agreed on a day, by code.

    Raises: RuleSetNotFound.
    """
    _, rule_set = load_rule_set(on=on)
    return [AgreedTax(code, rule_set.tax_rate_bps(code)) for code in sorted(rule_set.tax_codes)]


def list_revenue_codes(*, on: date) -> list[str]:
    """List the revenue codes to choose from on a day: those agreed, or else those ever booked.

    Raises: RuleSetNotFound.
    """
    _, rule_set = load_rule_set(on=on)
    if rule_set.revenue_codes:
        return list(rule_set.revenue_codes)
    rows = fetch_plain(
        "SELECT DISTINCT code FROM ledger_accounts WHERE kind = 'revenue' ORDER BY code"
    )
    return [row[0] for row in rows]


def activate_rule_set(
    *, definition: Mapping[str, Any], starts_on: date, actor: Actor, now: datetime
) -> int:
    """Put a new version of the agreement in force from a day, for the organisation in scope.

    Shape: the version; an active one with the same first day is retired, since two agreements
    cannot be in force at once.
    Raises: RuleSetInvalid.
    """
    organisation_id = current_organisation_id()
    with transaction(organisation_id):
        # One after the other: two activations at once would take the same version.
        organisation = fetch_one(
            "SELECT holiday_calendar FROM organisations WHERE id = %s FOR UPDATE",
            (organisation_id,),
        )
        assert organisation is not None
        holidays = bank_holidays(organisation.holiday_calendar, starts_on.year, starts_on.year)
        compile_rule_set(definition, holidays=holidays)
        last = fetch_one(
            "SELECT coalesce(max(version), 0) AS version FROM rule_sets WHERE organisation_id = %s",
            (organisation_id,),
        )
        assert last is not None
        execute(
            "UPDATE rule_sets SET state = 'retired'"
            " WHERE organisation_id = %s AND starts_on = %s AND state = 'active'",
            (organisation_id, starts_on),
        )
        version: int = last.version + 1
        rule_set_id = insert_rule_set(
            organisation_id, version=version, starts_on=starts_on, definition=definition, now=now
        )
        record_event(
            "rule_set.activated",
            rule_set_id,
            actor=actor,
            now=now,
            details={"version": version, "starts_on": starts_on.isoformat()},
        )
    return version


def _compile(rule_set_id: UUID, calendar: str, year: int) -> CompiledRuleSet:
    row = fetch_one("SELECT definition FROM rule_sets WHERE id = %s", (rule_set_id,))
    assert row is not None
    holidays = bank_holidays(calendar, year - YEARS_BEFORE, year + YEARS_AFTER)
    return compile_rule_set(row.definition, holidays=holidays)

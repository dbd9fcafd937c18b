"""The agreement that holds: the one in force on a day, or the one that a run was prepared with."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import date
from threading import Lock
from typing import NamedTuple
from uuid import UUID

from portal.db import current_organisation_id
from portal.domain.errors import NotFound
from portal.services.calendars import bank_holidays
from portal.sql import fetch_one, fetch_plain
from rules.ruleset import CompiledRuleSet, compile_rule_set

# Holidays are known from the year before the day to two years after it: the longest due date.
YEARS_BEFORE = 1
YEARS_AFTER = 2

# A rule set is compiled once per process; this many are kept before the store is emptied.
COMPILED_MAX = 256

_compiled: dict[tuple[UUID, int, str, str, int], CompiledRuleSet] = {}
_compiling = Lock()
_kept_version: ContextVar[int | None] = ContextVar("kept_version", default=None)


class RuleSetNotFound(NotFound):
    """No rule set is in force on {on}. Nothing was changed; activate one that starts by then."""

    on: date


class AgreedTax(NamedTuple):
    """A tax code that is agreed, with its rate in basis points."""

    tax_code: str
    rate_bps: int


@contextmanager
def keeping_rule_set(version: int | None) -> Iterator[None]:
    """Let everything in this block be decided by one version, whichever comes into force.

    Shape: without a version the day decides, as it does outside of the block.
    """
    token = _kept_version.set(version)
    try:
        yield
    finally:
        _kept_version.reset(token)


def load_rule_set(*, on: date) -> tuple[int, CompiledRuleSet]:
    """Return the agreement of the organisation in scope that holds on a day.

    Shape: its version, and it compiled with the organisation's holidays around that day.
    Raises: RuleSetNotFound.
    """
    organisation_id = current_organisation_id()
    kept = _kept_version.get()
    row = fetch_one(
        "SELECT r.id, r.version, r.definition_hash, o.holiday_calendar"
        " FROM rule_sets r JOIN organisations o ON o.id = r.organisation_id"
        " WHERE r.organisation_id = %s AND "
        + (
            "r.state = 'active' AND r.starts_on <= %s ORDER BY r.starts_on DESC LIMIT 1"
            if kept is None
            else "r.version = %s"
        ),
        (organisation_id, on if kept is None else kept),
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
    return [
        AgreedTax(code, rule_set.tax_rate_bps(code, on=on)) for code in sorted(rule_set.tax_codes)
    ]


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


def _compile(rule_set_id: UUID, calendar: str, year: int) -> CompiledRuleSet:
    row = fetch_one("SELECT definition FROM rule_sets WHERE id = %s", (rule_set_id,))
    assert row is not None
    holidays = bank_holidays(calendar, year - YEARS_BEFORE, year + YEARS_AFTER)
    return compile_rule_set(row.definition, holidays=holidays)

"""Calendars of bank holidays, by the name an organisation gives: `ECB`, or a country like `GB`."""

from datetime import date
from functools import lru_cache

from portal.domain.errors import Invalid

# TARGET, the calendar on which euro payments settle; every other name is a country.
ECB = "ECB"


class CalendarUnknown(Invalid):
    """“{calendar}” is not a known calendar of holidays. Nothing was saved; use ECB or the two
    letters of a country, such as GB."""

    calendar: str


@lru_cache(maxsize=256)
def bank_holidays(calendar: str, first_year: int, last_year: int) -> frozenset[date]:
    """List the holidays of a calendar in whole years, both included.

    Raises: CalendarUnknown.
    """
    # Imported late: most commands never ask for a holiday.
    import holidays

    years = range(first_year, last_year + 1)
    if calendar == ECB:
        return frozenset(holidays.financial_holidays(ECB, years=years))
    if calendar not in holidays.list_supported_countries(include_aliases=False):
        raise CalendarUnknown(calendar=calendar[:40])
    return frozenset(holidays.country_holidays(calendar, years=years))

"""The clock: the only file that asks what time it is; everything else is told."""

from __future__ import annotations

from datetime import UTC, date, datetime, tzinfo
from zoneinfo import ZoneInfo


def now_utc() -> datetime:
    """Read the clock as an aware instant in UTC."""
    return datetime.now(tz=UTC)


def today(zone: str | tzinfo) -> date:
    """Read the calendar day it now is in a zone.

    Raises: ZoneInfoNotFoundError when the zone's name is unknown.
    """
    return now_utc().astimezone(ZoneInfo(zone) if isinstance(zone, str) else zone).date()

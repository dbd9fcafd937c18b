"""Looking after an organisation: what should have come by now, and what has come after all."""

from datetime import date, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import structlog

from portal.db import current_organisation_id, transaction
from portal.domain.cases import BOOK_KINDS, WORK_KINDS
from portal.domain.dates import add_business_days
from portal.queries.organisations import get_organisation
from portal.services.calendars import bank_holidays
from portal.services.cases._causes import CAUSES
from portal.services.cases._keeping import keep_cases
from portal.services.gateways import settings
from portal.sql import execute, fetch, fetch_one

log = structlog.stdlib.get_logger(__name__)


class Limits(NamedTuple):
    """After how long each thing counts as late."""

    result_hours: float
    unknown_hours: float
    webhook_hours: float
    run_minutes: float
    payout_business_days: int
    bank_business_days: int
    clearing_days: int
    refund_hours: float = 24.0
    dispute_days: int = 3


class Watched(NamedTuple):
    """How many cases were opened, and how many have resolved themselves."""

    opened: int
    resolved: int


def limits_of() -> Limits:
    """Read the limits from the settings of the running application."""
    config = settings()
    return Limits(
        config.late_result_hours,
        config.late_unknown_hours,
        config.late_webhook_hours,
        config.late_run_minutes,
        config.late_payout_days,
        config.late_bank_days,
        config.late_clearing_days,
        config.late_refund_hours,
        config.due_dispute_days,
    )


def watch(*, limits: Limits, with_books: bool = True, now: datetime) -> Watched:
    """Open a case for all that is late, and resolve the cases of what is late no more.

    Shape: in a fixed number of statements; the kinds about money are left alone without
    `with_books`. Any number of callers at once open one case for one cause.
    """
    kinds = (*WORK_KINDS, *BOOK_KINDS) if with_books else WORK_KINDS
    with transaction():
        kept = keep_cases(
            {kind: CAUSES[kind] for kind in kinds},
            kinds=kinds,
            parameters=_limits_in_time(limits, now),
            now=now,
        )
        execute(
            "UPDATE organisations SET watched_at = %(now)s, books_watched_at ="
            " CASE WHEN %(books)s THEN %(now)s ELSE books_watched_at END WHERE id = %(o)s",
            {"now": now, "books": with_books, "o": current_organisation_id()},
        )
    return Watched(*kept)


def watch_organisations(*, now: datetime) -> int:
    """Look after every organisation whose last look is some time ago, and count them.

    Shape: one statement when none is; an organisation that another worker is at is left to it.
    """
    config = settings()
    due_at = now - timedelta(seconds=config.watch_seconds)
    rows = fetch(
        "SELECT id FROM organisations WHERE watched_at IS NULL OR watched_at <= %s"
        " ORDER BY watched_at NULLS FIRST, id",
        (due_at,),
    )
    looked = 0
    for row in rows:
        try:
            looked += _look_after(row.id, due_at, now)
        except Exception:
            # One that breaks must not keep the others from being looked after.
            log.exception("watch.broke", organisation_id=str(row.id))
    return looked


def _look_after(organisation_id: UUID, due_at: datetime, now: datetime) -> bool:
    with transaction(organisation_id):
        owner = fetch_one(
            "SELECT books_watched_at FROM organisations"
            " WHERE id = %s AND (watched_at IS NULL OR watched_at <= %s)"
            " FOR NO KEY UPDATE SKIP LOCKED",
            (organisation_id, due_at),
        )
        if owner is None:
            return False
        books_due_at = now - timedelta(seconds=settings().watch_books_seconds)
        last = owner.books_watched_at
        watch(limits=limits_of(), with_books=last is None or last <= books_due_at, now=now)
    return True


def _limits_in_time(limits: Limits, now: datetime) -> dict[str, Any]:
    """Say from which instant or day on each thing is late, by the organisation's own calendar."""
    organisation = get_organisation(current_organisation_id())
    today = now.astimezone(ZoneInfo(organisation.zone)).date()
    calendar = organisation.holiday_calendar

    def business_days_ago(days: int) -> date:
        return add_business_days(today, -days, bank_holidays(calendar, today.year - 2, today.year))

    return {
        "currency": organisation.currency,
        "result_at": now - timedelta(hours=limits.result_hours),
        "unknown_at": now - timedelta(hours=limits.unknown_hours),
        "webhook_at": now - timedelta(hours=limits.webhook_hours),
        "refund_at": now - timedelta(hours=limits.refund_hours),
        "dispute_on": today + timedelta(days=limits.dispute_days),
        "run_at": now - timedelta(minutes=limits.run_minutes),
        "payout_on": business_days_ago(limits.payout_business_days),
        "bank_on": business_days_ago(limits.bank_business_days),
        "clearing_on": today - timedelta(days=limits.clearing_days),
    }

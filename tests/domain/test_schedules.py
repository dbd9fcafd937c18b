"""Rules: read strictly, due at the right instants whatever the clocks do, and said in words."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import holidays
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portal.domain.schedules import (
    Misfire,
    OnHoliday,
    Rule,
    RuleInvalid,
    due_times,
    next_due_times,
    parse_rule,
    plan_dues,
    resolve_wall_time,
    rule_in_words,
)

BERLIN = ZoneInfo("Europe/Berlin")
ECB = frozenset(holidays.financial_holidays("ECB", years=range(2025, 2042)))
SKIP, NEXT, ANYWAY = OnHoliday.SKIP, OnHoliday.NEXT, OnHoliday.ANYWAY


def instant(text: str, zone: ZoneInfo = BERLIN) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=zone).astimezone(UTC)


def said(
    text: str, on_holiday: OnHoliday, after: str, until: str, zone: ZoneInfo = BERLIN
) -> list[str]:
    """List the due times of a rule between two days as a clock of the zone shows them."""
    dues = due_times(
        parse_rule(text, on_holiday), zone, ECB, instant(after, zone), instant(until, zone)
    )
    return [f"{due_at.astimezone(zone):%Y-%m-%d %H:%M %z}" for due_at in dues]


@pytest.mark.parametrize(
    "text",
    [
        "", "30 6 * *", "30 6 * * * *", "60 6 * * *", "30 24 * * *", "30 6 0 * *", "30 6 32 * *",
        "30 6 * 0 *", "30 6 * 13 *", "30 6 * * 8", "30 6 5-1 * *", "30 6 */0 * *", "30 6 5/2 * *",
        "30 6 * * MON", "-1 6 * * *", "1.5 6 * * *", "30,, 6 * * *", "３0 6 * * *", "30 6 L,LW * *",
        "30 6 LW,15 * *", "30 6 1 * 1", "30 6 L * 1", "30 6 30 2 *", "30 6 31 4,6,9,11 *",
        "* * * * *", "*/5 * * * *", "@daily", "30 6 * * *" + " " * 300, "30\0 6 * * *",
    ],
)  # fmt: skip
def test_what_is_no_rule_is_refused_with_a_reason(text: str) -> None:
    with pytest.raises(RuleInvalid) as refused:
        parse_rule(text)

    assert refused.value.field == "rule"
    assert "Nothing was saved" in refused.value.message


@pytest.mark.parametrize(
    ("text", "on_holiday", "words"),
    [
        ("30 6 * * 1-5", SKIP, "every working day at 06:30"),
        ("30 6 * * *", NEXT, "every working day at 06:30"),
        ("30 6 * * *", ANYWAY, "every day at 06:30"),
        ("30 6 * * 1-5", ANYWAY, "every day from Monday to Friday at 06:30"),
        ("0 22 LW * *", SKIP, "on the last working day of the month at 22:00"),
        ("0 22 LW 3,6,9,12 *", SKIP,
         "on the last working day of March, June, September and December at 22:00"),
        ("0 22 l * *", ANYWAY, "on the last day of the month at 22:00"),
        ("0 6 1,15 * *", NEXT,
         "on the 1st and the 15th of the month, or the next working day, at 06:00"),
        ("0 6 2,3,11,22 * *", ANYWAY, "on the 2nd, the 3rd, the 11th and the 22nd of the month"
         " at 06:00"),
        ("0 6 * * 1,4", SKIP, "every Monday and Thursday, if it is a working day, at 06:00"),
        ("0 6,18 * * 0", ANYWAY, "every Sunday at 06:00 and 18:00"),
        ("*/15 6-18 * * *", SKIP, "every working day every 15 minutes from 06:00 to 18:45"),
        ("0 6-18 * 7 *", SKIP, "every working day in July every hour from 06:00 to 18:00"),
        ("0 */2 * * *", ANYWAY, "every day every 2 hours from 00:00 to 22:00"),
        ("5,50 6-8 * * *", ANYWAY, "every day at 06:05, 06:50, 07:05, 07:50, 08:05 and 08:50"),
        ("5,50 6-18 * * *", ANYWAY, "every day 26 times from 06:05 to 18:50"),
    ],
)  # fmt: skip
def test_a_rule_is_said_in_words(text: str, on_holiday: OnHoliday, words: str) -> None:
    assert rule_in_words(parse_rule(text, on_holiday)) == words


@pytest.mark.parametrize("year", [2026, 2027])
def test_the_half_hour_that_does_not_exist_is_due_once_at_three(year: int) -> None:
    night = {2026: "2026-03-29", 2027: "2027-03-28"}[year]
    before = date.fromisoformat(night) - timedelta(days=1)
    after = date.fromisoformat(night) + timedelta(days=1)

    found = said("30 2 * * *", ANYWAY, f"{before}", f"{after} 12:00")

    assert found == [f"{before} 02:30 +0100", f"{night} 03:00 +0200", f"{after} 02:30 +0200"]
    # With a due time at three itself, the two are one.
    assert said("30 2 * * *", ANYWAY, f"{night}", f"{night} 23:00") == [f"{night} 03:00 +0200"]
    assert said("0,30 2-3 * * *", ANYWAY, f"{night}", f"{night} 23:00") == [
        f"{night} 03:00 +0200", f"{night} 03:30 +0200"
    ]  # fmt: skip


@pytest.mark.parametrize("night", ["2026-10-25", "2027-10-31"])
def test_the_half_hour_that_exists_twice_is_due_once_the_first_time(night: str) -> None:
    assert said("30 2 * * *", ANYWAY, night, f"{night} 23:00") == [f"{night} 02:30 +0200"]
    # Also where the scheduler begins to look between the two.
    between = instant(f"{night} 02:30") + timedelta(minutes=10)
    rule = parse_rule("30 2 * * *", ANYWAY)
    assert due_times(rule, BERLIN, ECB, between, between + timedelta(hours=10)) == []


def test_a_day_that_a_zone_left_out_is_due_when_the_next_begins() -> None:
    apia = ZoneInfo("Pacific/Apia")
    found = said("30 6 * * *", ANYWAY, "2011-12-29 12:00", "2012-01-01 12:00", apia)
    assert found == ["2011-12-31 00:00 +1400", "2011-12-31 06:30 +1400", "2012-01-01 06:30 +1400"]


def test_midnight_may_be_what_the_clocks_leave_out() -> None:
    beirut = ZoneInfo("Asia/Beirut")
    found = said("0 0 * * *", ANYWAY, "2025-03-29 12:00", "2025-03-31 12:00", beirut)
    assert found == ["2025-03-30 01:00 +0300", "2025-03-31 00:00 +0300"]


def test_the_29th_of_february_waits_for_its_year() -> None:
    rule = parse_rule("0 6 29 2 *", ANYWAY)
    found = next_due_times(rule, BERLIN, ECB, instant("2026-03-18"), 3)
    assert [due_at.date().isoformat() for due_at in found] == [
        "2028-02-29", "2032-02-29", "2036-02-29"
    ]  # fmt: skip
    # 2032 it is a Sunday.
    skipped = next_due_times(parse_rule("0 6 29 2 *", SKIP), BERLIN, ECB, instant("2026-03-18"), 2)
    assert [due_at.date().year for due_at in skipped] == [2028, 2036]
    rolled = said("0 6 29 2 *", NEXT, "2032-01-01", "2032-12-31")
    assert rolled == ["2032-03-01 06:00 +0100"]


def test_the_last_day_of_the_month_is_known_in_each() -> None:
    found = said("0 22 L * *", ANYWAY, "2028-01-01", "2028-07-01")
    assert [day[5:10] for day in found] == ["01-31", "02-29", "03-31", "04-30", "05-31", "06-30"]


def test_the_last_working_day_comes_before_weekends_and_holidays() -> None:
    found = said("0 22 LW * *", SKIP, "2026-01-01", "2027-01-02")
    assert [day[5:10] for day in found] == [
        "01-30", "02-27", "03-31", "04-30", "05-29", "06-30", "07-31", "08-31", "09-30", "10-30",
        "11-30", "12-31",
    ]  # fmt: skip
    # The 29th is Good Friday, and the 30th and 31st a weekend.
    easter = frozenset(holidays.financial_holidays("ECB", years=2024))
    rule = parse_rule("0 22 LW 3 *")
    (due_at,) = due_times(rule, BERLIN, easter, instant("2024-03-01"), instant("2024-04-01"))
    assert due_at.astimezone(BERLIN).date() == date(2024, 3, 28)


TARGET_2026 = {
    "2026-01-01": "2026-01-02",
    "2026-04-03": "2026-04-07",
    "2026-04-06": "2026-04-07",
    "2026-05-01": "2026-05-04",
    "2026-12-25": "2026-12-28",
    "2026-12-26": "2026-12-28",
}


@pytest.mark.parametrize(("holiday", "next_day"), TARGET_2026.items())
def test_target_holidays_are_left_out_or_moved(holiday: str, next_day: str) -> None:
    day = date.fromisoformat(holiday)
    span = (f"{day - timedelta(days=1)} 12:00", f"{day} 12:00")
    named = f"0 6 {day.day} {day.month} *"
    until = (span[0], f"{next_day} 12:00")

    assert said("0 6 * * *", SKIP, *span) == []
    assert [due[:10] for due in said("0 6 * * *", ANYWAY, *span)] == [holiday]
    assert [due[:10] for due in said(named, NEXT, *until)] == [next_day]
    assert said(named, SKIP, *until) == []


def test_days_that_move_to_one_day_are_due_there_once() -> None:
    found = said("0 6 * * *", NEXT, "2026-04-02 12:00", "2026-04-08 12:00")
    assert [due[:10] for due in found] == ["2026-04-07", "2026-04-08"]


def test_a_rule_that_only_names_holidays_is_never_due() -> None:
    assert next_due_times(parse_rule("0 6 1 1 *"), BERLIN, ECB, instant("2026-03-18"), 1) == []
    assert next_due_times(parse_rule("0 6 * * 6"), BERLIN, ECB, instant("2026-03-18"), 1) == []


def test_what_was_missed_is_planned_by_its_policy() -> None:
    dues = due_times(
        parse_rule("0 6,18 * * *"), BERLIN, ECB, instant("2026-03-16"), instant("2026-03-18 09:00")
    )
    days = [date(2026, 3, day) for day in (16, 16, 17, 17, 18)]

    each = plan_dues(dues, BERLIN, Misfire.EACH_BUSINESS_DATE)
    once = plan_dues(dues, BERLIN, Misfire.ONCE)

    assert [due.business_on for due in each] == [due.business_on for due in once] == days
    assert [due.makes_run for due in each] == [False, True, False, True, True]
    assert [due.makes_run for due in once] == [False, False, False, False, True]
    assert plan_dues([], BERLIN, Misfire.ONCE) == []


FIELDS = st.tuples(
    st.sampled_from(["0", "30", "5,35", "*/20"]),
    st.sampled_from(["0", "2", "1-3", "23", "*/6", "2,14"]),
    st.sampled_from([("*", "*"), ("*", "1-5"), ("*", "0,3"), ("1,31", "*"), ("L", "*"),
                     ("LW", "*"), ("28-30", "*")]),
    st.sampled_from(["*", "2", "3,10", "1-6"]),
)  # fmt: skip
RULES = st.builds(
    lambda fields, on_holiday: parse_rule(
        f"{fields[0]} {fields[1]} {fields[2][0]} {fields[3]} {fields[2][1]}", on_holiday
    ),
    FIELDS,
    st.sampled_from(OnHoliday),
)
ZONES = st.sampled_from(
    ["Europe/Berlin", "Europe/London", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"]
).map(ZoneInfo)
STARTS = st.integers(0, 60 * 24 * 365 * 3).map(
    lambda minutes: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)
)


@settings(max_examples=80, deadline=None)
@given(RULES, ZONES, STARTS, st.integers(1, 60 * 24 * 60), st.lists(st.floats(0, 1), max_size=4))
def test_none_is_lost_or_doubled_wherever_the_span_is_split(
    rule: Rule, zone: ZoneInfo, after: datetime, minutes: int, shares: list[float]
) -> None:
    until = after + timedelta(minutes=minutes)
    whole = due_times(rule, zone, ECB, after, until)

    marks = [after, *sorted(after + (until - after) * share for share in shares), until]
    parts = [due_times(rule, zone, ECB, begin, end) for begin, end in pairwise(marks)]

    assert [due_at for part in parts for due_at in part] == whole
    assert all(earlier < later for earlier, later in pairwise(whole))
    assert all(after < due_at <= until for due_at in whole)
    assert next_due_times(rule, zone, ECB, after, len(whole)) == whole
    # A split exactly at a due time gives it to the first part.
    for due_at in whole[:2]:
        first = due_times(rule, zone, ECB, after, due_at)
        rest = due_times(rule, zone, ECB, due_at, until)
        assert first + rest == whole


@settings(max_examples=200, deadline=None)
@given(ZONES, STARTS, st.times())
def test_a_wall_time_becomes_the_first_instant_that_shows_it_or_comes_after(
    zone: ZoneInfo, start: datetime, clock: time
) -> None:
    wall = datetime.combine(start.date(), clock.replace(second=0, microsecond=0))

    found = resolve_wall_time(wall, zone)

    shown = found.astimezone(zone).replace(tzinfo=None)
    assert shown >= wall
    just_before = (found - timedelta(seconds=1)).astimezone(zone).replace(tzinfo=None)
    assert just_before < wall

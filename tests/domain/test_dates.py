"""Days: half-open periods, business days, due dates, strict reading."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.domain.dates import (
    DateMalformed,
    Period,
    PeriodEmpty,
    Roll,
    add_business_days,
    due_date,
    is_business_day,
    next_business_day,
    parse_date,
    previous_business_day,
)

# Friday 3 and Monday 6 April 2026 are Good Friday and Easter Monday.
EASTER = frozenset({date(2026, 4, 3), date(2026, 4, 6)})
THURSDAY, TUESDAY = date(2026, 4, 2), date(2026, 4, 7)
DAYS = st.dates(date(2000, 1, 1), date(2100, 1, 1))


def test_a_period_ends_before_its_end() -> None:
    march = Period(date(2026, 3, 1), date(2026, 4, 1))
    assert date(2026, 3, 1) in march
    assert date(2026, 3, 31) in march
    assert date(2026, 4, 1) not in march
    assert date(2026, 2, 28) not in march
    assert (march.days, march.last_on) == (31, date(2026, 3, 31))
    assert Period.through(date(2026, 3, 1), date(2026, 3, 31)) == march


def test_touching_periods_do_not_overlap() -> None:
    march = Period(date(2026, 3, 1), date(2026, 4, 1))
    april = Period(date(2026, 4, 1), date(2026, 5, 1))
    assert not march.overlaps(april)
    assert not april.overlaps(march)
    assert march.overlaps(Period(date(2026, 3, 31), date(2026, 4, 2)))


@pytest.mark.parametrize("ends_on", [date(2026, 3, 1), date(2026, 2, 1)])
def test_a_period_has_a_day(ends_on: date) -> None:
    with pytest.raises(PeriodEmpty):
        Period(date(2026, 3, 1), ends_on)


def test_weekends_and_holidays_are_no_business_days() -> None:
    assert is_business_day(THURSDAY, EASTER)
    for day in (date(2026, 4, 3), date(2026, 4, 4), date(2026, 4, 5), date(2026, 4, 6)):
        assert not is_business_day(day, EASTER)
        assert next_business_day(day, EASTER) == TUESDAY
        assert previous_business_day(day, EASTER) == THURSDAY
    assert next_business_day(TUESDAY, EASTER) == TUESDAY == previous_business_day(TUESDAY, EASTER)


def test_business_days_are_counted_over_holidays_both_ways() -> None:
    assert add_business_days(THURSDAY, 1, EASTER) == TUESDAY
    assert add_business_days(TUESDAY, -1, EASTER) == THURSDAY
    assert add_business_days(THURSDAY, 5, EASTER) == date(2026, 4, 13)
    saturday = date(2026, 4, 4)
    assert add_business_days(saturday, 0, EASTER) == saturday


@given(DAYS, st.integers(1, 40))
def test_going_forward_and_back_ends_on_the_same_business_day(day: date, days: int) -> None:
    start = next_business_day(day, EASTER)
    there = add_business_days(start, days, EASTER)
    assert there > start
    assert is_business_day(there, EASTER)
    assert add_business_days(there, -days, EASTER) == start


@pytest.mark.parametrize(
    ("roll", "due_on"),
    [("following", TUESDAY), ("preceding", THURSDAY), ("none", date(2026, 4, 4))],
)
def test_a_due_date_is_rolled_as_agreed(roll: Roll, due_on: date) -> None:
    assert due_date(date(2026, 3, 21), days=14, holidays=EASTER, roll=roll) == due_on


def test_a_due_date_is_never_before_the_issue() -> None:
    saturday = date(2026, 4, 4)
    assert due_date(saturday, days=1, holidays=EASTER, roll="preceding") == TUESDAY


def test_due_dates_cross_leap_days_and_years() -> None:
    assert due_date(date(2028, 1, 30), days=30, holidays=EASTER, roll="none") == date(2028, 2, 29)
    assert due_date(date(2026, 12, 31), days=1, holidays=EASTER, roll="following") == date(
        2027, 1, 1
    )


@pytest.mark.parametrize("days", [-1, 3661])
def test_impossible_terms_are_refused(days: int) -> None:
    with pytest.raises(ValueError, match="a term of"):
        due_date(THURSDAY, days=days, holidays=EASTER)


@given(DAYS, st.integers(0, 400))
def test_a_following_due_date_is_the_first_business_day_at_or_after(day: date, days: int) -> None:
    due_on = due_date(day, days=days, holidays=EASTER)
    assert is_business_day(due_on, EASTER)
    plain = day + timedelta(days=days)
    between = [plain + timedelta(days=step) for step in range((due_on - plain).days)]
    assert not any(is_business_day(each, EASTER) for each in between)


@pytest.mark.parametrize(
    ("text", "date_format"),
    [
        ("2024-02-29", "%Y-%m-%d"),
        ("29.02.2024", "%d.%m.%Y"),
        ("02/29/2024", "%m/%d/%Y"),
        ("20240229", "%Y%m%d"),
        ("29/2/24", "%-d/%-m/%y"),
        ("29-Feb-24", "%d-%b-%y"),
        ("29 february 2024", "%-d %B %Y"),
        ("2024-02-29 00:00:00", "%Y-%m-%d 00:00:00"),
    ],
)
def test_dates_are_read_as_their_format_says(text: str, date_format: str) -> None:
    assert parse_date(text, date_format) == date(2024, 2, 29)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2024-2-29",
        "2024-02-30",
        "2023-02-29",
        "２０２４-02-29",
        " 2024-02-29",
        "2024-02-29\n",
        "2024-13-01",
        "0000-01-01",
        "29.02.2024",
        "2024-02-29T00:00",
        "20240229",
    ],
)
def test_other_dates_are_refused_with_an_example(text: str) -> None:
    with pytest.raises(DateMalformed, match="write it as 2026-03-31"):
        parse_date(text)


def test_unknown_month_names_are_refused_and_two_digit_years_have_a_pivot() -> None:
    with pytest.raises(DateMalformed, match="no such month"):
        parse_date("01-Xyz-24", "%d-%b-%y")
    assert parse_date("010168", "%d%m%y").year == 2068
    assert parse_date("010169", "%d%m%y").year == 1969


@pytest.mark.parametrize(
    "date_format", ["%Y-%m", "%Y-%m-%d-%d", "%H", "%Y%y-%m-%d", "%m %b %d %Y", "x"]
)
def test_a_format_names_each_part_once(date_format: str) -> None:
    with pytest.raises(ValueError, match="the date format"):
        parse_date("2024-02-29", date_format)


@given(DAYS)
def test_iso_dates_are_read_back(day: date) -> None:
    assert parse_date(day.isoformat()) == day

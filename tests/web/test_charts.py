"""Charts: where things stand, what is said about them, and that nothing breaks the drawing."""

from __future__ import annotations

import gzip
import re
from calendar import month_abbr
from itertools import pairwise

import pytest
from flask import Flask, render_template_string

from portal.web.charts import (
    BOTTOM,
    HEIGHT,
    TOP,
    WIDTH,
    Series,
    bar_chart,
    line_chart,
    nice_ticks,
    spread,
    summarise,
)
from portal.web.formats import short
from tests.pages import read_page

MONTHS = [f"{month_abbr[number]} 2026" for number in range(1, 13)]
PAGE = (
    '{% from "components/chart.html" import chart with context %}'
    '{{ chart(drawn, "money", "Invoiced and collected", "in pounds") }}'
)


def say(value: int) -> str:
    return f"£{value:,}"


def numbers(path: str) -> list[float]:
    return [float(one) for one in re.findall(r"-?\d+(?:\.\d+)?", path)]


def tops(path: str) -> tuple[float, float]:
    """Where a bar begins and ends: `Mx yVy2hwVyz`."""
    _, begin, end, *_ = numbers(path)
    return begin, end


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 10, [0, 5, 10]),
        (0, 97, [0, 50, 100]),
        (0, 4, [0, 1, 2, 3, 4]),
        (0, 1, [0, 1]),
        (-30, 70, [-50, 0, 50, 100]),
        (-9, -1, [-10, -8, -6, -4, -2, 0]),
        (0, 0, [0, 1]),
        (7, 7, [0, 2, 4, 6, 8]),
        (-7, -7, [-8, -6, -4, -2, 0]),
        (0, 10**30, [0, 5 * 10**29, 10**30]),
        (1_000_000, 1_000_003, [1_000_000, 1_000_001, 1_000_002, 1_000_003]),
    ],
)
def test_ticks_are_round_and_enclose_everything(low: int, high: int, expected: list[int]) -> None:
    assert nice_ticks(low, high) == expected


@pytest.mark.parametrize("high", [1, 3, 17, 99, 12_345, 10**9 + 1, 10**18])
@pytest.mark.parametrize("low", [0, -1, -5_000])
def test_ticks_have_equal_steps_and_are_few(low: int, high: int) -> None:
    ticks = nice_ticks(low, high)
    assert ticks[0] <= low
    assert ticks[-1] >= high
    assert len({later - earlier for earlier, later in pairwise(ticks)}) == 1
    assert 2 <= len(ticks) <= 6


def test_bars_stand_on_zero_and_stay_in_the_picture() -> None:
    chart = bar_chart(MONTHS[:3], [Series("Net", [50, 0, -50])], say=say)
    up, flat, down = (tops(mark.path) for mark in chart.series[0].marks)
    assert up[0] == flat[0] == flat[1] == down[0] == chart.zero
    assert up[1] < chart.zero < down[1]
    assert min(up[1], down[1]) >= TOP
    assert max(up[1], down[1]) <= HEIGHT - BOTTOM
    for mark in chart.series[0].marks:
        left, _, _, width, _ = numbers(mark.path)
        assert chart.left <= left
        assert left + width <= chart.right <= WIDTH


def test_bars_that_stand_together_do_not_touch() -> None:
    chart = bar_chart(MONTHS, [Series("A", range(12)), Series("B", range(12))], say=say)
    edges = sorted(
        (numbers(mark.path)[0], numbers(mark.path)[3]) for one in chart.series for mark in one.marks
    )
    assert all(left + width < later for (left, width), (later, _) in pairwise(edges))


def test_stacked_bars_stand_on_each_other_and_reach_the_sum() -> None:
    series = [Series("A", [30, -10]), Series("B", [20, 15]), Series("C", [None, -5])]
    chart = bar_chart(MONTHS[:2], series, say=say, is_stacked=True)
    (first, low), (second, high), (lowest,) = ([m.path for m in one.marks] for one in chart.series)
    assert tops(first)[1] == tops(second)[0], "B stands on A"
    assert tops(low)[0] == tops(high)[0] == chart.zero, "what is below zero goes down"
    assert tops(lowest)[0] == tops(low)[1], "and further down"
    assert [tick.words for tick in chart.ticks][-1] == "£60"


def test_huge_amounts_are_drawn_like_others() -> None:
    small = bar_chart(MONTHS[:2], [Series("A", [1, 2])], say=say, say_tick=str)
    huge = bar_chart(
        MONTHS[:2], [Series("A", [10**40, 2 * 10**40])], say=say, say_tick=lambda _: "1"
    )
    shape = [tops(mark.path) for mark in small.series[0].marks]
    assert shape == [tops(mark.path) for mark in huge.series[0].marks]


@pytest.mark.parametrize("values", [[], [None, None]])
def test_nothing_is_drawn_where_nothing_is_known(values: list[int | None]) -> None:
    for draw in (bar_chart, line_chart):
        chart = draw(MONTHS[: len(values)], [Series("A", values)], say=say)
        assert (chart.series, chart.rows, chart.summary) == ([], [], "")


def test_a_series_of_another_length_is_refused() -> None:
    for draw in (bar_chart, line_chart):
        with pytest.raises(ValueError, match="A has 1 values, not 2"):
            draw(MONTHS[:2], [Series("A", [1])], say=say)
        with pytest.raises(ValueError, match="cannot be told apart"):
            draw([], [Series("A", [])] * 7, say=say)


def test_a_line_has_a_gap_where_a_value_is_missing() -> None:
    chart = line_chart(MONTHS[:5], [Series("A", [1, 2, None, 4, 5])], say=say)
    assert chart.series[0].line.count("M") == 2
    assert chart.series[0].line.count("L") == 2
    assert len(chart.series[0].marks) == 4


def test_lines_differ_by_dash_and_shape() -> None:
    chart = line_chart(MONTHS[:2], [Series(name, [1, 2]) for name in "ABC"], say=say)
    assert len({one.dash for one in chart.series}) == 3
    assert len({re.sub(r"[\d. -]", "", one.marks[0].path) for one in chart.series}) == 3


def test_names_at_the_ends_of_lines_do_not_touch() -> None:
    chart = line_chart(MONTHS[:2], [Series(name, [0, 100]) for name in "ABCD"], say=say)
    places = sorted(one.end.place for one in chart.series if one.end)
    assert len(places) == 4
    assert all(later - earlier >= 14 for earlier, later in pairwise(places))
    assert places[-1] <= HEIGHT - BOTTOM


@pytest.mark.parametrize(
    ("places", "expected"),
    [
        ([], []),
        ([5.0], [5.0]),
        ([5.0, 5.0], [5.0, 15.0]),
        ([98.0, 99.0], [90.0, 100.0]),
        ([-3.0, 50.0], [0.0, 50.0]),
    ],
)
def test_places_are_moved_as_little_as_needed(places: list[float], expected: list[float]) -> None:
    assert spread(places, gap=10, low=0, high=100) == expected


def test_names_of_categories_never_touch_and_the_last_one_stays() -> None:
    days = [f"{day} November 2026" for day in range(1, 31)]
    labels = line_chart(days, [Series("A", range(30))], say=say).labels
    assert labels[-1].words == "30 November 2026"
    width = max(len(label.words) for label in labels) * 6
    assert all(later.place - earlier.place >= width for earlier, later in pairwise(labels))


def test_the_summary_says_what_one_would_see() -> None:
    series = [Series("Collected", [30, 10, 20])]
    assert summarise(MONTHS[:3], series, say) == (
        "Collected: £20 in Mar 2026, up from £10 in Feb 2026;"
        " highest £30 in Jan 2026, lowest £10 in Feb 2026."
    )
    assert summarise(MONTHS[:2], [Series("A", [5, 5])], say) == (
        "A: £5 in Feb 2026, the same as £5 in Jan 2026."
    )
    assert summarise(MONTHS[:1], [Series("A", [5])], say) == "A: £5 in Jan 2026."
    assert summarise(MONTHS[:1], [Series("A", [None])], say) == "A: nothing is known."


def two_series() -> list[Series]:
    amounts = [264_112_30, 281_455_10, 301_200_95, 298_117_00, 310_554_20, 287_645_75] * 2
    addresses = [f"/invoices?q=issued:2026-{month:02}" for month in range(1, 13)]
    return [
        Series("Invoiced", amounts, addresses),
        Series("Collected", [amount * 9 // 10 for amount in amounts], addresses),
    ]


def test_each_bar_leads_to_what_it_is_made_of_and_stands_in_the_table(app: Flask) -> None:
    drawn = bar_chart(MONTHS, two_series(), say=say)
    with app.test_request_context():
        found = read_page(render_template_string(PAGE, drawn=drawn))
    assert found.faults() == []
    picture = found.find("figure").find("svg", role="group")
    assert len(picture.find_all("a")) == 24
    assert picture.find("a").text == "Jan 2026, Invoiced: £26,411,230"
    assert len(found.rows) == 12
    assert found.rows[0] == ["Jan 2026", "£26,411,230", "£23,770,107"]
    assert {one.attributes["href"] for one in found.find("table").find_all("a")} == {
        one.attributes["href"] for one in picture.find_all("a")
    }
    assert found.find("desc").text == drawn.summary
    assert len(found.find_all("pattern")) == 1, "the second kind of bar is hatched"


def test_without_pages_behind_it_a_chart_is_a_picture(app: Flask) -> None:
    drawn = line_chart(MONTHS, [Series("Rate", range(12))], say=say)
    with app.test_request_context():
        found = read_page(render_template_string(PAGE, drawn=drawn))
    assert found.faults() == []
    assert found.find("svg", role="img").find_all("a") == []


def test_an_empty_chart_says_so(app: Flask) -> None:
    with app.test_request_context():
        found = read_page(render_template_string(PAGE, drawn=bar_chart([], [], say=say)))
    assert found.find_all("svg") == []
    assert "nothing to draw" in found.text


def test_a_year_of_two_bars_is_small_on_the_wire(app: Flask) -> None:
    drawn = bar_chart(MONTHS, two_series(), say=say)
    with app.test_request_context():
        html = render_template_string(PAGE, drawn=drawn)
        assert len(gzip.compress(html.partition("<details>")[0].encode(), 9)) <= 2048
        assert len(gzip.compress(html.encode(), 9)) <= 3072


def test_amounts_on_an_axis_are_short(app: Flask) -> None:
    with app.test_request_context():
        shown = [short(minor, "GBP") for minor in (0, 50_000_00, 150_000_000, -250_000)]
    assert shown == ["0", "50K", "1.5M", "-2.5K"]

"""Charts drawn on the server: values in, places, words and table rows out; no request is needed.

`templates/components/chart.html` puts them on the page. Values are whole numbers, such as minor
units; what they read like is handed in.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

WIDTH, HEIGHT = 600, 220
TOP, RIGHT, BOTTOM = 10, 8, 24
LETTER_WIDTH = 6.6
LINE_HEIGHT = 14
LABEL_LETTERS_MAX = 18
TICKS = 4
BAR_WIDTH_MAX = 36
# The share of a category's place that stays free, and the gap between bars that stand together.
FREE_SHARE = 0.28
BAR_GAP = 1
# Shapes tell lines apart where colours do not.
DASHES = ("", "7 4", "2 4", "10 3 2 3", "4 2", "1 3")
SERIES_MAX = len(DASHES)
DOT = 3.5
DOTS_MAX = 40
SUMMED_UP_MAX = 2

Say = Callable[[int], str]


class Series(NamedTuple):
    """Values of one kind, one for each category; None where nothing is known.

    Shape: `addresses` lead from each value to what it is made of; empty when there is no page.
    """

    label: str
    values: Sequence[int | None]
    addresses: Sequence[str | None] = ()


class Tick(NamedTuple):
    """A word at a place of an axis."""

    place: float
    words: str


class Mark(NamedTuple):
    """One bar or one point, and the page behind it."""

    path: str
    words: str
    address: str | None


class Drawn(NamedTuple):
    """A series as it is drawn; `hatch` covers its bars, `line` joins its points."""

    number: int
    label: str
    marks: list[Mark]
    hatch: str = ""
    line: str = ""
    dash: str = ""
    end: Tick | None = None


class Cell(NamedTuple):
    """A value in the table beside the chart."""

    words: str
    address: str | None


class Chart(NamedTuple):
    """Everything the page needs to draw; `series` is empty when there is nothing to draw.

    Units: places are those of the drawing, `width` × `height`, whatever its size on the screen.
    """

    width: int
    height: int
    left: float
    right: float
    zero: float
    ticks: list[Tick]
    labels: list[Tick]
    series: list[Drawn]
    summary: str
    rows: list[tuple[str, list[Cell]]]
    has_links: bool


class _Scale(NamedTuple):
    ticks: list[int]
    left: float
    right: float

    def place(self, value: int) -> float:
        """Turn a value into a height; whole numbers are divided exactly, however large."""
        low, high = self.ticks[0], self.ticks[-1]
        share = (high - value) / (high - low)
        return _round(TOP + share * (HEIGHT - TOP - BOTTOM))


def bar_chart(
    categories: Sequence[str],
    series: Sequence[Series],
    *,
    say: Say,
    say_tick: Say | None = None,
    is_stacked: bool = False,
) -> Chart:
    """Draw bars side by side, or on top of each other.

    Raises: ValueError when a series has more or fewer values than there are categories.
    """
    _check(categories, series)
    known = [value for one in series for value in one.values if value is not None]
    if not known:
        return _nothing()
    stacks = [_stack([one.values[at] for one in series]) for at in range(len(categories))]
    reach = [end for stack in stacks for pair in stack for end in pair] if is_stacked else known
    scale = _scale(reach, say_tick or say, right=WIDTH - RIGHT)
    slot = (scale.right - scale.left) / len(categories)
    beside = 1 if is_stacked else len(series)
    bar = min(BAR_WIDTH_MAX, slot * (1 - FREE_SHARE) / beside)
    drawn = []
    for number, one in enumerate(series):
        marks = []
        for at, value in enumerate(one.values):
            if value is None:
                continue
            begin, end = stacks[at][number] if is_stacked else (0, value)
            middle = scale.left + slot * (at + 0.5)
            left = middle - bar * beside / 2 + (0 if is_stacked else bar * number)
            path = _bar(left, scale.place(begin), max(bar - BAR_GAP, 1), scale.place(end))
            marks.append(Mark(path, _words(categories[at], one, value, say), _address(one, at)))
        hatch = "".join(mark.path for mark in marks) if number else ""
        drawn.append(Drawn(number + 1, one.label, marks, hatch))
    return _chart(categories, series, scale, drawn, say=say, say_tick=say_tick or say)


def line_chart(
    categories: Sequence[str],
    series: Sequence[Series],
    *,
    say: Say,
    say_tick: Say | None = None,
    from_zero: bool = True,
) -> Chart:
    """Draw lines with a dot for each value and their names at their ends.

    Raises: ValueError when a series has more or fewer values than there are categories.
    """
    _check(categories, series)
    known = [value for one in series for value in one.values if value is not None]
    if not known:
        return _nothing()
    names = max(len(_short(one.label)) for one in series) * LETTER_WIDTH + 10
    scale = _scale(known, say_tick or say, right=WIDTH - RIGHT - names, from_zero=from_zero)
    slot = (scale.right - scale.left) / len(categories)
    drawn = []
    for number, one in enumerate(series):
        points = [
            (_round(scale.left + slot * (at + 0.5)), scale.place(value), at, value)
            for at, value in enumerate(one.values)
            if value is not None
        ]
        has_dots = len(categories) <= DOTS_MAX
        marks = [
            Mark(_dot(x, y, number), _words(categories[at], one, value, say), _address(one, at))
            for x, y, at, value in points
            if has_dots
        ]
        end = Tick(points[-1][1], _short(one.label)) if points else None
        line = _line([(x, y, at) for x, y, at, _ in points])
        drawn.append(
            Drawn(number + 1, one.label, marks, line=line, dash=DASHES[number], end=end)
        )  # fmt: skip
    return _chart(
        categories, series, scale, _without_collisions(drawn), say=say, say_tick=say_tick or say
    )


def nice_ticks(low: int, high: int, *, about: int = TICKS) -> list[int]:
    """List round numbers that enclose two values, about so many, with equal steps."""
    if low == high:
        low, high = min(low, 0), max(high, 0)
    if low == high:
        return [0, 1]
    step = _nice_step(high - low, about)
    first, last = low // step, -(-high // step)
    return [step * number for number in range(first, last + 1)]


def spread(places: Sequence[float], *, gap: float, low: float, high: float) -> list[float]:
    """Move places apart until each has its gap, in their order, inside the bounds if they fit."""
    order = sorted(range(len(places)), key=lambda at: places[at])
    moved = list(places)
    floor = low
    for at in order:
        floor = moved[at] = max(moved[at], floor)
        floor += gap
    ceiling = high
    for at in reversed(order):
        ceiling = moved[at] = min(moved[at], ceiling)
        ceiling -= gap
    return moved


def summarise(categories: Sequence[str], series: Sequence[Series], say: Say) -> str:
    """Say in sentences how the first series end, and where they are highest and lowest."""
    sentences = []
    for one in series[:SUMMED_UP_MAX]:
        known = [(value, at) for at, value in enumerate(one.values) if value is not None]
        if not known:
            sentences.append(f"{one.label}: nothing is known.")
            continue
        last, at = known[-1]
        said = f"{one.label}: {say(last)} in {categories[at]}"
        if len(known) > 1:
            before, before_at = known[-2]
            said += f", {_compared(before, last)} {say(before)} in {categories[before_at]}"
            most, least = max(known, key=lambda pair: pair[0]), min(known)
            if most[0] != least[0]:
                said += f"; highest {say(most[0])} in {categories[most[1]]}"
                said += f", lowest {say(least[0])} in {categories[least[1]]}"
        sentences.append(f"{said}.")
    return " ".join(sentences)


def _compared(before: int, last: int) -> str:
    if last == before:
        return "the same as"
    return "up from" if last > before else "down from"


def _nice_step(span: int, about: int) -> int:
    """Find the smallest of 1, 2, 5, 10, 20, … that needs no more steps than asked for."""
    power = 1
    while True:
        for factor in (1, 2, 5):
            if factor * power * about >= span:
                return factor * power
        power *= 10


def _check(categories: Sequence[str], series: Sequence[Series]) -> None:
    if len(series) > SERIES_MAX:
        raise ValueError(f"{len(series)} series cannot be told apart")
    for one in series:
        if len(one.values) != len(categories):
            raise ValueError(f"{one.label} has {len(one.values)} values, not {len(categories)}")


def _nothing() -> Chart:
    return Chart(WIDTH, HEIGHT, 0, WIDTH, 0, [], [], [], "", [], has_links=False)


def _scale(values: Iterable[int], say: Say, *, right: float, from_zero: bool = True) -> _Scale:
    known = list(values)
    low, high = min(known), max(known)
    if from_zero:
        low, high = min(low, 0), max(high, 0)
    ticks = nice_ticks(low, high)
    widest = max(len(say(tick)) for tick in ticks)
    return _Scale(ticks, _round(widest * LETTER_WIDTH + 8), _round(right))


def _stack(values: Sequence[int | None]) -> list[tuple[int, int]]:
    """Put values on top of each other; what is below zero goes down."""
    up = down = 0
    ends = []
    for value in values:
        if (value or 0) >= 0:
            ends.append((up, up + (value or 0)))
            up = ends[-1][1]
        else:
            ends.append((down, down + (value or 0)))
            down = ends[-1][1]
    return ends


def _chart(
    categories: Sequence[str],
    series: Sequence[Series],
    scale: _Scale,
    drawn: list[Drawn],
    *,
    say: Say,
    say_tick: Say,
) -> Chart:
    rows = [
        (
            category,
            [
                Cell("–", None) if value is None else Cell(say(value), _address(one, at))
                for one in series
                for value in (one.values[at],)
            ],
        )
        for at, category in enumerate(categories)
    ]
    return Chart(
        width=WIDTH,
        height=HEIGHT,
        left=scale.left,
        right=scale.right,
        zero=scale.place(min(max(0, scale.ticks[0]), scale.ticks[-1])),
        ticks=[Tick(scale.place(tick), say_tick(tick)) for tick in scale.ticks],
        labels=_labels(categories, scale),
        series=drawn,
        summary=summarise(categories, series, say),
        rows=rows,
        has_links=any(mark.address for one in drawn for mark in one.marks),
    )


def _labels(categories: Sequence[str], scale: _Scale) -> list[Tick]:
    """Name the categories, and leave names out evenly where they would touch; the last one stays.

    Shape: places are the middles of the categories.
    """
    slot = (scale.right - scale.left) / len(categories)
    widest = max(len(_short(category)) for category in categories) * LETTER_WIDTH + 6
    every = max(1, -int(-widest // slot))
    return [
        Tick(_round(scale.left + slot * (at + 0.5)), _short(category))
        for at, category in enumerate(categories)
        if (len(categories) - 1 - at) % every == 0
    ]


def _without_collisions(drawn: list[Drawn]) -> list[Drawn]:
    ends = [one.end for one in drawn if one.end]
    places = spread([end.place for end in ends], gap=LINE_HEIGHT, low=TOP, high=HEIGHT - BOTTOM)
    moved = iter(places)
    return [
        one._replace(end=one.end._replace(place=_round(next(moved)))) if one.end else one
        for one in drawn
    ]


def _words(category: str, series: Series, value: int, say: Say) -> str:
    return f"{category}, {series.label}: {say(value)}"


def _address(series: Series, at: int) -> str | None:
    return series.addresses[at] if at < len(series.addresses) else None


def _short(words: str) -> str:
    return words if len(words) <= LABEL_LETTERS_MAX else f"{words[: LABEL_LETTERS_MAX - 1]}…"


def _bar(left: float, begin: float, width: float, end: float) -> str:
    return f"M{_number(left)} {_number(begin)}V{_number(end)}h{_number(width)}V{_number(begin)}z"


def _dot(x: float, y: float, number: int) -> str:
    """Draw a point: round, square, standing on its tip, then round again."""
    at = f"M{_number(x - DOT)} {_number(y)}"
    if number % 3 == 0:
        return f"{at}a{DOT} {DOT} 0 1 0 {2 * DOT:g} 0a{DOT} {DOT} 0 1 0 {-2 * DOT:g} 0z"
    if number % 3 == 1:
        return f"{at}v{-DOT}h{2 * DOT:g}v{2 * DOT:g}h{-2 * DOT:g}z"
    return f"{at}l{DOT} {-DOT}l{DOT} {DOT}l{-DOT} {DOT}z"


def _line(points: Sequence[tuple[float, float, int]]) -> str:
    """Join points; where a value is missing the line has a gap."""
    parts = []
    before = None
    for x, y, at in points:
        parts.append(f"{'L' if before == at - 1 and parts else 'M'}{_number(x)} {_number(y)}")
        before = at
    return "".join(parts)


def _round(place: float) -> float:
    return round(place, 1)


def _number(place: float) -> str:
    return f"{place:.1f}".removesuffix(".0")

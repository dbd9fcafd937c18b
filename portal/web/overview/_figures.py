"""The figures of one period and currency: the tiles with their comparison, and the two charts."""

from collections.abc import Callable, Sequence
from datetime import date
from typing import NamedTuple, TypeVar

from portal.domain.dates import Period
from portal.domain.payments import AttemptState
from portal.queries.dashboard import (
    AGES,
    AttemptSum,
    DueSum,
    MonthSum,
    OverdueSum,
    When,
    WorklistSum,
    sum_awaited,
    sum_collected,
    sum_fallen_due,
    sum_invoiced,
    sum_overdue,
    sum_worklists,
)
from portal.web.charts import Chart, Series, bar_chart
from portal.web.formats import money, percent, short, whole
from portal.web.overview._places import Places
from portal.web.overview._spans import MONTHS_OF_YEAR, Span

Sums = Sequence[MonthSum | DueSum | OverdueSum | WorklistSum | AttemptSum]
Sum = TypeVar("Sum", MonthSum, DueSum, OverdueSum, WorklistSum, AttemptSum)


class Tile(NamedTuple):
    """A big number, what it was before, in words, and the list behind it."""

    label: str
    value: str
    comparison: str
    address: str | None
    tone: str | None = None


class Books(NamedTuple):
    """What was read for the page, of all currencies."""

    invoiced: list[MonthSum]
    collected: list[MonthSum]
    fallen_due: list[DueSum]
    overdue: list[OverdueSum]
    worklists: list[WorklistSum]
    awaited: list[AttemptSum]

    def currencies(self) -> set[str]:
        """List the currencies in which there is something."""
        return {one.currency for sums in self for one in sums}

    def of(self, currency: str) -> "Books":
        """Keep what is in one currency."""
        return Books(
            invoiced=_in(self.invoiced, currency),
            collected=_in(self.collected, currency),
            fallen_due=_in(self.fallen_due, currency),
            overdue=_in(self.overdue, currency),
            worklists=_in(self.worklists, currency),
            awaited=_in(self.awaited, currency),
        )

    def has_figures(self, within: Period) -> bool:
        """Say whether anything was invoiced or collected in a period."""
        return any(one.month_on in within for one in [*self.invoiced, *self.collected])


class Figures(NamedTuple):
    """What the page shows of one period and currency."""

    tiles: list[Tile]
    months: Chart
    ages: Chart


def due_days(span: Span, today: date) -> Period | None:
    """Return the days of a span that are past as due dates; None when none of them is."""
    period = span.period
    ends_on = min(period.ends_on, today)
    return Period(period.starts_on, ends_on) if period.starts_on < ends_on else None


def read_books(span: Span, *, today: date) -> Books:
    """Read what the figures of a span and of the one before it are made of."""
    this, before = span.period, span.before.period
    first = min(before.starts_on, span.months_until_its_end(MONTHS_OF_YEAR)[0].period.starts_on)
    window = Period(first, this.ends_on)
    dues_end_on = min(this.ends_on, today)
    has_dues = before.starts_on < dues_end_on
    return Books(
        invoiced=sum_invoiced(window),
        collected=sum_collected(window),
        fallen_due=sum_fallen_due(Period(before.starts_on, dues_end_on)) if has_dues else [],
        overdue=sum_overdue(today=today, this=this, before=before),
        worklists=sum_worklists(this=this, before=before),
        awaited=sum_awaited(this=this, before=before),
    )


def figure_out(books: Books, span: Span, currency: str, *, places: Places, today: date) -> Figures:
    """Make tiles and charts of what was read in one currency."""
    return Figures(
        tiles=[
            *_moved(books, span, currency, places=places, today=today),
            _overdue(books.overdue, span, currency, places),
            _rate(books.fallen_due, span, places=places, today=today),
            _failed(books.worklists, span, currency, places=places, today=today),
            _awaited(books.awaited, span, currency, places),
        ],
        months=_months(books, span, currency, places),
        ages=_ages(books.overdue, currency, places=places, today=today),
    )


def _moved(
    books: Books, span: Span, currency: str, *, places: Places, today: date
) -> tuple[Tile, Tile]:
    """Make the tiles of what was invoiced and collected."""

    def tile(label: str, sums: list[MonthSum], noun: str, lead: Callable[..., str | None]) -> Tile:
        count, amount = _total(_within(sums, span.period))
        _, amount_before = _total(_within(sums, span.before.period))
        name = _name_before(span, today)
        compared = _compared(amount, amount_before, money(amount_before, currency), name)
        words = f"{_counted(count, noun)}; {compared}"
        return Tile(label, _broad(amount, currency), words, lead(span.period))

    return (
        tile("Invoiced", books.invoiced, "invoice", places.invoiced),
        tile("Collected", books.collected, "payment", places.collected),
    )


def _overdue(sums: list[OverdueSum], span: Span, currency: str, places: Places) -> Tile:
    count, amount = _total(sums)
    if not count:
        return Tile("Overdue now", _broad(0, currency), "Nothing is overdue.", places.overdue())
    words = f"{_counted(count, 'invoice')}; {_split(sums, span, currency, 'fell due')}"
    return Tile("Overdue now", _broad(amount, currency), words, places.overdue(), "bad")


def _rate(sums: list[DueSum], span: Span, *, places: Places, today: date) -> Tile:
    """Make the tile of the share that is settled of what fell due."""
    label = "Collection rate"
    days = due_days(span, today)
    total, settled = _settled(sums, span.period)
    before_total, before_settled = _settled(sums, span.before.period)
    if days is None:
        return Tile(label, "–", f"Nothing has fallen due in {span.short_name} yet.", None)
    address = places.fallen_due(days)
    if not total:
        return Tile(label, "–", f"Nothing fell due in {span.short_name}.", address)
    value = percent(settled, total)
    before, name = percent(before_settled, before_total), span.before.short_name
    if not before_total:
        words = f"Of what fell due; nothing did in {name}."
    elif value == before:
        words = f"Of what fell due; the same as in {name}"
    else:
        is_up = settled * before_total > before_settled * total
        words = f"Of what fell due; {'up' if is_up else 'down'} from {before} in {name}"
    return Tile(label, value, words, address)


def _failed(
    sums: list[WorklistSum], span: Span, currency: str, *, places: Places, today: date
) -> Tile:
    count, amount = _total([one for one in sums if one.when is When.THIS])
    before, _ = _total([one for one in sums if one.when is When.BEFORE])
    name = _name_before(span, today)
    if count == before:
        compared = f"as many as in {name}" if count else f"none in {name} either"
    elif not before:
        compared = f"none in {name}"
    else:
        compared = f"{'up' if count > before else 'down'} from {whole(before)} in {name}"
    words = f"{money(amount, currency)}; {compared}" if count else _begun(compared)
    tone = "warn" if count else None
    return Tile("Failed payments", whole(count), words, places.failed(span.period), tone)


def _awaited(sums: list[AttemptSum], span: Span, currency: str, places: Places) -> Tile:
    label = "Outcome awaited"
    count, amount = _total(sums)
    if not count:
        words = "Every payment's outcome is known."
        return Tile(label, _broad(0, currency), words, places.awaited())
    unknown, _ = _total([one for one in sums if one.state is AttemptState.UNKNOWN])
    counted = _counted(count, "attempt") + (f", {whole(unknown)} unknown" if unknown else "")
    words = f"{counted}; {_split(sums, span, currency, 'was tried')}"
    return Tile(label, _broad(amount, currency), words, places.awaited())


def _months(books: Books, span: Span, currency: str, places: Places) -> Chart:
    """Draw what was invoiced and collected in each of twelve months."""
    months = span.months_until_its_end(MONTHS_OF_YEAR)

    def series(label: str, sums: list[MonthSum], lead: Callable[..., str | None]) -> Series:
        values = [_total(_within(sums, month.period))[1] for month in months]
        # Nobody can see or hit a bar of no height.
        pairs = zip(months, values, strict=True)
        return Series(label, values, [lead(m.period) if value else None for m, value in pairs])

    return bar_chart(
        [month.short_name for month in months],
        [
            series("Invoiced", books.invoiced, places.invoiced),
            series("Collected", books.collected, places.collected),
        ],
        say=lambda minor: money(minor, currency),
        say_tick=lambda minor: _tick(minor, currency),
    )


def _ages(sums: list[OverdueSum], currency: str, *, places: Places, today: date) -> Chart:
    """Draw what is overdue by its age."""
    amounts = [_total([one for one in sums if one.age is age])[1] for age in AGES]
    addresses = [
        places.overdue(age, today=today) if amount else None
        for age, amount in zip(AGES, amounts, strict=True)
    ]
    drawn = bar_chart(
        [age.label for age in AGES],
        [Series("Overdue", amounts, addresses)],
        say=lambda minor: money(minor, currency),
        say_tick=lambda minor: _tick(minor, currency),
    )
    # A trend from one age to the next would say nothing.
    listed = ", ".join(
        f"{age.label.lower()} {money(amount, currency)}"
        for age, amount in zip(AGES, amounts, strict=True)
    )
    return drawn._replace(summary=f"Overdue: {listed}.")


def _in(sums: list[Sum], currency: str) -> list[Sum]:
    return [one for one in sums if one.currency == currency]


def _total(sums: Sums) -> tuple[int, int]:
    """Add up how many and how much; the amount stands last in each kind of sum."""
    return sum(one.rows_count for one in sums), sum(one[-1] for one in sums)


def _within(sums: list[MonthSum], period: Period) -> list[MonthSum]:
    return [one for one in sums if one.month_on in period]


def _settled(sums: list[DueSum], period: Period) -> tuple[int, int]:
    chosen = [one for one in sums if one.month_on in period]
    total = sum(one.total_minor for one in chosen)
    return total, total - sum(one.open_minor for one in chosen)


def _split(sums: Sequence[OverdueSum | AttemptSum], span: Span, currency: str, did: str) -> str:
    """Say how much of a present sum is of the span and how much of the one before it."""
    this = sum(one[-1] for one in sums if one.when is When.THIS)
    before = sum(one[-1] for one in sums if one.when is When.BEFORE)
    shown = [money(amount, currency) if amount else "nothing" for amount in (this, before)]
    return f"{shown[0]} {did} in {span.short_name}, {shown[1]} in {span.before.short_name}"


def _compared(now: int, before: int, shown_before: str, name: str) -> str:
    """Say in words what an amount is beside that of the span before."""
    if not before:
        return f"nothing in {name}{'' if now else ' either'}"
    if not now:
        return f"{shown_before} in {name}"
    if now == before:
        return f"the same as in {name}"
    share = percent(abs(now - before), before)
    return f"{share} {'more' if now > before else 'less'} than in {name}"


def _broad(amount_minor: int, currency: str) -> str:
    """Write an amount that may stand in two lines where it is long."""
    return money(amount_minor, currency).replace("\N{NO-BREAK SPACE}", " ")


def _tick(amount_minor: int, currency: str) -> str:
    """Write an amount on an axis; where a language shortens no thousands, they are grouped."""
    words = short(amount_minor, currency)
    return whole(int(words)) if words.isdecimal() else words


def _name_before(span: Span, today: date) -> str:
    """Name the span before; while this one still runs, say that it is compared with a whole one."""
    name = span.before.short_name
    return f"all of {name}" if today in span.period else name


def _counted(count: int, noun: str) -> str:
    return f"{whole(count) if count else 'No'} {noun}{'' if count == 1 else 's'}"


def _begun(words: str) -> str:
    return words[:1].upper() + words[1:]

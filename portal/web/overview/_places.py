"""The lists behind the figures: each address asks for the rows that a figure adds up."""

from collections.abc import Sequence
from datetime import date, timedelta
from enum import StrEnum

from portal.domain.dates import Period
from portal.domain.invoices import InvoiceStatus
from portal.queries.dashboard import AWAITED_STATES, BILLED_STATUSES, COLLECTED_STATES, Age
from portal.web.tables import list_address

Arguments = list[tuple[str, str]]


class Places:
    """The addresses of lists in one currency, which they name only where there are several."""

    def __init__(self, currency: str, *, is_named: bool) -> None:
        """Take the currency."""
        self._currency: Arguments = [("currency", currency)] if is_named else []

    def invoiced(self, within: Period) -> str | None:
        """Lead to what was issued in a period."""
        return self._list("invoices", [*_any("status", BILLED_STATUSES), *_days("issued", within)])

    def fallen_due(self, within: Period) -> str | None:
        """Lead to what fell due in a period."""
        return self._list("invoices", [*_any("status", BILLED_STATUSES), *_days("due", within)])

    def overdue(self, age: Age | None = None, *, today: date | None = None) -> str | None:
        """Lead to what is overdue: all of it, or what is so many days."""
        wanted = _any("status", [InvoiceStatus.OVERDUE])
        if age is not None and today is not None:
            if age.most_days is not None:
                wanted.append(("due[gte]", _back(today, age.most_days)))
            wanted.append(("due[lte]", _back(today, age.least_days)))
        return self._list("invoices", wanted)

    def collected(self, within: Period) -> str | None:
        """Lead to the payments of a period that have succeeded."""
        return self._list("payments", [*_any("state", COLLECTED_STATES), *_days("started", within)])

    def failed(self, within: Period) -> str | None:
        """Lead to the payments of a period that wait on a worklist."""
        return self._list("payments", [("worklist", "any"), *_days("started", within)])

    def worklist(self, worklist: str) -> str | None:
        """Lead to the payments on one worklist."""
        return self._list("payments", [("worklist", worklist)])

    def awaited(self, states: Sequence[StrEnum] = AWAITED_STATES) -> str | None:
        """Lead to the attempts whose outcome is not known yet."""
        return self._list("attempts", _any("state", states))

    def _list(self, noun: str, arguments: Arguments) -> str | None:
        return list_address(f"{noun}.index", *arguments, *self._currency)


def _any(name: str, values: Sequence[StrEnum]) -> Arguments:
    return [(name, value.value) for value in values]


def _days(name: str, within: Period) -> Arguments:
    return [
        (f"{name}[gte]", within.starts_on.isoformat()),
        (f"{name}[lte]", within.last_on.isoformat()),
    ]


def _back(today: date, days: int) -> str:
    return (today - timedelta(days=days)).isoformat()

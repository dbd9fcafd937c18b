"""What is planned to be tried again in the days to come, by day, method and kind of reason."""

from datetime import date, timedelta
from typing import NamedTuple

from portal.domain.payments import PaymentMethod
from portal.queries.tables import REASON_CLASS_SQL
from portal.sql import fetch

FORECAST_DAYS = 30
FORECAST_DAYS_MAX = 366


class ForecastSum(NamedTuple):
    """The payments of one method, kind of reason and currency that are tried again on a day.

    Shape: `why` is a key of REASON_CLASSES.
    """

    day: date
    method: PaymentMethod
    why: str
    currency: str
    payments_count: int
    amount_minor: int


def forecast_retries(on: date, days: int = FORECAST_DAYS) -> list[ForecastSum]:
    """Add up what is planned to be tried again from a date on, rising by day.

    Shape: what should have been tried before is on the first day; days with nothing are left out.
    """
    days = max(1, min(days, FORECAST_DAYS_MAX))
    rows = fetch(
        f"SELECT GREATEST(y.next_attempt_on, %(first)s) AS day, y.method, {REASON_CLASS_SQL}"
        " AS why, y.currency, count(*)::int, sum(y.amount_minor)::bigint FROM payments y"
        " WHERE y.state = 'scheduled' AND y.next_attempt_on <= %(last)s"
        " GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4",
        {"first": on, "last": on + timedelta(days=days - 1)},
    )
    return [ForecastSum(*row)._replace(method=PaymentMethod(row.method)) for row in rows]

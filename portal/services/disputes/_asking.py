"""When a gateway is asked what became of a dispute that it does not report by itself."""

from datetime import UTC, date, datetime, time, timedelta

ASK_AGAIN = timedelta(days=1)


def asking_from(respond_by: date) -> datetime:
    """Return from when on a dispute that nobody answers must be lost."""
    return datetime.combine(respond_by + ASK_AGAIN, time(), UTC)

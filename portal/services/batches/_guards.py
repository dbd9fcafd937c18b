"""What the starting and the restarting of runs share: the bell, and the guard of the database."""

from sqlalchemy.exc import IntegrityError

from portal.domain.errors import Conflict

BELL = "jobs.engine.drain_chunks"
BELLS_MAX = 16


class RunUnfinished(Conflict):
    """A run of {job} for {business_on} is not finished yet; no second one was started."""


def violated(error: Exception) -> str | None:
    """Name the constraint that refused a statement."""
    cause = error.orig if isinstance(error, IntegrityError) else error
    diagnosis = getattr(cause, "diag", None)
    return getattr(diagnosis, "constraint_name", None)

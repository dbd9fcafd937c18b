"""Transactions and the organisation they act for: the only file that commits.

Every transaction names its organisation to the database, which shows and accepts rows of no other
(row-level security). Without one, tables of organisations are empty.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar, cast
from uuid import UUID

import psycopg
import structlog
from flask import Flask
from sqlalchemy import Engine, event
from sqlalchemy import text as sql_text
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.orm import Session
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from portal.extensions import db
from portal.sql import execute

log = structlog.stdlib.get_logger(__name__)

APP_ROLE = "portal_app"
SWEEPER_ROLE = "portal_sweeper"
TRANSIENT_STATES = frozenset({"40001", "40P01", "55P03"})

_organisation: ContextVar[UUID | None] = ContextVar("organisation", default=None)
_user: ContextVar[UUID | None] = ContextVar("user", default=None)
_depth: ContextVar[int] = ContextVar("depth", default=0)
_after: ContextVar[list[Callable[[], None]] | None] = ContextVar("after", default=None)

Result = TypeVar("Result")


def bind_database(app: Flask, *, url: str, pool_size: int = 10) -> None:
    """Bind the application to its database, as the role that owns nothing."""
    app.config["SQLALCHEMY_DATABASE_URI"] = url
    app.config["SQLALCHEMY_ENGINE_OPTIONS"] = {
        "pool_size": pool_size,
        "max_overflow": 10,
        "pool_pre_ping": True,
        "pool_recycle": 1800,
        "connect_args": {
            "connect_timeout": 5,
            "application_name": "portal",
            # A prepared statement gets a generic plan after ten runs, which walks the wrong index
            # in searches. (plan_cache_mode=force_custom_plan would cure that as well, but it plans
            # every foreign-key check anew: measured, eight times slower inserts.)
            "prepare_threshold": None,
            "options": "-c timezone=UTC -c idle_in_transaction_session_timeout=30000"
            " -c lock_timeout=10000",
        },
    }
    db.init_app(app)
    with app.app_context():
        event.listen(db.engine, "connect", _become_app_role)


def _become_app_role(connection: Any, _record: Any) -> None:
    """Give up what the sign-in role may do beyond the app role."""
    with connection.cursor() as opened:
        opened.execute("SELECT session_user")
        if opened.fetchone()[0] != APP_ROLE:
            opened.execute(f"SET ROLE {APP_ROLE}")
    connection.commit()


# The sessions are those of every application of a process, so this is said once, not per binding.
@event.listens_for(db.session, "after_begin")
def _name_scope(_session: Session, _transaction: Any, connection: Any) -> None:
    """Tell the database for whom the new transaction acts."""
    connection.execute(
        sql_text(
            "SELECT set_config('app.organisation_id', :organisation, true),"
            " set_config('app.user_id', :user, true)"
        ),
        {"organisation": str(_organisation.get() or ""), "user": str(_user.get() or "")},
    )


@contextmanager
def acting_for(organisation_id: UUID | None, user_id: UUID | None = None) -> Iterator[None]:
    """Name the organisation (and person) that reads in this block act for.

    Raises: RuntimeError inside a transaction of another organisation.
    """
    if _depth.get() and organisation_id != _organisation.get():
        raise RuntimeError("a transaction cannot change its organisation")
    is_other = organisation_id != _organisation.get() or user_id != _user.get()
    if is_other and not _depth.get():
        # A read may have begun a transaction under the former scope.
        db.session.rollback()
    organisation = _organisation.set(organisation_id)
    user = _user.set(user_id if user_id is not None else _user.get())
    try:
        yield
    finally:
        if not _depth.get():
            db.session.rollback()
        _organisation.reset(organisation)
        _user.reset(user)


def current_organisation_id() -> UUID:
    """Return the organisation this code acts for.

    Raises: RuntimeError when none was named.
    """
    organisation_id = _organisation.get()
    if organisation_id is None:
        raise RuntimeError("no organisation was named: use acting_for() or transaction()")
    return organisation_id


@contextmanager
def transaction(organisation_id: UUID | None = None) -> Iterator[Session]:
    """Run a block as one transaction; an inner one joins the outer.

    Shape: commits at the end of the outermost block, rolls back on any exception; the functions
    given to `after_commit` run only after the commit.
    """
    if _depth.get():
        if organisation_id is not None and organisation_id != _organisation.get():
            raise RuntimeError("a transaction cannot change its organisation")
        yield cast("Session", db.session)
        return
    organisation = _organisation.set(organisation_id or _organisation.get())
    depth = _depth.set(1)
    waiting: list[Callable[[], None]] = []
    after = _after.set(waiting)
    db.session.rollback()
    try:
        yield cast("Session", db.session)
        db.session.commit()
    except BaseException:
        db.session.rollback()
        raise
    finally:
        _after.reset(after)
        _depth.reset(depth)
        _organisation.reset(organisation)
    for callback in waiting:
        try:
            callback()
        except Exception:
            # The change is committed: who asked for it must not think that it failed.
            log.exception("after_commit.broke")


def in_transaction() -> bool:
    """Say whether a transaction of this code is open."""
    return bool(_depth.get())


def end_reading() -> None:
    """Give back the connection that reads outside a transaction have taken."""
    if not _depth.get():
        db.session.rollback()


@contextmanager
def savepoint() -> Iterator[None]:
    """Run a block so that its failure undoes the block alone."""
    with db.session.begin_nested():
        yield


def after_commit(callback: Callable[[], None]) -> None:
    """Run a function once the open transaction is committed; at once when there is none."""
    waiting = _after.get()
    if waiting is None:
        callback()
    else:
        waiting.append(callback)


def is_transient(error: BaseException) -> bool:
    """Say whether the same transaction may succeed when run again: deadlock, lost connection."""
    if isinstance(error, DBAPIError):
        state = getattr(error.orig, "sqlstate", None)
        return (
            bool(error.connection_invalidated)
            or state in TRANSIENT_STATES
            or (
                isinstance(error, OperationalError)
                and (state is None or state.startswith(("57P", "08")))
            )
        )
    if isinstance(error, psycopg.OperationalError):
        return (
            error.sqlstate is None
            or error.sqlstate in TRANSIENT_STATES
            or (error.sqlstate.startswith(("57P", "08")))
        )
    return False


def repeat_when_transient(work: Callable[[], Result], *, tries_max: int = 5) -> Result:
    """Run a function that holds one whole transaction again after a deadlock or lost connection.

    Shape: once only inside another transaction, which is lost with the first trouble.
    Raises: whatever the last try raised.
    """
    if _depth.get():
        return work()
    retrying = Retrying(
        retry=retry_if_exception(is_transient),
        stop=stop_after_attempt(tries_max),
        wait=wait_random_exponential(multiplier=0.05, max=1.0),
        reraise=True,
    )
    return retrying(work)


@contextmanager
def sweeping() -> Iterator[None]:
    """Run a short read as the role that sees what is due of every organisation, and no more.

    Raises: RuntimeError inside a transaction, the rest of which would act as that role.
    """
    if _depth.get():
        raise RuntimeError("sweeping needs a transaction of its own")
    with transaction():
        execute(f"SET LOCAL ROLE {SWEEPER_ROLE}")
        yield


def forget_connections(engine: Engine) -> None:
    """Drop inherited connections in a forked child without closing the parent's."""
    engine.dispose(close=False)

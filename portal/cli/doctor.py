"""`portal doctor`: check, without changing anything, that the portal can run here."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from typing import NamedTuple

import click

from portal.cli import FINDINGS, is_quiet, sentence_for
from portal.config import Config
from portal.local import running_environment
from portal.local.binaries import postgres_folder, server_user, valkey_program
from portal.paths import MIGRATIONS, STATIC, TEMPLATES

PYTHON_OLDEST = (3, 11)
# So many looks for what did not come may be left out before somebody has to see to it.
WATCHES_MISSED_MAX = 10


class Check(NamedTuple):
    """One line of the report; `mend` is empty when all is well."""

    name: str
    said: str
    mend: str = ""


@click.command()
@click.pass_context
def doctor(ctx: click.Context) -> None:
    """Check that the portal can run here; exit code 1 when something must be mended.

    With a private database nothing is started unless a portal already runs on the state folder.
    """
    found = list(checks())
    for check in found:
        if check.mend:
            click.echo(f"mend  {check.name}: {check.said} {check.mend}")
        elif not is_quiet():
            click.echo(f"good  {check.name}: {check.said}")
    ctx.exit(FINDINGS if any(check.mend for check in found) else 0)


def checks() -> Iterator[Check]:
    """Run all checks in the order in which their causes lie."""
    yield _python()
    yield from _files()
    config = Config.from_environment(os.environ)
    yield Check("settings", f"{len(config.shown())} settings are in order.")
    running = running_environment(config)
    if running:
        yield Check("portal", f"one is running at {running['PORTAL_URL']}.")
        config = Config.from_environment({**running, **os.environ})
    yield from _database(config)
    yield from _redis(config)


def _python() -> Check:
    version = ".".join(map(str, sys.version_info[:3]))
    old = sys.version_info < PYTHON_OLDEST
    return Check("python", f"{version}.", "Python 3.11 or newer is needed." if old else "")


def _files() -> Iterator[Check]:
    for folder in (TEMPLATES, STATIC, MIGRATIONS):
        there = folder.is_dir()
        mend = "" if there else "Install the portal again."
        yield Check(folder.name, "found." if there else f"{folder} is missing.", mend)
    vendor = list((STATIC / "vendor").glob("*.js"))
    yield Check(
        "scripts",
        f"{len(vendor)} fetched." if vendor else "none in static/vendor; pages work without them.",
        "" if vendor else "Run `make install` to fetch them.",
    )


def _database(config: Config) -> Iterator[Check]:
    if not config.database_url:
        yield from _attempt("private database", lambda: _private_database(config))
        return
    yield from _attempt("database", lambda: _configured_database(config))
    yield from _attempt("watch", lambda: _watch(config))
    if config.shares:
        yield from _attempt("shares", lambda: _shares(config))


def _private_database(config: Config) -> Check:
    server_user()
    programs = postgres_folder(config.pg_bin)
    return Check("private database", f"would be started with {programs}, in {config.state_folder}.")


def _configured_database(config: Config) -> Check:
    import sqlalchemy

    from portal.migrate import current_revision, newest_revision

    engine = sqlalchemy.create_engine(config.required("database_url"))
    with engine.connect() as connection:
        unsafe = connection.scalar(
            sqlalchemy.text(
                "SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user"
            )
        )
        version = str(connection.scalar(sqlalchemy.text("SHOW server_version")))
    engine.dispose()
    if unsafe:
        return Check(
            "database",
            "the role in DATABASE_URL may see rows of every organisation.",
            "Use a role that is no superuser and has no BYPASSRLS; DATABASE_OWNER_URL migrates.",
        )
    has, needs = current_revision(config.required("database_owner_url")), newest_revision()
    if has != needs:
        said = f"it is at revision {has or '(none)'}, this version needs {needs}."
        return Check("database", said, "Run `portal db upgrade`.")
    return Check("database", f"PostgreSQL {version} answers, at revision {has}.")


def _watch(config: Config) -> Check:
    """Say how long ago it was last looked for what did not come, where that was longest ago."""
    import sqlalchemy

    from portal.db import APP_ROLE

    engine = sqlalchemy.create_engine(config.required("database_url"))
    with engine.connect() as connection:
        connection.execute(sqlalchemy.text(f"SET ROLE {APP_ROLE}"))
        late = connection.execute(
            sqlalchemy.text(
                "SELECT code, floor(extract(epoch FROM now() - COALESCE(watched_at, created_at)))"
                " AS seconds FROM organisations ORDER BY 2 DESC LIMIT 1"
            )
        ).first()
    engine.dispose()
    if late is None:
        return Check("watch", "there is no organisation to look after yet.")
    said = f"{late.code} was last looked after {late.seconds} seconds ago."
    is_late = late.seconds > config.watch_seconds * WATCHES_MISSED_MAX
    mend = "Start `portal scheduler` and `portal worker`, or look into their logs."
    return Check("watch", said, mend if is_late else "")


def _shares(config: Config) -> Check:
    """Say whether every organisation that has a share is there."""
    import sqlalchemy

    from portal.db import APP_ROLE

    engine = sqlalchemy.create_engine(config.required("database_url"))
    with engine.connect() as connection:
        connection.execute(sqlalchemy.text(f"SET ROLE {APP_ROLE}"))
        known = set(connection.scalars(sqlalchemy.text("SELECT code FROM organisations")))
    engine.dispose()
    unknown = sorted({code for code, _ in config.shares} - known)
    if not unknown:
        return Check("shares", f"{len(config.shares)} organisations have a share of their own.")
    said = f"PORTAL_SHARES names organisations that are not there: {', '.join(unknown)}."
    return Check("shares", said, "Correct their codes; `portal organisation list` shows them all.")


def _redis(config: Config) -> Iterator[Check]:
    if not config.redis_url:
        yield from _attempt(
            "private Valkey",
            lambda: Check("private Valkey", f"would be started with {valkey_program()}."),
        )
        return
    yield from _attempt("redis", lambda: _configured_redis(config))


def _configured_redis(config: Config) -> Check:
    import redis

    with redis.Redis.from_url(config.required("redis_url"), socket_timeout=5) as client:
        policy = client.config_get("maxmemory-policy").get("maxmemory-policy", "noeviction")
    if policy != "noeviction":
        said = f"it answers, but drops keys when it is full ({policy})."
        return Check("redis", said, "Set its maxmemory-policy to noeviction.")
    return Check("redis", "it answers.")


def _attempt(name: str, check: Callable[[], Check]) -> Iterator[Check]:
    """Turn the errors that a check is there to find into its line."""
    try:
        yield check()
    except Exception as error:  # noqa: BLE001 – whatever it is, the other checks must go on
        said, _ = sentence_for(error)
        yield Check(name, "it cannot be used.", said)

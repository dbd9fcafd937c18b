"""What a command needs to work with the database: settings with addresses, and the application.

The database is the configured one, else that of the portal running on the state folder, else a
private one for the length of the command.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from portal.config import Config
from portal.local import LocalServers, running_environment
from portal.supervisor import signals_stop

if TYPE_CHECKING:
    from flask import Flask

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

# Two commands started together on one state folder: the second waits for the first.
COMMAND_PATIENCE_SECONDS = 30.0


@contextmanager
def open_config() -> Iterator[Config]:
    """Yield settings whose addresses answer, with a database that has its tables if it is private.

    Raises: SettingInvalid; LocalServerFailed.
    """
    config = Config.from_environment(os.environ)
    if config.database_url and config.redis_url:
        yield config
        return
    running = running_environment(config)
    if running:
        # What was said to this command wins over what was said to the running portal.
        yield Config.from_environment({**running, **_given()})
        return
    with _private(config) as filled:
        yield filled


@contextmanager
def _private(config: Config) -> Iterator[Config]:
    servers = LocalServers(config, patience_seconds=COMMAND_PATIENCE_SECONDS)
    with signals_stop(), servers as filled:
        if not config.database_url:
            # Imported here: most commands find a database that is up to date.
            from portal.migrate import upgrade_database

            upgrade_database(filled.required("database_owner_url"))
        yield filled


def _given() -> dict[str, str]:
    names = ("DATABASE_URL", "DATABASE_OWNER_URL", "REDIS_URL")
    return {k: v for k, v in os.environ.items() if v and (k.startswith("PORTAL_") or k in names)}


@contextmanager
def open_app() -> Iterator[Flask]:
    """Yield the application with its context pushed and its database reachable."""
    with open_config() as config:
        from portal.core import create_core

        app = create_core(config)
        with app.app_context():
            yield app


def with_app(command: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Run a command's function inside the application: `@click.command()` above, this below."""

    @functools.wraps(command)
    def inside(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        with open_app():
            return command(*args, **kwargs)

    return inside

"""The private PostgreSQL and Valkey that a portal starts where no address is configured.

The servers live exactly as long as the portal: they are stopped with it, and the kernel stops them
when it is killed.
"""

from __future__ import annotations

from types import TracebackType

from portal.config import Config
from portal.local.errors import LocalServerFailed
from portal.local.folder import StateFolder
from portal.local.postgres import PrivatePostgres
from portal.local.valkey import PrivateValkey

__all__ = ["LocalServerFailed", "LocalServers", "running_environment"]


class LocalServers:
    """What a configuration leaves open: database, Redis and secrets.

        with LocalServers(config) as filled:
            create_app(filled)

    Start it from the main thread: the servers end with the thread that started them.
    """

    def __init__(
        self, config: Config, *, fresh: bool = False, patience_seconds: float = 0.0
    ) -> None:
        """Take a configuration; `fresh` uses a folder that is deleted when the servers stop.

        Units: patience_seconds, how long to wait for another portal to let the state folder go.
        """
        self._config = config
        self._fresh = fresh
        self._patience_seconds = patience_seconds
        self._state: StateFolder | None = None
        self._postgres: PrivatePostgres | None = None
        self._valkey: PrivateValkey | None = None

    def start(self) -> Config:
        """Start what is missing and return the configuration with every address filled in.

        Raises: LocalServerFailed, when nothing of it is left running.
        """
        assert self._state is None, "these servers were started before"
        config = self._config
        if config.database_url and config.redis_url and config.secret_key:
            return config
        try:
            return self._fill(config)
        except OSError as problem:
            self.stop()
            raise LocalServerFailed(
                f"The private servers could not be started ({problem}); free some space or name "
                "another folder with PORTAL_STATE_FOLDER=, or set DATABASE_URL= and REDIS_URL=."
            ) from problem
        except BaseException:
            self.stop()
            raise

    def _fill(self, config: Config) -> Config:
        state = self._throw_away() if self._fresh else StateFolder(config.state_folder)
        self._state = state
        state.hold(patience_seconds=self._patience_seconds)
        changes: dict[str, object] = {"state_folder": state.path}
        if not config.secret_key:
            changes["secret_key"] = state.secret("secret_key")
        if not config.database_url:
            self._postgres = PrivatePostgres(state, pg_bin=config.pg_bin, fresh=self._fresh)
            changes["database_url"], changes["database_owner_url"] = self._postgres.start()
        if not config.redis_url:
            self._valkey = PrivateValkey(state)
            changes["redis_url"] = self._valkey.start()
        return config.changed(**changes)

    def _throw_away(self) -> StateFolder:
        """Make the folder of servers that are not kept."""
        return StateFolder.throw_away()

    def announce(self, config: Config) -> None:
        """Let commands started beside this portal find its servers."""
        if self._state is not None:
            self._state.announce(config.environment())

    def stop(self) -> None:
        """Stop what was started and wait until it is gone; harmless when called again."""
        state, self._state = self._state, None
        if state is None:
            return
        try:
            state.withdraw()
            if self._valkey is not None:
                self._valkey.stop()
            if self._postgres is not None:
                self._postgres.stop()
        finally:
            if self._fresh:
                if self._postgres is not None:
                    self._postgres.remove()
                state.remove()
            state.release()
            self._postgres = self._valkey = None

    def __enter__(self) -> Config:
        """Start the servers for a block."""
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop the servers after a block."""
        self.stop()


def running_environment(config: Config) -> dict[str, str] | None:
    """Return the settings of the portal that now runs on this state folder, if one does.

    Shape: as `Config.from_environment` reads them.
    """
    return StateFolder(config.state_folder).running()

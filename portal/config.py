"""Every setting of the portal, declared once: name, type, default, check and one sentence.

The environment is read here and nowhere else. How a single setting is read stands in
`portal.settings`; the addresses of private servers are filled in by `portal.local`.
"""

from __future__ import annotations

import base64
import difflib
import hashlib
import hmac
from collections.abc import Iterator, Mapping
from dataclasses import Field, dataclass, fields, replace
from pathlib import Path
from typing import Any, NamedTuple

from portal.settings import (
    SettingInvalid,
    address,
    choice,
    database,
    delays,
    folder,
    host,
    masked,
    number,
    secret,
    setting,
    shares,
    whole,
    word,
    written,
)
from portal.thresholds import Thresholds

PREFIX = "PORTAL_"
# These carry the names that hosting platforms hand out, so they have no prefix.
UNPREFIXED = frozenset({"database_url", "database_owner_url", "redis_url", "pg_bin"})
# A secret may also be named by a file, as container platforms mount them.
FILE_SUFFIX = "_FILE"
DAY_SECONDS = 86_400
NO_FOLDER = Path()


class ShownSetting(NamedTuple):
    """One row of `portal config`."""

    variable: str
    value: str
    default: str
    sentence: str


@dataclass(frozen=True, kw_only=True)
class Config(Thresholds):
    """What the portal is told by its environment, checked; a value object that never changes."""

    database_url: str | None = setting(
        None,
        "Address of the PostgreSQL database, for the role that owns nothing; else a private one.",
        read=database,
        secret=True,
    )
    database_owner_url: str | None = setting(
        None,
        "Address of the same database for the role that owns the tables and migrates them.",
        read=database,
        secret=True,
        derived="DATABASE_URL",
    )
    redis_url: str | None = setting(
        None,
        "Address of Redis or Valkey, the doorbell of the workers; else a private one.",
        read=address("redis", "rediss", "unix"),
        secret=True,
    )
    state_folder: Path = setting(
        NO_FOLDER,
        "Folder for the private servers, their passwords and generated secrets.",
        read=folder,
        derived="$XDG_STATE_HOME/billing-portal or ~/.local/state/billing-portal",
    )
    pg_bin: Path | None = setting(
        None,
        "Folder with the programs of PostgreSQL for the private database.",
        read=folder,
        derived="the installed package, else the system's",
    )
    secret_key: str | None = setting(
        None,
        "Key that signs forms and sessions; all processes must share it.",
        read=secret,
        secret=True,
        derived="made once and kept in the state folder",
    )
    host: str = setting("127.0.0.1", "Address on which the pages and the API listen.", read=host)
    port: int = setting(
        8000,
        "Port on which the pages and the API listen; 0 takes a free one.",
        read=whole(0, 65535),
    )
    url: str = setting(
        "",
        "Address under which people and gateways reach the portal.",
        read=address("http", "https", path=False),
        derived="http:// with host and port",
    )
    web_processes: int = setting(1, "Processes that serve pages.", read=whole(1, 64))
    web_threads: int = setting(8, "Threads in each process that serves pages.", read=whole(1, 64))
    workers: int = setting(2, "Worker processes that `portal up` starts.", read=whole(1, 64))
    queue: str = setting("portal", "Name of the queue that rings the workers.", read=word)
    sandbox_port: int = setting(
        0, "Port of the sandbox gateway; 0 takes a free one.", read=whole(0, 65535)
    )
    sandbox_url: str | None = setting(
        None,
        "Address of the sandbox gateway.",
        read=address("http", "https", path=False),
        derived="http://127.0.0.1 with the sandbox port",
    )
    sandbox_secret: str | None = setting(
        None,
        "Secret that signs the messages of the sandbox gateway.",
        read=secret,
        secret=True,
        derived="worked out from PORTAL_SECRET_KEY",
    )
    sandbox_secret_previous: str | None = setting(
        None,
        "The secret before that one; events signed by it are accepted while a rotation lasts.",
        read=secret,
        secret=True,
    )
    sandbox_faults: str = setting(
        "none", "How badly the sandbox gateway behaves.", read=choice("none", "rough")
    )
    sandbox_seed: int = setting(
        1, "Seed of the sandbox gateway's chance, so that faults can be repeated.",
        read=whole(0, 2**31 - 1),
    )  # fmt: skip
    log_level: str = setting(
        "info", "Lines below this level are not written.",
        read=choice("debug", "info", "warning", "error"),
    )  # fmt: skip
    log_format: str = setting(
        "text", "Log lines for people (text) or for machines (json).", read=choice("text", "json")
    )
    chunk_items_max: int = setting(
        1000, "Items of a batch that one transaction handles at most.", read=whole(1, 10_000)
    )
    shares: tuple[tuple[str, int], ...] = setting(
        (),
        "Chunks that an organisation gets in each round of all that have work, by code; else 1.",
        read=shares(100),
    )
    chunk_lease_seconds: float = setting(
        30.0, "Seconds after which a silent worker's chunk goes to another worker.",
        read=number(0.1, 3600),
    )  # fmt: skip
    message_lease_seconds: float = setting(
        60.0, "Seconds after which a silent worker's message goes to another worker.",
        read=number(0.1, 3600),
    )  # fmt: skip
    messages_claim_max: int = setting(
        200, "Messages that a worker claims at once.", read=whole(1, 10_000)
    )
    gateway_timeout_seconds: float = setting(
        20.0, "Seconds after which a call to a gateway counts as unanswered.",
        read=number(0.05, 3600),
    )  # fmt: skip
    gateway_in_flight_max: int = setting(
        100, "Calls that one worker has under way at a gateway.", read=whole(1, 1000)
    )
    query_delays_seconds: tuple[float, ...] = setting(
        (5.0, 30.0, 120.0, 600.0, 3600.0),
        "Seconds after which an unknown outcome is asked for, again and again; the last repeats.",
        read=delays(DAY_SECONDS),
    )
    resend_delays_seconds: tuple[float, ...] = setting(
        (5.0, 15.0, 60.0, 300.0, 900.0, 3600.0),
        "Seconds after which an order that surely did not arrive is sent again; the last repeats.",
        read=delays(DAY_SECONDS),
    )
    pending_query_seconds: float = setting(
        900.0, "Seconds after which a pending payment is asked for.", read=number(0.1, DAY_SECONDS)
    )
    events_seconds: float = setting(
        900.0,
        "How often a gateway is asked for events that no webhook brought.",
        read=number(0.1, 86_400),
    )
    not_found_quiet_seconds: float = setting(
        60.0, "Seconds between two answers 'not found' before they are believed.",
        read=number(0.1, DAY_SECONDS),
    )  # fmt: skip
    resend_window_seconds: float = setting(
        43_200.0, "Seconds for which an order may be sent again under its first key.",
        read=number(1, 30 * DAY_SECONDS),
    )  # fmt: skip
    message_tries_max: int = setting(
        8, "Tries after which a message is parked for a person.", read=whole(1, 100)
    )
    tick_seconds: float = setting(
        5.0, "Seconds between two rounds of the clock that rings the workers.",
        read=number(0.1, 3600),
    )  # fmt: skip
    drain_seconds: float = setting(
        20.0, "Seconds that running work is given to finish when the portal stops.",
        read=number(0, 3600),
    )  # fmt: skip
    session_idle_minutes: int = setting(
        30, "Minutes without a click after which a person is signed out.", read=whole(1, 1440)
    )
    session_hours_max: int = setting(
        12, "Hours after which a person signs in again in any case.", read=whole(1, 168)
    )
    skip_limit: int = setting(
        1000, "Failed items after which a batch run stops by itself.", read=whole(0, 1_000_000)
    )
    # Between preparing and working, people pay, correct and discard a few documents: that is no
    # reason to stop. One in ten is: then the run is no longer what was previewed or approved.
    sheet_tolerance: float = setting(
        0.1, "Share of a run's items, or money, that may differ from its sheet before it stops.",
        read=number(0, 1),
    )  # fmt: skip
    # Far above a usual month, so that only an organisation that sets them has four eyes.
    approval_items_min: int = setting(
        5_000_000, "Items from which on a run waits for the approval of a second person.",
        read=whole(1, 1_000_000_000),
    )  # fmt: skip
    approval_sum_minor_min: int = setting(
        100_000_000_000_000,
        "Sum in minor units from which on a run waits for the approval of a second person.",
        read=whole(1, 10**17),
    )
    refund_approval_minor_min: int = setting(
        10_000,
        "Amount in minor units from which on a refund waits for the approval of a second person.",
        read=whole(1, 10**17),
    )

    def __post_init__(self) -> None:
        """Work out what depends on other settings, then refuse what does not go together."""
        for name, value in self._derived().items():
            if getattr(self, name) in {None, "", NO_FOLDER}:
                object.__setattr__(self, name, value)
        _check_together(self)

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Config:
        """Read and check every setting.

        Shape: an empty variable counts as not set; a secret may be named by `<variable>_FILE`.
        Raises: SettingInvalid, one sentence that names the variable and what it allows.
        """
        _refuse_unknown(environ)
        given: dict[str, Any] = {"state_folder": _default_state_folder(environ)}
        for one in fields(cls):
            variable = variable_of(one.name)
            text = _text_of(environ, one)
            if not text:
                continue
            try:
                given[one.name] = one.metadata["read"](text)
            except ValueError as problem:
                shown = "" if one.metadata["secret"] else f", not '{text[:80]}'"
                raise SettingInvalid(f"{variable} must be {problem}{shown}.") from None
        if given.get("database_url") and not given.get("secret_key"):
            raise SettingInvalid(
                "PORTAL_SECRET_KEY must be set when DATABASE_URL is set, since every process needs "
                'the same key; make one with: python3 -c "import secrets; '
                'print(secrets.token_urlsafe(48))"'
            )
        return cls(**given)

    def changed(self, **changes: Any) -> Config:
        """Copy with other values; what had been worked out from them is worked out again."""
        for name, value in self._derived().items():
            if name not in changes and getattr(self, name) == value:
                changes[name] = "" if name == "url" else None
        return replace(self, **changes)

    def required(self, name: str) -> str:
        """Return a text setting that must be there by now.

        Raises: SettingInvalid when it is not.
        """
        value: str | None = getattr(self, name)
        if not value:
            raise SettingInvalid(
                f"{variable_of(name)} is not set; set it, or start with `portal up`, which starts "
                "private servers."
            )
        return value

    def environment(self) -> dict[str, str]:
        """Write the settings as the environment of a child process; what is not set is left out."""
        values = ((one.name, written(getattr(self, one.name))) for one in fields(self))
        return {variable_of(name): text for name, text in values if text}

    def shown(self) -> tuple[ShownSetting, ...]:
        """List every setting for people, without secrets."""
        return tuple(self._shown())

    def _shown(self) -> Iterator[ShownSetting]:
        for one in fields(self):
            described = dict(one.metadata)
            default = described["derived"] or written(one.default) or "(not set)"
            value = masked(getattr(self, one.name), described)
            yield ShownSetting(variable_of(one.name), value, default, described["sentence"])

    def _derived(self) -> dict[str, Any]:
        place = f"[{self.host}]" if ":" in self.host else self.host
        # Nobody can open "every address"; a browser on this machine can open the loopback one.
        place = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}.get(place, place)  # noqa: S104
        return {
            "database_owner_url": self.database_url,
            "url": f"http://{place}:{self.port}",
            "sandbox_url": f"http://127.0.0.1:{self.sandbox_port}" if self.sandbox_port else None,
            "sandbox_secret": _secret_from(self.secret_key, "sandbox gateway"),
        }


def variable_of(name: str) -> str:
    """Name the environment variable of a field."""
    return name.upper() if name in UNPREFIXED else PREFIX + name.upper()


def _secret_from(key: str | None, purpose: str) -> str | None:
    if not key:
        return None
    digest = hmac.new(key.encode(), purpose.encode(), hashlib.sha256).digest()
    # The form that Standard Webhooks gives to signing secrets.
    return "whsec_" + base64.b64encode(digest).decode()


def _text_of(environ: Mapping[str, str], one: Field[Any]) -> str:
    variable = variable_of(one.name)
    text = environ.get(variable, "").strip()
    file = environ.get(variable + FILE_SUFFIX, "").strip() if one.metadata["secret"] else ""
    if not file:
        return text
    if text:
        raise SettingInvalid(f"{variable} and {variable}{FILE_SUFFIX} are both set; keep one.")
    try:
        return Path(file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        raise SettingInvalid(
            f"{variable}{FILE_SUFFIX}: the file {file} cannot be read; name a readable text file."
        ) from None


def _default_state_folder(environ: Mapping[str, str]) -> Path:
    base = environ.get("XDG_STATE_HOME", "")
    # The XDG specification tells programs to ignore a relative path here.
    if base.startswith("/"):
        return Path(base) / "billing-portal"
    home = environ.get("HOME", "")
    return (Path(home) if home else Path.home()) / ".local" / "state" / "billing-portal"


def _refuse_unknown(environ: Mapping[str, str]) -> None:
    known = [variable_of(one.name) for one in fields(Config)]
    files = {variable_of(o.name) + FILE_SUFFIX for o in fields(Config) if o.metadata["secret"]}
    for variable in sorted(environ):
        if variable.startswith(PREFIX) and variable not in files and variable not in known:
            nearest = difflib.get_close_matches(variable, known, n=1, cutoff=0.6)
            hint = f"did you mean {nearest[0]}?" if nearest else "`portal config` lists them all."
            raise SettingInvalid(f"There is no setting {variable}; {hint}")


def _check_together(config: Config) -> None:
    smaller = (
        ("gateway_timeout_seconds", "message_lease_seconds", 1,
         "or a second worker would send while the first still waits"),
        ("not_found_quiet_seconds", "resend_window_seconds", 1,
         "or an order could never be sent again"),
        ("session_idle_minutes", "session_hours_max", 60,
         "or a session would end before it can be idle"),
    )  # fmt: skip
    for less, more, factor, reason in smaller:
        low, high = getattr(config, less), getattr(config, more) * factor
        if low >= high:
            raise SettingInvalid(
                f"{variable_of(less)} ({written(low)}) must be less than {variable_of(more)} "
                f"({written(getattr(config, more))}), {reason}."
            )
    if config.database_owner_url and not config.database_url:
        raise SettingInvalid(
            "DATABASE_OWNER_URL is set but DATABASE_URL is not; set both, or neither for a "
            "private database."
        )

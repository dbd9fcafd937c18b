"""Structured logs: one line per event, for people or as JSON, with the ids of what is going on.

Lines of libraries (gunicorn, RQ, Alembic) pass through the same renderer as our own.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator, MutableMapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any, TextIO

import structlog

FIELD_LENGTH_MAX = 2000  # Characters; a payload in a log line must not push the others out.
_SECRET_PARTS = ("password", "secret", "token", "authorization", "cookie", "api_key")

Event = MutableMapping[str, Any]


def get_log(name: str) -> structlog.stdlib.BoundLogger:
    """Return the logger of a module, which is asked for by its `__name__`."""
    log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return log


@contextmanager
def _bound(**ids: object) -> Iterator[None]:
    with structlog.contextvars.bound_contextvars(**ids):
        yield


def log_context(**ids: object) -> AbstractContextManager[None]:
    """Put ids (`request_id`, `run_id`, `organisation_id`) on each line of a block."""
    return _bound(**{name: str(value) for name, value in ids.items() if value is not None})


def configure_log(*, level: str, form: str, stream: TextIO | None = None) -> None:
    """Send all log lines to one stream, as text or JSON; a second call replaces the first."""
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        _hide_secrets,
        _shorten,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.PositionalArgumentsFormatter(),
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        # Loggers made at import time must follow a later call.
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                _as_json if form == "json" else _as_text,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())


def _hide_secrets(_logger: object, _method: str, event: Event) -> Event:
    for key in event:
        if any(part in key.lower() for part in _SECRET_PARTS):
            event[key] = "(hidden)"
    return event


def _shorten(_logger: object, _method: str, event: Event) -> Event:
    for key, value in event.items():
        # The trace of an error is long, and its end is the useful part.
        if isinstance(value, str) and len(value) > FIELD_LENGTH_MAX and key != "exception":
            event[key] = f"{value[:FIELD_LENGTH_MAX]}… ({len(value)} characters)"
    return event


def _as_json(_logger: object, _method: str, event: Event) -> str:
    return json.dumps(dict(event), default=str, ensure_ascii=False)


def _as_text(_logger: object, _method: str, event: Event) -> str:
    """Write `time level event key=value …`; control characters cannot begin a line of their own."""
    stamp = str(event.pop("timestamp", ""))[11:19]
    level = str(event.pop("level", ""))
    name = str(event.pop("logger", ""))
    said = _on_one_line(str(event.pop("event", "")))
    trace = event.pop("exception", None)
    pairs = "".join(f" {key}={_quoted(value)}" for key, value in event.items())
    line = f"{stamp} {level:<7} {said}{pairs} ({name})"
    return line if trace is None else f"{line}\n{trace}"


def _quoted(value: object) -> str:
    text = _on_one_line(str(value))
    return f'"{text}"' if " " in text or text == "" else text


def _on_one_line(text: str) -> str:
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)

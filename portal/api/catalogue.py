"""Every error a machine may meet, by its code: what the pages of help are made from."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from portal.api.problems import BUSY, HTTP_ERRORS, status_of, title_of
from portal.domain.errors import FAMILIES, PortalError

_PLACEHOLDER = re.compile(r"\{[^{}]*\}")
HTTP_STATUSES = {code: status for status, (code, _) in HTTP_ERRORS.items()}


class ErrorWords(NamedTuple):
    """What is told about a code."""

    code: str
    title: str
    status: int
    sentence: str


def list_errors() -> list[ErrorWords]:
    """List every error there is, by code."""
    found = {code: ErrorWords(code, title_of(code), 409, said) for code, said in [BUSY]}
    for status, (code, said) in HTTP_ERRORS.items():
        found[code] = ErrorWords(code, title_of(code), status, said)
    for kind in _kinds():
        said = _PLACEHOLDER.sub("…", kind.template)
        found[kind.code] = ErrorWords(kind.code, title_of(kind.code), status_of(kind), said)
    return [found[code] for code in sorted(found)]


def find_error(code: str) -> ErrorWords | None:
    """Return what is told about a code, or None."""
    return next((one for one in list_errors() if one.code == code), None)


def _kinds() -> Iterator[type[PortalError]]:
    """Walk all classes of errors of the portal itself."""
    waiting: list[type[PortalError]] = list(FAMILIES)
    while waiting:
        kind = waiting.pop()
        waiting += kind.__subclasses__()
        if kind.__module__.split(".")[0] in {"portal", "rules"}:
            yield kind

"""Log lines: ids on each, secrets on none, one line each."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from portal.log import configure_log, get_log, log_context


@pytest.fixture(autouse=True)
def _same_root_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def test_a_json_line_carries_the_ids_of_its_context() -> None:
    out = io.StringIO()
    configure_log(level="info", form="json", stream=out)
    with log_context(request_id="r1", run_id=7, organisation_id=None):
        get_log("portal.x").info("paid", amount_minor=5)
        logging.getLogger("library").warning("slow %s", "call")
    get_log("portal.x").debug("not written")
    ours, theirs = map(json.loads, out.getvalue().splitlines())
    assert (ours["event"], ours["request_id"], ours["run_id"]) == ("paid", "r1", "7")
    assert (ours["logger"], ours["level"], ours["amount_minor"]) == ("portal.x", "info", 5)
    assert "organisation_id" not in ours
    assert (theirs["event"], theirs["request_id"]) == ("slow call", "r1")


@pytest.mark.parametrize("form", ["text", "json"])
def test_no_value_can_begin_a_line_or_show_a_secret(form: str) -> None:
    out = io.StringIO()
    configure_log(level="info", form=form, stream=out)
    get_log("portal.x").info("read\nfaked", name="a\r\nb\x1b[2J", api_key="hunter2", big="x" * 9000)
    written = out.getvalue()
    assert written.count("\n") == 1
    assert "\x1b" not in written
    assert "\r" not in written
    assert "hunter2" not in written
    assert len(written) < 3000


def test_an_error_shows_its_trace() -> None:
    out = io.StringIO()
    configure_log(level="info", form="text", stream=out)
    try:
        1 // 0  # noqa: B018
    except ZeroDivisionError:
        get_log("portal.x").exception("failed")
    assert "ZeroDivisionError: " in out.getvalue()

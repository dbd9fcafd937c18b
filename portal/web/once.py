"""Doing once what a form asks for, however often it is sent."""

import hashlib
from collections.abc import Callable
from urllib.parse import urlencode
from uuid import uuid4

from flask import flash, request, session
from flask.typing import ResponseReturnValue

from portal.clock import now_utc
from portal.domain.errors import Conflict
from portal.services.idempotency import KeyReused, Reply, do_once
from portal.web.htmx import redirect_part

KEY_FIELD = "request_key"
VERSION_FIELD = "version"
VERSION_DIGITS_MAX = 9
# What differs between two sendings of one form without meaning anything.
UNSIGNED_FIELDS = frozenset({"csrf_token", KEY_FIELD})


class FormSentBefore(Conflict):
    """This form was sent before with something else in it, and that was done. Nothing was done this
    time; look at what was done, and send the form again if this is to be done as well."""


def new_request_key() -> str:
    """Make the key that a form carries from when it is shown."""
    return uuid4().hex


def seen_version() -> int:
    """Read which version of a thing the person saw; one that cannot be read was seen by nobody."""
    text = request.form.get(VERSION_FIELD, "")
    is_number = text.isascii() and text.isdigit() and len(text) <= VERSION_DIGITS_MAX
    return int(text) if is_number else 0


def answer_once(work: Callable[[], tuple[str, str]]) -> ResponseReturnValue:
    """Do the work of a form and lead to where it says; sent again, lead there without doing it.

    Shape: the work returns (address, sentence for the person); what it raises keeps nothing.
    Raises: KeyUnusable; FormSentBefore; RequestUnderWay; what the work raises.
    """

    def reply() -> Reply:
        address, sentence = work()
        return Reply(303, {"Location": address}, sentence.encode())

    key = request.form.get(KEY_FIELD, "")
    try:
        done, is_replay = do_once(key=key, request_hash=_request_hash(), work=reply, now=now_utc())
    except KeyReused:
        raise FormSentBefore from None
    _say(done.body.decode(), is_replay=is_replay)
    return redirect_part(done.headers["Location"])


def _say(sentence: str, *, is_replay: bool) -> None:
    """Say what was done on the next page, once, also when that page was not reached before."""
    if not is_replay:
        flash(sentence, "ok")
    elif sentence not in {words for _, words in session.get("_flashes", [])}:
        flash(f"{sentence} It was sent twice and done once.", "ok")


def _request_hash() -> bytes:
    """Name what was asked: the address and the fields, in their order."""
    fields = [pair for pair in request.form.items(multi=True) if pair[0] not in UNSIGNED_FIELDS]
    asked = f"{request.full_path}\n{urlencode(fields)}"
    return hashlib.sha256(asked.encode()).digest()

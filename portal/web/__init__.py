"""The pages for people: who may see them, their frame, and the headers every answer carries."""

import json
from typing import Any
from urllib.parse import urlsplit

from flask import Flask, Response, request
from htmx_flask import Htmx
from werkzeug.routing import BaseConverter, Map, ValidationError

from portal.ids import parse_public_id, public_id
from portal.web import (
    account,
    assets,
    attempts,
    auth,
    brakes,
    cases,
    disputes,
    errors,
    events,
    forecast,
    formats,
    gateway_accounts,
    health,
    inbox,
    invoices,
    messages,
    overview,
    payer_terms,
    payers,
    payments,
    payouts,
    refunds,
    reminders,
    rulesets,
    runs,
    schedules,
    search,
    sequences,
    visitors,
)
from portal.web.menu import menu_lines, target

BLUEPRINTS = (
    auth.bp,
    overview.bp,
    invoices.bp,
    payments.bp,
    attempts.bp,
    refunds.bp,
    reminders.bp,
    disputes.bp,
    payouts.bp,
    forecast.bp,
    payers.bp,
    payer_terms.bp,
    runs.bp,
    schedules.bp,
    sequences.bp,
    messages.bp,
    inbox.bp,
    brakes.bp,
    events.bp,
    cases.bp,
    rulesets.bp,
    gateway_accounts.bp,
    search.bp,
    health.bp,
)

CONTENT_SECURITY_POLICY = (
    "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none';"
    " object-src 'none'"
)
HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}
STRICT_TRANSPORT = "max-age=31536000; includeSubDomains"
FORM_BYTES_MAX = 1_000_000

# What htmx may do: nothing is evaluated, nothing kept in the browser, and of the answers that are
# no success only those that bring something to read are shown.
HTMX = {
    "selfRequestsOnly": True,
    "allowEval": False,
    "includeIndicatorStyles": False,
    "historyCacheSize": 0,
    "responseHandling": [
        {"code": "204", "swap": False},
        {"code": "[23]..", "swap": True},
        {"code": "409|422", "swap": True},
        {"code": "40[134]", "swap": True, "target": "#alerts"},
        {"code": "...", "swap": False, "error": True},
    ],
}


class PublicIdConverter(BaseConverter):
    """An id in an address: prefix, 26 letters and digits outside, a UUID inside.

    Shape: `<public("invoice"):invoice_id>`.
    """

    def __init__(self, url_map: Map, noun: str) -> None:
        """Take the noun whose ids these are."""
        super().__init__(url_map)
        self.noun = noun

    def to_python(self, value: str) -> Any:
        """Read the id; an address with another form does not exist."""
        found = parse_public_id(self.noun, value)
        if found is None:
            raise ValidationError
        return found

    def to_url(self, value: Any) -> str:
        """Write the id."""
        return public_id(self.noun, value)


def register(app: Flask) -> None:
    """Put the pages into the application."""
    config = app.config["PORTAL"]
    is_https = urlsplit(config.url).scheme == "https"
    app.secret_key = config.required("secret_key")
    app.config.update(
        # A cookie of this name is taken only over HTTPS, from this host and for all of it.
        SESSION_COOKIE_NAME="__Host-portal" if is_https else "portal",
        SESSION_COOKIE_SECURE=is_https,
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        WTF_CSRF_TIME_LIMIT=None,
        WTF_CSRF_CHECK_DEFAULT=False,
        MAX_FORM_MEMORY_SIZE=FORM_BYTES_MAX,
    )
    app.url_map.converters["public"] = PublicIdConverter
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.jinja_env.globals.update(
        htmx_config=json.dumps(HTMX), menu_lines=menu_lines, target=target,
        language=formats.language, visitor=visitors.known_visitor,
        holding_brakes=brakes.holding_brakes,
    )  # fmt: skip
    app.jinja_env.filters["brake_scope"] = brakes.brake_scope_in_words
    app.jinja_env.filters["public_id"] = lambda value, noun: public_id(noun, value)
    Htmx(app)
    visitors.register(app)
    errors.register(app)
    formats.register(app)
    assets.register(app)
    account.register(app)
    for blueprint in BLUEPRINTS:
        app.register_blueprint(blueprint)
    app.after_request(_with_headers(is_https=is_https))


def _with_headers(*, is_https: bool) -> Any:
    def put_headers(answer: Response) -> Response:
        for name, value in HEADERS.items():
            answer.headers.setdefault(name, value)
        if is_https:
            answer.headers.setdefault("Strict-Transport-Security", STRICT_TRANSPORT)
        if assets.is_kept_for_good() and answer.status_code in {200, 304}:
            answer.headers["Cache-Control"] = assets.KEPT_FOR_GOOD
            answer.headers.pop("Set-Cookie", None)
        elif request.endpoint not in {"static", "assets.stylesheet"}:
            answer.headers.setdefault("Cache-Control", "no-store, private")
            answer.vary.update(["HX-Request", "Cookie"])
        return answer

    return put_headers

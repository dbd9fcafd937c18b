"""The doors for machines, under /api/v1."""

from flask import Flask

from portal.api import (
    access,
    attempts,
    cases,
    disputes,
    invoices,
    messages,
    payers,
    payments,
    payouts,
    reference,
    refunds,
    reminders,
    runs,
    schedules,
    sequences,
    start,
)
from portal.api.description import begin_description
from portal.api.webhooks import bp as webhooks

DOORS = (
    start.bp,
    invoices.bp,
    payers.bp,
    payments.bp,
    attempts.bp,
    refunds.bp,
    disputes.bp,
    reminders.bp,
    payouts.bp,
    runs.bp,
    schedules.bp,
    sequences.bp,
    messages.bp,
    cases.bp,
)


def register(app: Flask) -> None:
    """Put the machine doors into the application."""
    api = begin_description(app)
    for doors in DOORS:
        api.register_doors(doors)
    app.register_blueprint(webhooks, url_prefix="/api/v1")
    app.register_blueprint(reference.bp)
    access.register(app)

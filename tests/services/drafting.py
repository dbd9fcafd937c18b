"""Drafts for tests: what a person hands in, and threads that do the same thing at once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any
from uuid import UUID

from flask import Flask

from portal.db import acting_for
from portal.domain.errors import PortalError
from portal.queries.checks import run_checks
from portal.services.invoices import NewInvoice, NewLine, draft_invoice
from tests import factories
from tests.factories import BUSINESS_ON, CLERK, NOW, make_payer

PATIENCE_SECONDS = 60


def new_line(**over: Any) -> NewLine:
    """Make a line of 100.00 with standard tax."""
    return NewLine("Berth fee", Decimal(1), Decimal("100.00"), "4000", "S")._replace(**over)


def new_invoice(*lines: NewLine, **over: Any) -> NewInvoice:
    """Make what is handed in: one line of 100.00 for a new payer unless given."""
    payer_id = over.pop("payer_id", None) or make_payer().id
    return NewInvoice(payer_id, "EUR", list(lines) or [new_line()])._replace(**over)


def draft(*lines: NewLine, **over: Any) -> UUID:
    """Write a draft through the service."""
    with acting_for(factories.home.get()):
        return draft_invoice(
            invoice=new_invoice(*lines, **over), on=BUSINESS_ON, actor=CLERK, now=NOW
        )


def broken_proofs() -> list[str]:
    """Run every proof and name those that do not hold."""
    with acting_for(factories.home.get()):
        return [result.check for result in run_checks() if result.rows]


def do_at_once(app: Flask, works: Sequence[Callable[[], Any]]) -> list[Any]:
    """Do things in threads of their own, all at once; an error of one is its result."""
    organisation_id = factories.home.get()
    ready = threading.Barrier(len(works), timeout=PATIENCE_SECONDS)
    results: list[Any] = [None] * len(works)

    def run(place: int, work: Callable[[], Any]) -> None:
        factories.home.set(organisation_id)
        with app.app_context(), acting_for(organisation_id):
            ready.wait()
            try:
                results[place] = work()
            except PortalError as error:
                results[place] = error

    threads = [threading.Thread(target=run, args=each) for each in enumerate(works)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_SECONDS)
    return results

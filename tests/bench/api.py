"""A page of the JSON API against the usual way: ORM objects, dumped field by field by a library.

Both answer the same rows with the same members, behind the same key, in the same process, in turn.
"""

import time
from typing import Any
from uuid import UUID

from flask import Flask
from flask_smorest import Blueprint
from marshmallow import Schema, fields
from sqlalchemy import select
from werkzeug.test import Client, EnvironBuilder, run_wsgi_app

from jobs.engine import work_one_chunk
from portal.api.access import require
from portal.db import acting_for
from portal.domain.money import format_amount
from portal.domain.users import PORTAL, Permission
from portal.extensions import db
from portal.ids import public_id
from portal.models.invoices import Invoice
from portal.models.payers import Payer
from portal.services.api_keys import add_key
from portal.services.batches import RunOrder, start_run
from tests.bench.batches import say
from tests.bench.world import NOW, ON, analyse, bench_app, make_drafts, make_organisation

ROWS = 50
TURNS = 30
REQUESTS_PER_TURN = 10
OURS = f"/api/v1/invoices?limit={ROWS}"
USUAL = "/api/v1/usual"


class AmountSchema(Schema):
    """An amount, as the library would write it."""

    amount = fields.String()
    currency = fields.String()


def _money(name: str) -> fields.Function:
    def write(found: Any) -> dict[str, str]:
        invoice = found["invoice"]
        currency = invoice.currency
        amount = format_amount(getattr(invoice, f"{name}_minor"), currency)
        dumped: dict[str, str] = AmountSchema().dump({"amount": amount, "currency": currency})
        return dumped

    return fields.Function(write)


class UsualSchema(Schema):
    """The members of a row of our list."""

    object = fields.Constant("invoice")
    id = fields.Function(lambda found: public_id("invoice", found["invoice"].id))
    number = fields.Function(
        lambda found: (
            f"{found['invoice'].series}-{found['invoice'].year}-{found['invoice'].number:06}"
        )
    )
    payer_id = fields.Function(lambda found: public_id("payer", found["invoice"].payer_id))
    payer = fields.String(attribute="payer.name")
    status = fields.String(attribute="invoice.status")
    kind = fields.String(attribute="invoice.kind")
    issued = fields.Date(attribute="invoice.issued_on")
    due = fields.Date(attribute="invoice.due_on")
    total = _money("total")
    paid = _money("paid")
    credited = _money("credited")
    open = _money("open")
    currency = fields.String(attribute="invoice.currency")
    reference = fields.String(attribute="invoice.external_ref")
    order = fields.String(attribute="invoice.purchase_order_ref")
    version = fields.Integer(attribute="invoice.version")


@require(Permission.VIEW_INVOICES)
def usual() -> list[dict[str, Any]]:
    """Read the rows of a page as objects."""
    pairs = db.session.execute(
        select(Invoice, Payer)
        .join(
            Payer,
            (Payer.organisation_id == Invoice.organisation_id) & (Payer.id == Invoice.payer_id),
        )
        .where(Invoice.state == "issued")
        .order_by(Invoice.issued_on.desc(), Invoice.id.desc())
        .limit(ROWS)
    )
    return [{"invoice": invoice, "payer": payer} for invoice, payer in pairs]


def usual_blueprint() -> Any:
    """Make the blueprint that answers the usual way."""
    blueprint = Blueprint("usual", __name__)
    blueprint.route(USUAL)(blueprint.response(200, UsualSchema(many=True))(usual))
    return blueprint


def bench_api(size: int) -> None:
    """A page of 50 ≥ 2 × the requests of the usual way."""
    with bench_app() as (app, config):
        app.register_blueprint(usual_blueprint())
        organisation_id = make_organisation("api")
        make_drafts(organisation_id, size)
        issue_all(organisation_id)
        analyse(config)
        _, key = add_key(
            organisation_id=organisation_id, name="bench", scopes=["read"], actor=PORTAL, now=NOW
        )
        check_same(app, key)
        seconds = {OURS: 0.0, USUAL: 0.0}
        for _ in range(TURNS):
            for address in seconds:
                seconds[address] += ask(app, key, address, REQUESTS_PER_TURN)
        count = TURNS * REQUESTS_PER_TURN
        say(f"API, a page of {ROWS}", count / seconds[OURS], count / seconds[USUAL], "≥ 2")


def issue_all(organisation_id: UUID) -> None:
    """Issue what was drafted, by a run."""
    with acting_for(organisation_id):
        start_run(order=RunOrder(job="invoice_issuing", business_on=ON), actor=PORTAL, now=NOW)
    while work_one_chunk(organisation_id):
        pass


def check_same(app: Flask, key: str) -> None:
    """Make sure that both say the same about the same rows."""
    headers = {"Authorization": f"Bearer {key}"}
    client = Client(app)
    ours = client.get(OURS, headers=headers).get_json()
    usual = client.get(USUAL, headers=headers).get_json()
    overdue = [{**one, "status": "unpaid"} for one in ours["items"]]
    assert overdue == usual, (ours["items"][:1], usual[:1])


def ask(app: Flask, key: str, address: str, count: int) -> float:
    """Send requests to the application itself; seconds for all."""
    headers = [("Authorization", f"Bearer {key}")]
    environ = EnvironBuilder(path=address, headers=headers).get_environ()
    started = time.perf_counter()
    for _ in range(count):
        body, status, _headers = run_wsgi_app(app, dict(environ))
        assert (status, bool(b"".join(body))) == ("200 OK", True)
    return time.perf_counter() - started

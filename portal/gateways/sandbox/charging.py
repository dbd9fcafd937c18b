"""The door for charges."""

import sqlite3
from typing import Any

from portal.gateways.sandbox.disputes import plan_dispute
from portal.gateways.sandbox.ordering import Ordering
from portal.gateways.sandbox.orders import Accepted
from portal.gateways.sandbox.profile import BEFORE_FAULTS, decide
from portal.gateways.sandbox.record import (
    AskedCharge,
    accept_charge,
    charge_payload,
    find_charge,
    get_charge,
)
from portal.gateways.strict_json import amount_of, text_of


class Charging(Ordering[AskedCharge]):
    """POST and GET of charges."""

    noun = "charge"
    drawn_by = "delay"

    def read(self, body: dict[str, Any], common: dict[str, Any]) -> AskedCharge:
        """Read what only a charge has."""
        text_of(body, "mandate_token")
        total = body.get("invoice_total_minor")
        return AskedCharge(
            **common,
            payment_ref=text_of(body, "payment_ref"),
            invoice_ref=text_of(body, "invoice_ref"),
            invoice_total_minor=None if total is None else amount_of(body, "invoice_total_minor"),
            outcome=decide(
                seed=self._desk.seed,
                merchant_ref=common["merchant_ref"],
                amount_minor=common["amount_minor"],
                faults=self._desk.control.faults,
            ),
        )

    def accept(self, connection: sqlite3.Connection, asked: AskedCharge, now: float) -> Accepted:
        """Record a charge once, and when it will be disputed."""
        taken = accept_charge(connection, asked, now)
        contest = asked.outcome.dispute
        is_new = taken.refused is None and not taken.replayed and taken.fault not in BEFORE_FAULTS
        if contest is not None and is_new:
            charge = get_charge(connection, asked.account_code, asked.merchant_ref)
            assert charge is not None
            plan_dispute(connection, charge, contest)
        return taken

    find = staticmethod(find_charge)

    def payload(self, row: sqlite3.Row) -> dict[str, Any]:
        """Say what is known of a charge."""
        return charge_payload(row, row["state"])

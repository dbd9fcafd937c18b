"""The door for refunds."""

from typing import Any

from portal.gateways.sandbox.ordering import Ordering
from portal.gateways.sandbox.profile import decide_refund
from portal.gateways.sandbox.refunds import (
    AskedRefund,
    accept_refund,
    find_refund,
    refund_payload,
)
from portal.gateways.strict_json import text_of


class Refunding(Ordering[AskedRefund]):
    """POST and GET of refunds."""

    noun = "refund"
    drawn_by = "refund delay"

    def read(self, body: dict[str, Any], common: dict[str, Any]) -> AskedRefund:
        """Read what only a refund has."""
        return AskedRefund(
            **common,
            charge_ref=text_of(body, "charge_ref", length_max=100),
            outcome=decide_refund(
                seed=self._desk.seed,
                merchant_ref=common["merchant_ref"],
                amount_minor=common["amount_minor"],
                faults=self._desk.control.faults,
            ),
        )

    accept = staticmethod(accept_refund)
    find = staticmethod(find_refund)
    payload = staticmethod(refund_payload)

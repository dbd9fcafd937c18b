"""Looking at payments: the list and one payment."""

from datetime import date
from uuid import UUID

from flask import url_for
from flask.typing import ResponseReturnValue

from portal.clock import today
from portal.domain.users import Permission
from portal.queries.disputes import list_disputes_of_payment
from portal.queries.payments import (
    get_payment,
    list_allocations_of_payment,
    list_attempts_of_payment,
    list_payment_history,
)
from portal.queries.refunds import list_refunds_of_payment
from portal.queries.tables import PAYMENT_TABLE
from portal.services.payments import list_attempts_max
from portal.web.access import require
from portal.web.formats import money
from portal.web.htmx import render_part
from portal.web.payments._actions import list_actions, list_refusals
from portal.web.payments._blueprint import PAYMENT, bp
from portal.web.payments._words import list_happenings, list_plans, say_standing
from portal.web.tables import send_csv, show_list
from portal.web.traces import Subject, show_why
from portal.web.visitors import current_organisation

HISTORY_ROWS_MAX = 100
UNTRACED = (
    "No attempt has failed that a rule was asked about; or it was before decisions were recorded,"
    " and then the history of the payment tells of it."
)


@bp.get("/payments")
@require(Permission.VIEW_PAYMENTS)
def index() -> ResponseReturnValue:
    """List payments."""
    return show_list(PAYMENT_TABLE, page="payments/list.html")


@bp.get("/payments.csv")
@require(Permission.VIEW_PAYMENTS)
def download() -> ResponseReturnValue:
    """Hand out the list as CSV."""
    return send_csv(PAYMENT_TABLE)


@bp.get(PAYMENT)
@require(Permission.VIEW_PAYMENTS)
def show(payment_id: UUID) -> ResponseReturnValue:
    """Show a payment: how it stands, what it paid, what happened, what can be decided."""
    payment = get_payment(payment_id)
    on: date = today(current_organisation().zone)
    attempts = list_attempts_of_payment(payment_id)
    history = list_payment_history(payment_id, HISTORY_ROWS_MAX)
    actions = list_actions(payment)
    return render_part(
        "payments/show.html",
        "payments/_payment.html",
        payment=payment,
        standing=say_standing(payment, attempts, on),
        attempts=attempts,
        attempts_max=list_attempts_max(payment_ids=[payment_id], on=on).get(payment_id, 0),
        allocations=list_allocations_of_payment(payment_id),
        refunds=list_refunds_of_payment(payment_id),
        disputes=list_disputes_of_payment(payment_id),
        plans=list_plans(payment),
        happened=list_happenings(history),
        is_whole=len(history) < HISTORY_ROWS_MAX,
        actions=actions,
        refusals=list_refusals(actions),
    )


@bp.get(f"{PAYMENT}/why")
@require(Permission.VIEW_PAYMENTS)
def why(payment_id: UUID) -> ResponseReturnValue:
    """Say why it is tried again, and when, or why it is not."""
    payment = get_payment(payment_id)
    title = f"Payment of {money(payment.amount_minor, payment.currency)}"
    address = url_for(".show", payment_id=payment_id)
    return show_why(Subject(payment_id, title, address, payment.currency, UNTRACED))

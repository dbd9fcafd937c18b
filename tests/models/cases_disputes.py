"""One faulty row per named constraint of disputes."""

from __future__ import annotations

from tests.models.breaking import Copy

_NEW_DISPUTE = {"gateway_ref": "'dp_2'", "state": "'won'", "closed_on": "'2026-04-01'"}

DISPUTES = {
    "ck_payments_rest_covers_disputed": Copy("payments", {"disputed_minor": "amount_minor + 1"}),
    "ck_disputes_state_known": Copy(
        "disputes", {**_NEW_DISPUTE, "state": "'open'", "closed_on": "NULL"}
    ),
    "ck_disputes_amount_minor_in_range": Copy("disputes", {**_NEW_DISPUTE, "amount_minor": "0"}),
    "ck_disputes_fee_minor_in_range": Copy("disputes", {**_NEW_DISPUTE, "fee_minor": "-1"}),
    "ck_disputes_response_given": Copy(
        "disputes", {**_NEW_DISPUTE, "response": "''", "answered_at": "now()"}
    ),
    "ck_disputes_answered_before_review": Copy(
        "disputes", {**_NEW_DISPUTE, "state": "'under_review'", "closed_on": "NULL"}
    ),
    "ck_disputes_closed_when_decided": Copy("disputes", {**_NEW_DISPUTE, "closed_on": "NULL"}),
    "uq_disputes_open_payment": Copy("disputes", {"gateway_ref": "'dp_2'"}),
    "uq_disputes_organisation_id_gateway_account_id_gateway_ref": Copy(
        "disputes", {**_NEW_DISPUTE, "gateway_ref": "gateway_ref"}
    ),
    "uq_payout_items_dispute": Copy("payout_items", {"position": "76"}, "dispute_id IS NOT NULL"),
}

"""One faulty row per named constraint; the test that reads this notices a missing one."""

from __future__ import annotations

from tests.models.breaking import Copy
from tests.models.cases_disputes import DISPUTES
from tests.models.cases_reminders import REMINDERS

_INVOICE = "kind = 'invoice' AND state = 'issued'"
_CREDIT_NOTE = "kind = 'credit_note' AND state = 'issued'"
_NEW_ATTEMPT = {"number": "77", "merchant_ref": "'m'", "idempotency_key": "'k'"}
_FREE_ATTEMPT = {**_NEW_ATTEMPT, "state": "'declined'", "gateway_ref": "NULL"}

INVOICES = {
    "ck_invoices_parts_not_negative": Copy(
        "invoices", {"net_minor": "total_minor + 1", "tax_minor": "-1"}, _INVOICE
    ),
    "ck_invoices_total_adds_up": Copy("invoices", {"tax_minor": "tax_minor + 1"}, _INVOICE),
    "ck_invoices_amounts_not_negative": Copy("invoices", {"paid_minor": "-1"}, _INVOICE),
    "ck_invoices_amounts_within_total": Copy(
        "invoices", {"in_payment_minor": "total_minor + 1"}, _INVOICE
    ),
    "ck_invoices_applied_within_total": Copy(
        "invoices", {"applied_minor": "total_minor + 1"}, _CREDIT_NOTE
    ),
    "ck_invoices_only_credit_notes_apply": Copy("invoices", {"applied_minor": "1"}, _INVOICE),
    "ck_invoices_credit_notes_are_not_paid": Copy("invoices", {"paid_minor": "1"}, _CREDIT_NOTE),
    "ck_invoices_draft_has_no_payments": Copy(
        "invoices",
        {
            "state": "'draft'",
            "number": "NULL",
            "paid_minor": "1",
            "credited_minor": "0",
            "written_off_minor": "0",
            "in_payment_minor": "0",
        },
        _INVOICE,
    ),
    "ck_invoices_issued_is_numbered": Copy("invoices", {"number": "NULL"}, _INVOICE),
    "ck_invoices_numbered_in_its_year": Copy("invoices", {"year": "2025"}, _INVOICE),
    "ck_invoices_kind_known": Copy("invoices", {"kind": "'receipt'"}, _INVOICE),
    "ck_invoices_state_known": Copy("invoices", {"state": "'lost'", "number": "NULL"}, _INVOICE),
    "uq_invoices_number": Copy("invoices", {"external_ref": "'another'"}, _INVOICE),
    "uq_invoices_external_ref": Copy("invoices", {"number": "7777"}, _INVOICE),
    "ck_invoice_taxes_rate_bps_in_range": Copy("invoice_taxes", {"rate_bps": "10001"}),
    "ck_number_series_last_not_negative": Copy("number_series", {"last": "-1"}),
}

PAYMENTS = {
    "ck_payments_amount_minor_in_range": Copy(
        "payments", {"amount_minor": "0", "reserved_minor": "0"}
    ),
    "ck_payments_reserved_in_range": Copy("payments", {"reserved_minor": "amount_minor + 1"}),
    "ck_payments_refunded_within_amount": Copy("payments", {"refunded_minor": "amount_minor + 1"}),
    "ck_payments_refunding_within_rest": Copy("payments", {"refunding_minor": "amount_minor + 1"}),
    "ck_payments_next_attempt_when_scheduled": Copy(
        "payments", {"next_attempt_on": "'2026-04-01'"}, "state = 'succeeded'"
    ),
    "ck_payments_method_known": Copy("payments", {"method": "'barter'"}),
    "ck_payments_state_known": Copy("payments", {"state": "'lost'"}, "next_attempt_on IS NULL"),
    "uq_payments_open_invoice": Copy("payments", {}, "state = 'processing'"),
    "ck_payment_attempts_amount_minor_in_range": Copy("payment_attempts", {"amount_minor": "0"}),
    "ck_payment_attempts_state_known": Copy("payment_attempts", {"state": "'lost'"}),
    "uq_payment_attempts_live": Copy(
        "payment_attempts", {**_NEW_ATTEMPT, "gateway_ref": "NULL"}, "state = 'succeeded'"
    ),
    "uq_payment_attempts_gateway_ref": Copy(
        "payment_attempts", {**_NEW_ATTEMPT, "state": "'declined'"}, "gateway_ref IS NOT NULL"
    ),
    "uq_payment_attempts_organisation_id_payment_id_number": Copy(
        "payment_attempts", {**_FREE_ATTEMPT, "number": "number"}
    ),
    "uq_payment_attempts_organisation_id_gateway_account_id__2033": Copy(
        "payment_attempts", {**_FREE_ATTEMPT, "merchant_ref": "merchant_ref"}
    ),
    "uq_payment_attempts_organisation_id_gateway_account_id__a987": Copy(
        "payment_attempts", {**_FREE_ATTEMPT, "idempotency_key": "idempotency_key"}
    ),
    "ck_mandates_state_known": Copy("mandates", {"state": "'lost'"}),
    "uq_mandates_active": Copy("mandates", {"reference": "'another'"}, "state = 'active'"),
    "uq_mandates_organisation_id_reference": Copy("mandates", {"state": "'cancelled'"}),
    "ck_payers_kind_known": Copy("payers", {"kind": "'ghost'"}),
    "ck_payers_arrangement_known": Copy(
        "payers", {"arrangement": "'friendship'", "arranged_until": "'2026-12-31'"}
    ),
    "ck_payers_arranged_with_an_end": Copy("payers", {"arrangement": "'hardship'"}),
    "uq_payers_organisation_id_external_ref": Copy("payers", {}),
}

SOURCES = {
    "ck_allocations_amount_minor_positive": Copy("allocations", {"amount_minor": "0"}),
    "ck_allocations_one_source": Copy(
        "allocations", {"deposit_id": "payment_id"}, "payment_id IS NOT NULL"
    ),
    "uq_allocations_organisation_id_reverses_id": Copy(
        "allocations", {}, "reverses_id IS NOT NULL"
    ),
    "ck_deposits_amount_minor_positive": Copy(
        "deposits", {"amount_minor": "0", "applied_minor": "0"}
    ),
    "ck_deposits_used_within_amount": Copy("deposits", {"released_minor": "amount_minor + 1"}),
    "ck_deposits_state_known": Copy("deposits", {"state": "'lost'"}),
    "ck_payer_credits_amount_minor_positive": Copy(
        "payer_credits", {"amount_minor": "0", "applied_minor": "0"}
    ),
    "ck_payer_credits_applied_within_amount": Copy(
        "payer_credits", {"applied_minor": "amount_minor + 1"}
    ),
}

SETTLEMENTS = {
    "ck_payouts_net_adds_up": Copy("payouts", {"net_minor": "net_minor + 1"}),
    "ck_payouts_state_known": Copy("payouts", {"state": "'lost'"}),
    "uq_payouts_organisation_id_gateway_account_id_gateway_ref": Copy("payouts", {}),
    "ck_payout_items_net_adds_up": Copy("payout_items", {"net_minor": "net_minor + 1"}),
    "ck_payout_items_kind_known": Copy("payout_items", {"kind": "'gift'"}),
    "ck_payout_items_match_state_known": Copy("payout_items", {"match_state": "'lost'"}),
    "uq_payout_items_attempt": Copy(
        "payout_items", {"position": "77"}, "attempt_id IS NOT NULL AND kind = 'payment'"
    ),
    "ck_settlements_state_known": Copy("settlements", {"state": "'lost'"}),
    "ck_settlements_tolerated_when_closed": Copy(
        "settlements", {"tolerated_minor": "1", "state": "'balanced'"}
    ),
    "uq_settlements_organisation_id_payout_id": Copy("settlements", {}),
    "ck_bank_lines_amount_minor_not_zero": Copy("bank_lines", {"amount_minor": "0"}),
    "ck_bank_lines_match_state_known": Copy("bank_lines", {"match_state": "'lost'"}),
    "uq_bank_lines_organisation_id_bank_account_id_bank_ref": Copy("bank_lines", {}),
}

LEDGER = {
    "ck_postings_amount_minor_positive": Copy("postings", {"amount_minor": "0"}),
    "ck_postings_accounts_differ": Copy("postings", {"credit_account_id": "debit_account_id"}),
    "ck_ledger_accounts_kind_known": Copy("ledger_accounts", {"kind": "'mattress'"}),
    "uq_ledger_accounts_organisation_id_currency_kind_code": Copy("ledger_accounts", {}),
    "ck_ledger_entries_kind_known": Copy("ledger_entries", {"kind": "'gift'"}),
    "uq_ledger_entries_organisation_id_source_id_kind": Copy(
        "ledger_entries", {"reverses_id": "NULL"}
    ),
    "uq_ledger_entries_organisation_id_reverses_id": Copy(
        "ledger_entries", {"source_id": "gen_random_uuid()"}, "reverses_id IS NOT NULL"
    ),
}

_OTHER_RUN = {"number": "77", "request_key": "NULL", "parameters_hash": "'77'"}

RUNS = {
    "ck_idempotency_keys_key_length": Copy("idempotency_keys", {"key": "''"}),
    "ck_idempotency_keys_reply_whole": Copy(
        "idempotency_keys", {"key": "'another'", "status": "NULL"}
    ),
    "ck_rehearsal_differences_change_known": Copy("rehearsal_differences", {"change": "'lost'"}),
    "ck_batch_runs_state_known": Copy("batch_runs", {"state": "'lost'"}),
    "uq_batch_runs_organisation_id_number": Copy(
        "batch_runs", {"request_key": "NULL"}, "repeats_id IS NULL"
    ),
    "uq_batch_runs_organisation_id_request_key": Copy(
        "batch_runs", {"number": "77"}, "request_key IS NOT NULL"
    ),
    "uq_batch_runs_unfinished": Copy(
        "batch_runs", {"number": "77", "request_key": "NULL"}, "state = 'prepared'"
    ),
    "uq_batch_runs_repeat": Copy(
        "batch_runs",
        _OTHER_RUN,
        "repeats_id IS NOT NULL",
    ),
    "ck_batch_runs_approved_by_another": Copy(
        "batch_runs",
        {
            **_OTHER_RUN,
            "started_by_id": "organisation_id",
            "approved_by": "'Ada'",
            "approved_by_id": "organisation_id",
            "approved_at": "now()",
        },
        "repeats_id IS NULL",
    ),
    "ck_batch_runs_approval_whole": Copy(
        "batch_runs",
        {**_OTHER_RUN, "approved_by": "'Ada'"},
        "repeats_id IS NULL",
    ),
    "ck_batch_runs_approved_before_start": Copy(
        "batch_runs",
        {**_OTHER_RUN, "needs_approval": "true", "state": "'started'"},
        "repeats_id IS NULL",
    ),
    "ck_batch_runs_step_of_a_sequence": Copy(
        "batch_runs",
        {**_OTHER_RUN, "step_number": "1"},
        "repeats_id IS NULL AND sequence_run_id IS NULL",
    ),
    "uq_batch_runs_organisation_id_sequence_run_id_step_number": Copy(
        "batch_runs",
        _OTHER_RUN,
        "sequence_run_id IS NOT NULL",
    ),
    "uq_sequences_organisation_id_name": Copy("sequences", {}),
    "ck_sequence_steps_condition_known": Copy(
        "sequence_steps", {"version": "77", "condition": "'lost'"}
    ),
    "ck_sequence_steps_number_in_range": Copy("sequence_steps", {"number": "0"}),
    "uq_sequence_runs_organisation_id_request_key": Copy(
        "sequence_runs", {"business_on": "'2031-01-01'"}
    ),
    "uq_sequence_runs_running": Copy("sequence_runs", {"request_key": "NULL"}),
    "ck_sequence_runs_state_known": Copy(
        "sequence_runs", {"request_key": "NULL", "state": "'lost'"}
    ),
    "ck_sequence_runs_finished_when_over": Copy(
        "sequence_runs", {"request_key": "NULL", "state": "'completed'"}
    ),
    "ck_sequence_runs_stopped_with_reason": Copy(
        "sequence_runs", {"request_key": "NULL", "state": "'stopped'"}
    ),
    "ck_schedules_job_or_sequence": Copy("schedules", {"name": "'2'", "job": "NULL"}),
    "ck_batch_chunks_state_known": Copy("batch_chunks", {"state": "'lost'"}),
    "uq_schedules_organisation_id_name": Copy("schedules", {}),
    "ck_schedules_on_holiday_known": Copy("schedules", {"on_holiday": "'lost'"}),
    "ck_schedules_misfire_known": Copy("schedules", {"misfire": "'lost'"}),
    "ck_schedules_next_when_active": Copy("schedules", {"name": "'2'", "next_at": "NULL"}),
    "ck_schedules_wakes_when_active": Copy("schedules", {"name": "'2'", "wake_at": "NULL"}),
    "ck_schedule_dues_state_known": Copy(
        "schedule_dues", {"due_at": "now()", "state": "'lost'", "run_id": "NULL"}
    ),
    "ck_schedule_dues_run_when_started": Copy(
        "schedule_dues", {"due_at": "now()", "run_id": "NULL"}
    ),
    "uq_schedule_dues_organisation_id_run_id": Copy("schedule_dues", {"due_at": "now()"}),
    "ck_batch_items_outcome_known": Copy("batch_items", {"outcome": "'lost'"}),
    "ck_messages_kind_known": Copy("messages", {"kind": "'postcard'"}),
    "ck_messages_state_known": Copy("messages", {"state": "'lost'"}),
    "uq_messages_organisation_id_aggregate_id_sequence": Copy("messages", {}),
    "ck_inbox_messages_state_known": Copy("inbox_messages", {"state": "'lost'"}),
    "uq_inbox_messages_organisation_id_id": Copy(
        "inbox_messages", {"id": "id", "event_ref": "'another'"}
    ),
    "ck_brakes_one_scope": Copy(
        "brakes", {"gateway_account_id": "gen_random_uuid()", "job": "'ledger_check'"}
    ),
    "ck_brakes_reason_given": Copy("brakes", {"reason": "''", "job": "'ledger_check'"}),
    "ck_brakes_expires_later": Copy("brakes", {"expires_at": "pulled_at", "job": "'ledger_check'"}),
    "ck_brakes_end_whole": Copy("brakes", {"released_at": "now()", "job": "'ledger_check'"}),
    "ck_brakes_state_known": Copy(
        "brakes", {"state": "'lost'", "released_at": "now()", "released_by": "'Ada'"}
    ),
    "uq_brakes_active": Copy("brakes", {}),
    "ck_files_kind_known": Copy("files", {"kind": "'poems'"}),
    "ck_files_state_known": Copy("files", {"state": "'lost'"}),
    "uq_files_organisation_id_kind_content_hash": Copy("files", {}),
}

ORGANISATIONS = {
    "ck_organisations_code_plain": Copy("organisations", {"code": "'Not Plain'"}),
    "uq_organisations_code": Copy("organisations", {}),
    "uq_gateway_accounts_code": Copy("gateway_accounts", {}, "purpose = 'payments'"),
    "uq_gateway_accounts_notices": Copy(
        "gateway_accounts", {"code": "'another'"}, "purpose = 'notices' AND is_active"
    ),
    "ck_gateway_accounts_purpose_known": Copy(
        "gateway_accounts", {"code": "'another'", "purpose": "'poems'"}
    ),
    "ck_gateway_accounts_rate_in_range": Copy(
        "gateway_accounts", {"code": "'another'", "rate_per_second": "'NaN'"}
    ),
    "uq_bank_accounts_organisation_id_iban": Copy("bank_accounts", {}),
    "ck_rule_traces_subject_type_known": Copy("rule_traces", {"subject_type": "'poem'"}),
    "ck_rule_traces_entries_listed": Copy("rule_traces", {"entries": "'{}'"}),
    "ck_rule_sets_state_known": Copy("rule_sets", {"state": "'lost'"}),
    "uq_rule_sets_organisation_id_version": Copy("rule_sets", {"state": "'retired'"}),
    "uq_rule_sets_start": Copy("rule_sets", {"version": "77"}, "state = 'active'"),
    "ck_rule_sets_start_known": Copy(
        "rule_sets", {"version": "77", "starts_on": "NULL"}, "state = 'active'"
    ),
    "ck_rule_sets_request_whole": Copy(
        "rule_sets", {"version": "77", "state": "'retired'", "requested_by": "'Ada'"}
    ),
    "ck_rule_sets_approval_whole": Copy(
        "rule_sets", {"version": "77", "state": "'retired'", "approved_by": "'Ada'"}
    ),
    "ck_rule_sets_approved_by_another": Copy(
        "rule_sets",
        {
            "version": "77",
            "state": "'retired'",
            "requested_by": "'Ada'",
            "requested_at": "now()",
            "requested_by_id": "id",
            "approved_by": "'Ada'",
            "approved_at": "now()",
            "approved_by_id": "id",
        },
    ),
    "ck_rule_sets_approved_before_active": Copy(
        "rule_sets",
        {
            "version": "77",
            "starts_on": "'2031-01-01'",
            "requested_by": "'Ada'",
            "requested_at": "now()",
        },
        "state = 'active'",
    ),
    "ck_users_email_lower": Copy("users", {"email": "'Ada@Harbour.Example'"}),
    "uq_users_email": Copy("users", {}),
    "ck_memberships_role_known": Copy("memberships", {"role": "'emperor'"}),
    "uq_api_keys_key_hash": Copy("api_keys", {}),
}

_NEW_REFUND = {
    "request_key": "'another'",
    "merchant_ref": "'m'",
    "idempotency_key": "'k'",
    "gateway_ref": "NULL",
}
_APPROVAL = {"approved_by": "'Ada'", "approved_by_id": "organisation_id", "approved_at": "now()"}

REFUNDS = {
    "ck_refunds_state_known": Copy("refunds", {**_NEW_REFUND, "state": "'lost'"}),
    "ck_refunds_amount_minor_in_range": Copy("refunds", {**_NEW_REFUND, "amount_minor": "0"}),
    "ck_refunds_reason_given": Copy("refunds", {**_NEW_REFUND, "reason": "''"}),
    "ck_refunds_approved_by_another": Copy(
        "refunds", {**_NEW_REFUND, **_APPROVAL, "requested_by_id": "organisation_id"}
    ),
    "ck_refunds_approval_whole": Copy("refunds", {**_NEW_REFUND, "approved_by": "'Ada'"}),
    "ck_refunds_approved_before_sent": Copy(
        "refunds", {**_NEW_REFUND, "needs_approval": "true", "state": "'submitted'"}
    ),
    "uq_refunds_organisation_id_request_key": Copy(
        "refunds", {**_NEW_REFUND, "request_key": "request_key"}
    ),
    "uq_refunds_organisation_id_gateway_account_id_merchant_ref": Copy(
        "refunds", {**_NEW_REFUND, "merchant_ref": "merchant_ref"}
    ),
    "uq_refunds_organisation_id_gateway_account_id_idempotency_key": Copy(
        "refunds", {**_NEW_REFUND, "idempotency_key": "idempotency_key"}
    ),
    "uq_refunds_gateway_ref": Copy("refunds", {**_NEW_REFUND, "gateway_ref": "gateway_ref"}),
    "uq_payout_items_refund": Copy("payout_items", {"position": "78"}, "refund_id IS NOT NULL"),
}
_ENDED = {"state": "'closed'", "ended_at": "now()", "closed_by": "'Ada'", "reason": "'Known.'"}
_OTHER_CASE = {"subject_id": "gen_random_uuid()"}

WATCHED = {
    "uq_cases_standing": Copy("cases", {}),
    "ck_cases_kind_known": Copy("cases", {"kind": "'boredom'"}),
    "ck_cases_state_known": Copy("cases", {**_OTHER_CASE, "state": "'lost'", "ended_at": "now()"}),
    "ck_cases_subject_type_known": Copy("cases", {**_OTHER_CASE, "subject_type": "'weather'"}),
    "ck_cases_end_whole": Copy("cases", {**_OTHER_CASE, "ended_at": "now()"}),
    "ck_cases_closed_by_whom": Copy("cases", {**_OTHER_CASE, **_ENDED, "closed_by": "NULL"}),
    "ck_cases_reason_given": Copy("cases", {**_OTHER_CASE, **_ENDED, "reason": "''"}),
    "ck_cases_stands_while_open": Copy("cases", {**_OTHER_CASE, "gone_at": "now()"}),
}
CURRENCIES = {
    f"ck_{table}_currency_code": Copy(table, {"currency": "'eur'"})
    for table in (
        "allocations",
        "bank_accounts",
        "bank_lines",
        "cases",
        "deposits",
        "disputes",
        "gateway_accounts",
        "invoices",
        "ledger_accounts",
        "mandates",
        "organisations",
        "payer_credits",
        "refunds",
        "rehearsal_differences",
        "rehearsal_totals",
        "reminders",
        "payment_attempts",
        "payments",
        "payout_items",
        "payouts",
        "postings",
    )
}

CASES = {
    **INVOICES,
    **PAYMENTS,
    **SOURCES,
    **SETTLEMENTS,
    **REFUNDS,
    **REMINDERS,
    **DISPUTES,
    **WATCHED,
    **LEDGER,
    **RUNS,
    **ORGANISATIONS,
    **CURRENCIES,
}

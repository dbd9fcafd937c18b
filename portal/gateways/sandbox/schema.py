"""The tables of the gateway's own record."""

SCHEMA = """
CREATE TABLE IF NOT EXISTS requests(
  id INTEGER PRIMARY KEY, at REAL NOT NULL, account_code TEXT NOT NULL, method TEXT NOT NULL,
  path TEXT NOT NULL, merchant_ref TEXT NOT NULL, status INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS charges(
  id INTEGER PRIMARY KEY, account_code TEXT NOT NULL, merchant_ref TEXT NOT NULL,
  idempotency_key TEXT NOT NULL, request_hash BLOB NOT NULL, gateway_ref TEXT NOT NULL,
  payment_ref TEXT NOT NULL, invoice_ref TEXT NOT NULL, invoice_total_minor INTEGER,
  amount_minor INTEGER NOT NULL CHECK(amount_minor > 0), currency TEXT NOT NULL,
  business_date TEXT NOT NULL, accepted_at REAL NOT NULL, result_at REAL NOT NULL,
  state TEXT NOT NULL DEFAULT 'pending'
    CHECK(state IN ('pending', 'succeeded', 'declined', 'returned')),
  declined_code TEXT, return_after INTEGER, return_code TEXT, charge_fault TEXT, event_fault TEXT,
  fee_minor INTEGER NOT NULL, payout_id INTEGER, return_payout_id INTEGER,
  UNIQUE(account_code, merchant_ref), UNIQUE(account_code, idempotency_key));
CREATE INDEX IF NOT EXISTS charges_pending ON charges(result_at) WHERE state = 'pending';
CREATE INDEX IF NOT EXISTS charges_unpaid ON charges(account_code, business_date)
  WHERE payout_id IS NULL AND state <> 'declined';
CREATE INDEX IF NOT EXISTS charges_returning ON charges(account_code)
  WHERE state = 'succeeded' AND return_after IS NOT NULL;
CREATE INDEX IF NOT EXISTS charges_returned ON charges(account_code)
  WHERE state = 'returned' AND return_payout_id IS NULL;
CREATE INDEX IF NOT EXISTS charges_payout ON charges(payout_id) WHERE payout_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS charges_return_payout ON charges(return_payout_id)
  WHERE return_payout_id IS NOT NULL;
CREATE TABLE IF NOT EXISTS refunds(
  id INTEGER PRIMARY KEY, account_code TEXT NOT NULL, merchant_ref TEXT NOT NULL,
  idempotency_key TEXT NOT NULL, request_hash BLOB NOT NULL, gateway_ref TEXT NOT NULL,
  charge_id INTEGER NOT NULL REFERENCES charges(id), charge_ref TEXT NOT NULL,
  amount_minor INTEGER NOT NULL CHECK(amount_minor > 0), currency TEXT NOT NULL,
  business_date TEXT NOT NULL, accepted_at REAL NOT NULL, result_at REAL NOT NULL,
  state TEXT NOT NULL DEFAULT 'pending' CHECK(state IN ('pending', 'succeeded', 'failed')),
  failed_code TEXT, fault TEXT, event_fault TEXT, payout_id INTEGER,
  UNIQUE(account_code, merchant_ref), UNIQUE(account_code, idempotency_key));
CREATE INDEX IF NOT EXISTS refunds_pending ON refunds(result_at) WHERE state = 'pending';
CREATE INDEX IF NOT EXISTS refunds_charge ON refunds(charge_id);
CREATE INDEX IF NOT EXISTS refunds_unpaid ON refunds(account_code)
  WHERE payout_id IS NULL AND state = 'succeeded';
CREATE INDEX IF NOT EXISTS refunds_payout ON refunds(payout_id) WHERE payout_id IS NOT NULL;
CREATE TABLE IF NOT EXISTS disputes(
  id INTEGER PRIMARY KEY, account_code TEXT NOT NULL, gateway_ref TEXT NOT NULL,
  charge_id INTEGER NOT NULL UNIQUE REFERENCES charges(id), merchant_ref TEXT NOT NULL,
  amount_minor INTEGER NOT NULL DEFAULT 0, currency TEXT NOT NULL, charged_on TEXT NOT NULL,
  open_after INTEGER NOT NULL, reason_code TEXT NOT NULL, is_winnable INTEGER NOT NULL,
  fee_minor INTEGER NOT NULL DEFAULT 0, event_fault TEXT, opened_on TEXT, respond_by TEXT,
  closed_on TEXT, is_answered INTEGER NOT NULL DEFAULT 0,
  state TEXT NOT NULL DEFAULT 'planned'
    CHECK(state IN ('planned', 'needs_response', 'under_review', 'won', 'lost', 'dropped')),
  payout_id INTEGER, reversal_payout_id INTEGER, UNIQUE(account_code, gateway_ref));
CREATE INDEX IF NOT EXISTS disputes_live ON disputes(account_code, state);
CREATE INDEX IF NOT EXISTS disputes_payout ON disputes(payout_id) WHERE payout_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS disputes_reversal ON disputes(reversal_payout_id)
  WHERE reversal_payout_id IS NOT NULL;
CREATE TABLE IF NOT EXISTS dispute_orders(
  account_code TEXT NOT NULL, idempotency_key TEXT NOT NULL, request_hash BLOB NOT NULL,
  dispute_id INTEGER NOT NULL REFERENCES disputes(id), PRIMARY KEY(account_code, idempotency_key));
CREATE TABLE IF NOT EXISTS notices(
  id INTEGER PRIMARY KEY, account_code TEXT NOT NULL, merchant_ref TEXT NOT NULL,
  idempotency_key TEXT NOT NULL, request_hash BLOB NOT NULL, gateway_ref TEXT NOT NULL,
  accepted_at REAL NOT NULL, content TEXT NOT NULL,
  UNIQUE(account_code, merchant_ref), UNIQUE(account_code, idempotency_key));
CREATE TABLE IF NOT EXISTS injected(
  id INTEGER PRIMARY KEY, kind TEXT NOT NULL, account_code TEXT NOT NULL,
  merchant_ref TEXT NOT NULL, at REAL NOT NULL);
CREATE UNIQUE INDEX IF NOT EXISTS injected_once ON injected(account_code, merchant_ref, kind)
  WHERE merchant_ref <> '';
CREATE TABLE IF NOT EXISTS events(
  seq INTEGER PRIMARY KEY AUTOINCREMENT, event_id TEXT NOT NULL UNIQUE,
  account_code TEXT NOT NULL, body TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS events_account ON events(account_code, seq);
CREATE TABLE IF NOT EXISTS deliveries(
  id INTEGER PRIMARY KEY, event_seq INTEGER NOT NULL REFERENCES events(seq), due_at REAL NOT NULL,
  tries INTEGER NOT NULL DEFAULT 0, delivered_at REAL);
CREATE INDEX IF NOT EXISTS deliveries_due ON deliveries(due_at) WHERE delivered_at IS NULL;
CREATE TABLE IF NOT EXISTS closings(
  account_code TEXT NOT NULL, business_date TEXT NOT NULL, at REAL NOT NULL,
  PRIMARY KEY(account_code, business_date));
CREATE TABLE IF NOT EXISTS payouts(
  id INTEGER PRIMARY KEY, account_code TEXT NOT NULL, gateway_ref TEXT NOT NULL UNIQUE,
  business_date TEXT NOT NULL, currency TEXT NOT NULL, gross_minor INTEGER NOT NULL,
  fee_minor INTEGER NOT NULL, net_minor INTEGER NOT NULL,
  CHECK(net_minor = gross_minor - fee_minor));
CREATE INDEX IF NOT EXISTS payouts_day ON payouts(account_code, business_date);
"""

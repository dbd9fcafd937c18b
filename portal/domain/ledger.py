"""The chart of accounts: which kinds of account there are and on which side they grow."""

from portal.domain.states import State


class AccountKind(State):
    """What an account is for."""

    RECEIVABLE = "receivable", "Receivable"
    PAYER_CREDITS = "payer_credits", "Payer credits"
    REVENUE = "revenue", "Revenue"
    TAX_PAYABLE = "tax_payable", "Tax payable"
    GATEWAY_CLEARING = "gateway_clearing", "Gateway clearing"
    PAYOUTS_IN_TRANSIT = "payouts_in_transit", "Payouts in transit"
    BANK = "bank", "Bank"
    DEPOSITS_HELD = "deposits_held", "Deposits held"
    SUSPENSE = "suspense", "Suspense"
    FEES = "fees", "Fees"
    RETURN_FEES = "return_fees", "Return fees"
    WRITE_OFFS = "write_offs", "Write-offs"
    INTEREST = "interest", "Interest"
    OTHER_INCOME = "other_income", "Other income"
    ROUNDING = "rounding", "Rounding"


# Kinds that come one per code: per revenue code, tax code or gateway account.
CODED_ACCOUNT_KINDS = (
    AccountKind.REVENUE,
    AccountKind.TAX_PAYABLE,
    AccountKind.GATEWAY_CLEARING,
)


# What lateness costs is no revenue: the codes of such lines, and the accounts that they go to.
LATENESS_ACCOUNTS = {
    "interest": AccountKind.INTEREST,
    "late_fee": AccountKind.OTHER_INCOME,
}


def income_account(revenue_code: str) -> tuple[AccountKind, str]:
    """Return the kind of account that a line with a revenue code goes to, and the code there."""
    kind = LATENESS_ACCOUNTS.get(revenue_code)
    return (kind, "") if kind else (AccountKind.REVENUE, revenue_code)


class EntryKind(State):
    """What an entry records; a source has at most one entry of a kind."""

    INVOICE_ISSUED = "invoice_issued", "Invoice issued"
    CREDIT_NOTE_ISSUED = "credit_note_issued", "Credit note issued"
    PAYMENT_SUCCEEDED = "payment_succeeded", "Payment succeeded"
    PAYMENT_RETURNED = "payment_returned", "Payment returned"
    PAYMENT_RECORDED = "payment_recorded", "Payment recorded by hand"
    REFUND_SUCCEEDED = "refund_succeeded", "Refund succeeded"
    DISPUTE_OPENED = "dispute_opened", "Payment disputed"
    DISPUTE_WON = "dispute_won", "Dispute won"
    CREDIT_APPLIED = "credit_applied", "Credit applied"
    DEPOSIT_RECEIVED = "deposit_received", "Deposit received"
    DEPOSIT_APPLIED = "deposit_applied", "Deposit applied"
    PAYOUT_MATCHED = "payout_matched", "Payout matched"
    PAYOUT_BANKED = "payout_banked", "Payout arrived at the bank"

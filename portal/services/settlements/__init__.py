"""Booking what gateways pay out: payouts as reported, bank lines as read, and their matching."""

from portal.services.settlements._match import match_settlements
from portal.services.settlements._record import (
    BankAccountUnknown,
    BankLineDiffers,
    BankLineInvalid,
    GatewayAccountUnknown,
    PayoutDiffers,
    PayoutInvalid,
    record_bank_line,
    record_payout,
)

__all__ = [
    "BankAccountUnknown",
    "BankLineDiffers",
    "BankLineInvalid",
    "GatewayAccountUnknown",
    "PayoutDiffers",
    "PayoutInvalid",
    "match_settlements",
    "record_bank_line",
    "record_payout",
]

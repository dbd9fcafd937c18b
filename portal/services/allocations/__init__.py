"""Applying what a payer has to what the payer owes, and taking a payment's part of that back."""

from portal.services.allocations._apply import apply_credits
from portal.services.allocations._reverse import (
    InvoiceReversal,
    PaymentReversal,
    reverse_allocations,
)
from portal.services.allocations._take_back import TakenBack, take_back_money

__all__ = [
    "InvoiceReversal",
    "PaymentReversal",
    "TakenBack",
    "apply_credits",
    "reverse_allocations",
    "take_back_money",
]

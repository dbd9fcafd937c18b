"""Applying what a payer has to what the payer owes, and taking a payment's part of that back."""

from portal.services.allocations._apply import apply_credits
from portal.services.allocations._reverse import (
    InvoiceReversal,
    PaymentReversal,
    reverse_allocations,
)

__all__ = ["InvoiceReversal", "PaymentReversal", "apply_credits", "reverse_allocations"]

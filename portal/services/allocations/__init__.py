"""Applying what a payer has to what the payer owes, and taking a payment's part of that back.

What was taken back for a dispute that is won comes back in the same way.
"""

from portal.services.allocations._apply import apply_credits
from portal.services.allocations._give_back import give_money_back
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
    "give_money_back",
    "reverse_allocations",
    "take_back_money",
]

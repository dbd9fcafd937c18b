"""What a gateway account is for, how fast it may be called, and how its breaker stands."""

from decimal import Decimal
from typing import NamedTuple

from portal.domain.states import State

RATE_MIN, RATE_MAX = Decimal("0.001"), Decimal(100_000)
RATE_DECIMALS_MAX = 3
BURST_MAX = 1_000_000


class AccountPurpose(State):
    """What goes through a gateway account."""

    PAYMENTS = "payments", "Payments"
    NOTICES = "notices", "Notices to payers"


class BreakerState(State):
    """Whether a gateway account is called as usual."""

    CLOSED = "closed", "In order"
    OPEN = "open", "Left alone"
    PROBING = "probing", "Tried with one call"


class AccountRate(NamedTuple):
    """How many calls a second go to a gateway account, and how many at once after a rest."""

    per_second: Decimal
    burst: int

"""Late fees and interest, each a document of its own."""

from portal.domain.money import Rounding, apply_rate, round_ratio
from rules.clauses import ClauseKind, clause
from rules.limits import AmountMinor, AmountsMinor, Days, Share
from rules.types import Charge, InvoiceFacts, Stage

# Interest is agreed per year and computed for real days, as money markets write it: act/365.
DAYS_PER_YEAR = 365


@clause(ClauseKind.FEE, Stage.REMIND)
def c201_late_fee_is_a_share_of_open_amount(
    facts: InvoiceFacts,
    *,
    rate_bps: Share,
    grace_days: Days = 0,
    rounding: Rounding,
) -> Charge | None:
    """Charge {rate_bps} of what is still open once {grace_days} of grace are over."""
    if days_late(facts) <= grace_days:
        return None
    fee_minor = apply_rate(facts.open_minor, rate_bps, rounding)
    return Charge("C201", fee_minor, "Late fee, a share of the open amount") if fee_minor else None


@clause(ClauseKind.FEE, Stage.REMIND)
def c202_late_fee_is_flat(
    facts: InvoiceFacts, *, amount_minor: AmountMinor, grace_days: Days = 0
) -> Charge | None:
    """Charge a flat fee of {amount_minor} once {grace_days} of grace are over."""
    if days_late(facts) <= grace_days or amount_minor == 0:
        return None
    return Charge("C202", amount_minor, "Late fee, a flat amount")


@clause(ClauseKind.FEE, Stage.REMIND)
def c203_interest_accrues_daily(
    facts: InvoiceFacts,
    *,
    yearly_rate_bps: Share,
    grace_days: Days = 0,
    rounding: Rounding,
) -> Charge | None:
    """Charge interest of {yearly_rate_bps} a year on what is still open, for each day since it was
    due, once {grace_days} of grace are over."""
    days = days_late(facts)
    if days <= grace_days:
        return None
    year = 10_000 * DAYS_PER_YEAR
    interest_minor = round_ratio(facts.open_minor * yearly_rate_bps * days, year, rounding)
    if not interest_minor:
        return None
    return Charge("C203", interest_minor, f"Interest for {days} days")


@clause(ClauseKind.FEE, Stage.REMIND)
def c204_fee_of_the_reminder_level(
    facts: InvoiceFacts, *, amounts_minor: AmountsMinor
) -> Charge | None:
    """Charge for the reminder of each level, from the first on: {amounts_minor}.

    Shape: the last amount serves all higher levels; nothing when no level is known.
    """
    level = facts.reminder_level or 0
    if level < 1 or facts.open_minor <= 0:
        return None
    fee_minor = amounts_minor[min(level, len(amounts_minor)) - 1]
    return Charge("C204", fee_minor, f"Fee of reminder {level}") if fee_minor else None


def days_late(facts: InvoiceFacts) -> int:
    """Count the days since a document was due; zero when it is not due or nothing is open."""
    if facts.due_on is None or facts.open_minor <= 0:
        return 0
    return max(0, (facts.business_date - facts.due_on).days)

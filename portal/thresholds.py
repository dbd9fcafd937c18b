"""After how long something that was expected counts as late: settings, as those of the portal."""

from __future__ import annotations

from dataclasses import dataclass

from portal.settings import number, setting, whole

DAY_SECONDS = 86_400
YEAR_HOURS = 366 * 24


@dataclass(frozen=True, kw_only=True)
class Thresholds:
    """How often is looked for what did not come, and how long each thing may take."""

    watch_seconds: float = setting(
        60.0, "Seconds between two looks for work that stands still.",
        read=number(0.1, DAY_SECONDS),
    )  # fmt: skip
    watch_books_seconds: float = setting(
        600.0, "Seconds between two looks for money that did not arrive.",
        read=number(0.1, DAY_SECONDS),
    )  # fmt: skip
    watch_gateway_seconds: float = setting(
        86_400.0, "Seconds between two comparisons with a gateway's own record.",
        read=number(0.1, 31 * DAY_SECONDS),
    )  # fmt: skip
    late_result_hours: float = setting(
        24.0, "Hours after which a payment that the gateway has accepted lacks its result.",
        read=number(0, YEAR_HOURS),
    )  # fmt: skip
    late_unknown_hours: float = setting(
        24.0, "Hours after which an outcome that nobody knows is a case.",
        read=number(0, YEAR_HOURS),
    )  # fmt: skip
    late_webhook_hours: float = setting(
        1.0, "Hours after which an arrived message that is not handled is a case.",
        read=number(0, YEAR_HOURS),
    )  # fmt: skip
    late_refund_hours: float = setting(
        24.0, "Hours after which a refund that was sent lacks its result.",
        read=number(0, YEAR_HOURS),
    )  # fmt: skip
    due_dispute_days: int = setting(
        3, "Days before the end of the time to answer from which on an open dispute is a case.",
        read=whole(0, 366),
    )  # fmt: skip
    late_run_minutes: float = setting(
        15.0, "Minutes without progress after which a run with free parts is a case.",
        read=number(0, YEAR_HOURS * 60),
    )  # fmt: skip
    late_payout_days: int = setting(
        3, "Business days after which collected money without a payout is a case.",
        read=whole(0, 366),
    )  # fmt: skip
    late_bank_days: int = setting(
        3, "Business days after which a payout without a line of the bank is a case.",
        read=whole(0, 366),
    )  # fmt: skip
    late_clearing_days: int = setting(
        14, "Days after which money in an account that only carries it onwards is a case.",
        read=whole(0, 366),
    )  # fmt: skip

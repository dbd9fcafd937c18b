"""The proofs of `portal check`: what the shape of the tables cannot say, proved by counting again.

Nothing here repairs anything: a proof that fails names the rows, and a person decides.
"""

from typing import NamedTuple

from portal.queries.checks._batches import BATCH_CHECKS
from portal.queries.checks._disputes import DISPUTE_CHECKS
from portal.queries.checks._documents import DOCUMENT_CHECKS
from portal.queries.checks._gateway import (
    Difference,
    DifferenceKind,
    GatewayEffect,
    OurAttempt,
    compare_with_gateway,
    list_our_attempts,
)
from portal.queries.checks._ledger import LEDGER_CHECKS
from portal.queries.checks._payments import PAYMENT_CHECKS
from portal.queries.checks._proof import Check
from portal.queries.checks._refunds import REFUND_CHECKS
from portal.sql import execute, fetch_plain

__all__ = [
    "CHECKS",
    "Broken",
    "Check",
    "CheckResult",
    "Difference",
    "DifferenceKind",
    "GatewayEffect",
    "OurAttempt",
    "compare_with_gateway",
    "list_our_attempts",
    "run_checks",
]

CHECKS: tuple[Check, ...] = (
    *LEDGER_CHECKS,
    *DOCUMENT_CHECKS,
    *PAYMENT_CHECKS,
    *REFUND_CHECKS,
    *DISPUTE_CHECKS,
    *BATCH_CHECKS,
)

SAMPLE_ROWS_MAX = 20


class Broken(NamedTuple):
    """One row that breaks a proof; a side that is missing altogether is None."""

    id: str | None
    label: str
    expected: int | None
    found: int | None


class CheckResult(NamedTuple):
    """What a proof found.

    Shape: `rows` counts all rows that break it, `sample` shows the first of them.
    """

    check: str
    sentence: str
    rows: int
    sample: tuple[Broken, ...]


def run_checks() -> tuple[CheckResult, ...]:
    """Run every proof over the books of the organisation in scope.

    Shape: in the order of CHECKS; each proof is one statement and so sees one snapshot: work that
    goes on beside it does not look like a fault.
    """
    # Whole tables are joined and sorted here: without this they would pass through files.
    execute("SET LOCAL work_mem = '64MB'")
    return tuple(_run(check) for check in CHECKS)


def _run(check: Check) -> CheckResult:
    rows = fetch_plain(
        f"SELECT count(*) OVER (), broken.* FROM ({check.sql}) AS broken"
        f" ORDER BY id, label LIMIT {SAMPLE_ROWS_MAX}"
    )
    sample = tuple(Broken._make(row[1:]) for row in rows)
    return CheckResult(check.name, check.sentence, rows[0][0] if rows else 0, sample)

"""The catalogue of jobs: each works on items of a frozen population; every one may be run again."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from jobs import (
    deposit_matching,
    invoice_issuing,
    ledger_check,
    payment_collection,
    payment_retrying,
    reminding,
    rule_rehearsal,
    settlement_closing,
)
from portal.services.batches import Lease
from portal.services.outcomes import ItemResult


class Job(NamedTuple):
    """What a batch run does to the items of a chunk."""

    name: str
    title: str
    work: Callable[[Lease, Sequence[UUID], datetime], Sequence[ItemResult]]


JOBS = {
    job.name: job
    for job in (
        Job("invoice_issuing", "Issue invoices", invoice_issuing.work),
        Job("deposit_matching", "Apply credits and deposits", deposit_matching.work),
        Job("payment_collection", "Collect payments", payment_collection.work),
        Job("payment_retrying", "Try payments again", payment_retrying.work),
        Job("reminding", "Remind of overdue invoices", reminding.work),
        Job("settlement_closing", "Settle payouts", settlement_closing.work),
        Job("ledger_check", "Prove the books", ledger_check.work),
        Job("rule_rehearsal", "Rehearse a rule set", rule_rehearsal.work),
    )
}

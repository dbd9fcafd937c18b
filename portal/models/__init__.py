"""Tables, keys and constraints; importing this package knows them all."""

from portal.models import (
    allocations,
    batches,
    brakes,
    cases,
    deposits,
    disputes,
    events,
    files,
    idempotency,
    invoices,
    ledger,
    messages,
    organisations,
    payers,
    payments,
    refunds,
    rulesets,
    schedules,
    sequences,
    settlements,
    users,
)
from portal.models.base import Base

metadata = Base.metadata

__all__ = [
    "allocations",
    "batches",
    "brakes",
    "cases",
    "deposits",
    "disputes",
    "events",
    "files",
    "idempotency",
    "invoices",
    "ledger",
    "messages",
    "metadata",
    "organisations",
    "payers",
    "payments",
    "refunds",
    "rulesets",
    "schedules",
    "sequences",
    "settlements",
    "users",
]

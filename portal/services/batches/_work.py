"""Working a chunk: one transaction for its items, their outcomes and its mark."""

from collections.abc import Callable, Sequence
from uuid import UUID

import structlog

from portal.db import (
    is_transient,
    repeat_when_transient,
    savepoint,
    transaction,
)
from portal.domain.batches import ItemOutcome
from portal.domain.errors import PortalError
from portal.services.batches._lease import Lease, LeaseLost
from portal.services.batches._sheet import SheetBroken, compare_with_sheet
from portal.services.outcomes import ItemResult
from portal.services.rulesets import keeping_rule_set
from portal.sql import execute, stage_rows

log = structlog.stdlib.get_logger(__name__)

Work = Callable[[Sequence[UUID]], Sequence[ItemResult]]


def work_chunk(*, lease: Lease, work: Work) -> list[ItemResult]:
    """Work a chunk in one transaction that also marks it and writes each item's outcome.

    Shape: when the work breaks on something unexpected, it is done again in halves down to the
    item that breaks it, which fails alone.
    Raises: LeaseLost; SheetBroken before anything is done; database trouble that is nobody's
    fault, after several tries.
    """

    def straight() -> list[ItemResult]:
        with transaction(lease.organisation_id), keeping_rule_set(lease.rule_set_version):
            changed = compare_with_sheet(lease)
            results = list(work(lease.item_ids))
            _mark_chunk(lease, results, changed)
            return results

    def isolating() -> list[ItemResult]:
        with transaction(lease.organisation_id), keeping_rule_set(lease.rule_set_version):
            changed = compare_with_sheet(lease)
            results = _work_in_halves(work, lease.item_ids)
            _mark_chunk(lease, results, changed)
            return results

    try:
        return repeat_when_transient(straight)
    except (LeaseLost, SheetBroken):
        raise
    except Exception as error:
        if is_transient(error):
            raise
        log.warning(
            "chunk.isolating", run_id=str(lease.run_id), number=lease.number, error=repr(error)
        )
    return repeat_when_transient(isolating)


def _work_in_halves(work: Work, item_ids: Sequence[UUID]) -> list[ItemResult]:
    try:
        with savepoint():
            return list(work(item_ids))
    except LeaseLost:
        raise
    except Exception as error:
        if is_transient(error):
            raise
        if len(item_ids) == 1:
            return [_failed(item_ids[0], error)]
    middle = len(item_ids) // 2
    return _work_in_halves(work, item_ids[:middle]) + _work_in_halves(work, item_ids[middle:])


def _failed(item_id: UUID, error: Exception) -> ItemResult:
    if isinstance(error, PortalError):
        return ItemResult(item_id, ItemOutcome.FAILED, error.code, error.message)
    message = str(error).strip().splitlines()[0] if str(error).strip() else ""
    return ItemResult(item_id, ItemOutcome.FAILED, type(error).__name__, message[:500])


def _mark_chunk(lease: Lease, results: Sequence[ItemResult], changed_count: int) -> None:
    if len(results) != len(lease.item_ids):
        raise RuntimeError(f"{len(lease.item_ids)} items were worked, {len(results)} reported")
    counts = dict.fromkeys(ItemOutcome, 0)
    for result in results:
        counts[result.outcome] += 1
    # First of all: who has lost the chunk must not trip over the items that the other has written.
    marked = execute(
        "UPDATE batch_chunks SET state = 'done', finished_at = clock_timestamp(),"
        " done_count = %s, filtered_count = %s, skipped_count = %s, failed_count = %s,"
        " changed_count = %s"
        " WHERE run_id = %s AND number = %s AND lease_token = %s AND state = 'leased'",
        (
            counts[ItemOutcome.DONE],
            counts[ItemOutcome.FILTERED],
            counts[ItemOutcome.SKIPPED] + counts[ItemOutcome.PARKED] + counts[ItemOutcome.UNKNOWN],
            counts[ItemOutcome.FAILED],
            changed_count,
            lease.run_id,
            lease.number,
            lease.token,
        ),
    )
    if marked != 1:
        raise LeaseLost(number=lease.number)
    stage_rows(
        "staged_items",
        {
            "item_id": "uuid",
            "outcome": "text",
            "code": "text",
            "message": "text",
            "amount_minor": "bigint",
        },
        ((r.item_id, r.outcome.value, r.code, r.message, r.amount_minor) for r in results),
    )
    execute(
        "INSERT INTO batch_items (organisation_id, run_id, item_id, chunk_number, outcome, code,"
        " message, amount_minor) SELECT %s, %s, item_id, %s, outcome, code, message, amount_minor"
        " FROM pg_temp.staged_items",
        (lease.organisation_id, lease.run_id, lease.number),
    )

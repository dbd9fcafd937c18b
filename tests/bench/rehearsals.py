"""A rehearsal against issuing the same drafts: how fast, and whether both come to the same."""

from uuid import UUID

from jobs.engine import work_one_chunk
from portal.db import acting_for, end_reading, transaction
from portal.domain.batches import RunState
from portal.domain.users import PORTAL
from portal.queries.batches import get_run
from portal.queries.rehearsals import sum_rehearsal
from portal.services.batches import RunOrder, start_run
from portal.services.rehearsals import RehearsalWish, start_rehearsal
from portal.services.rulesets import copy_rule_set
from portal.sql import fetch_one
from tests.bench.batches import CHUNK, say, timed
from tests.bench.world import NOW, ON, analyse, bench_app, make_drafts, make_organisation

# All tables but those that a rehearsal writes itself, and those of the run that it is.
WITNESS = (
    "SELECT COALESCE(sum(n_tup_ins + n_tup_upd + n_tup_del), 0)::bigint AS writes"
    " FROM pg_stat_user_tables WHERE schemaname = 'public'"
    " AND relname !~ '^(rehearsal_|batch_|events)'"
)


def bench_rehearsal(size: int) -> None:
    """Rehearse ≥ 0.5 × as fast as issuing, write nothing else, and say what issuing then does."""
    with bench_app() as (_, config):
        owner = make_organisation("rehearsed")
        make_drafts(owner, size)
        analyse(config)
        with acting_for(owner):
            version = copy_rule_set(version=1, actor=PORTAL, now=NOW)
            wish = RehearsalWish(version, 1)
            run_id = start_rehearsal(wish=wish, on=ON, actor=PORTAL, now=NOW)
        before = _count_writes(owner)
        rehearsing = timed(lambda: _work(owner, run_id))
        written = _count_writes(owner) - before
        with acting_for(owner):
            told = sum(row.total_after_minor for row in sum_rehearsal(run_id) if not row.payer_kind)
            order = RunOrder("invoice_issuing", ON, chunk_items_max=CHUNK)
            real_id = start_run(order=order, actor=PORTAL, now=NOW)
        issuing = timed(lambda: _work(owner, real_id))
        with transaction(owner):
            real = fetch_one(
                "SELECT sum(total_minor)::bigint AS total FROM invoices WHERE state = 'issued'"
            )
        assert real is not None
        assert told == real.total, f"rehearsed {told}, issued {real.total}"
        assert written == 0, f"{written} rows of other tables were written"
        say(f"rehearse {size:,} documents", size / rehearsing, size / issuing, "≥ 0.5")
        print(f"    both come to {told:,} minor units; nothing else was written")


def _work(owner: UUID, run_id: UUID) -> None:
    while work_one_chunk(owner):
        pass
    with acting_for(owner):
        end_reading()
        assert get_run(run_id).state is RunState.COMPLETED


def _count_writes(owner: UUID) -> int:
    with transaction(owner):
        fetch_one("SELECT pg_stat_force_next_flush()")
    with transaction(owner):
        row = fetch_one(WITNESS)
    assert row is not None
    return int(row.writes)

"""`make bench`: measured ratios, each with its reference in the same run.

Sizes can be named: `make bench ARGS='20000 200000'`.
"""

import sys

from tests.bench.api import bench_api
from tests.bench.batches import bench_issue_and_collect, bench_workers
from tests.bench.clauses import bench_clauses
from tests.bench.endurance import (
    bench_fairness,
    bench_gateway_away,
    bench_killed_run,
    bench_long_run,
    bench_queue,
)
from tests.bench.gateway import bench_gateway_calls
from tests.bench.lists import bench_lists
from tests.bench.rehearsals import bench_rehearsal

DEFAULT_SIZES = (20_000, 200_000)
WORKERS_SIZE_MAX = 60_000
API_SIZE_MAX = 20_000
KILLED_SIZE_MAX = 100_000
CLAUSES_SIZE_MAX = 20_000
REHEARSAL_SIZE_MAX = 100_000
AWAY_SIZE_MAX = 5_000

if __name__ == "__main__":
    sizes = [int(argument) for argument in sys.argv[1:]] or list(DEFAULT_SIZES)
    bench_issue_and_collect(sizes)
    bench_workers(min(sizes[-1], WORKERS_SIZE_MAX))
    bench_api(min(sizes[0], API_SIZE_MAX))
    bench_clauses(min(sizes[0], CLAUSES_SIZE_MAX))
    bench_lists(sizes[-1])
    bench_rehearsal(min(sizes[-1], REHEARSAL_SIZE_MAX))
    bench_gateway_calls()
    bench_queue(sizes[-1])
    bench_long_run(sizes)
    bench_fairness(sizes[-1])
    bench_killed_run(min(sizes[-1], KILLED_SIZE_MAX))
    bench_gateway_away(min(sizes[0], AWAY_SIZE_MAX))

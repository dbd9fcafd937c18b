"""The bench itself, once: a whole portal billed while everything in it is killed."""

from __future__ import annotations

import re
import subprocess
import sys
from random import SystemRandom

import pytest

from portal.paths import ROOT
from tests.faults.proxy import COMMIT_ASKED, COMMIT_DONE, ROLLBACK_ASKED, Counted, Line
from tests.faults.script import WANTED, Trigger, count_triggers, draw_orders, draw_triggers

PAYMENTS, FAULTS_LEAST = 500, 400
VERDICT = re.compile(
    r"^VERDICT ok payments=(\d+) faults=(\d+) lost=0 twice=0 findings=0 seed=(\d+)$", re.MULTILINE
)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.skipif(sys.platform != "linux", reason="finds who holds a connection in /proc")
def test_nothing_is_lost_and_nothing_charged_twice_while_everything_is_killed() -> None:
    seed = SystemRandom().randrange(1_000_000)
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults", f"--payments={PAYMENTS}", f"--seed={seed}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    found = VERDICT.search(done.stdout)
    assert found
    assert (int(found[1]), int(found[3])) == (PAYMENTS, seed)
    assert int(found[2]) >= FAULTS_LEAST


def test_a_seed_draws_the_same_faults_and_payments_again() -> None:
    for place in WANTED:
        drawn = [list(draw_triggers(seed, place, PAYMENTS)) for seed in (7, 7, 8)]
        assert drawn[0] == drawn[1] != drawn[2]
        assert {trigger.action for trigger in drawn[0]} == set(WANTED[place])
    assert draw_orders(7, PAYMENTS) == draw_orders(7, PAYMENTS) != draw_orders(8, PAYMENTS)
    assert count_triggers(7, PAYMENTS) == count_triggers(8, PAYMENTS)


def test_the_proxy_knows_the_commits_of_transactions_that_wrote() -> None:
    line = Line("postgres", 1, ())  # type: ignore[arg-type]  # nothing is cut here

    assert list(line.sent(b"P\x00\x00\x00\x20\x00SELECT 1\x00")) == []
    assert list(line.sent(COMMIT_ASKED)) == []
    assert list(line.answered(COMMIT_DONE)) == []
    assert list(line.sent(b"P\x00\x00\x00\x20\x00UPDATE messages SET\x00")) == []
    assert list(line.sent(COMMIT_ASKED)) == ["moment", "commit_seen"]
    assert list(line.answered(COMMIT_DONE)) == ["commit_answered"]
    assert list(line.sent(b"P\x00\x00\x00\x20\x00INSERT INTO number_series\x00")) == [
        "chunk_worked"
    ]
    assert list(line.sent(ROLLBACK_ASKED)) == []
    assert list(line.sent(COMMIT_ASKED)) == []


def test_a_place_counts_its_events_down_to_each_trigger() -> None:
    counted = Counted(iter([Trigger(2, "kill"), Trigger(1, "cut")]))
    counted.next()

    assert [counted.take() for _ in range(5)] == ["", "kill", "cut", "", ""]
    assert counted.seen == 5

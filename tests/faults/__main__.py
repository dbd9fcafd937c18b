"""`make faults`: a portal is billed while everything in it is killed; the gateway's record judges.

Sizes and seeds can be named: `make faults ARGS='--payments 10000 --seed 7'`. The same seed draws
the same faults; how the processes interleave with them is not repeatable.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from random import SystemRandom

from flask import Flask

from portal.app import create_app
from tests.factories import home, make_organisation
from tests.faults.judge import Judge, Verdict
from tests.faults.load import Load, patiently
from tests.faults.meddling import Meddler
from tests.faults.script import count_triggers, draw_orders
from tests.faults.supervisor import Supervisor
from tests.faults.witness import Witness
from tests.faults.world import World

QUIET_SECONDS = 120.0
POLL_SECONDS = 0.2


@dataclass
class Bench:
    """One bench of so many payments from one seed."""

    seed: int
    payments: int
    seconds: dict[str, float] = field(default_factory=dict)
    faults: Counter[str] = field(default_factory=Counter)

    def run(self) -> Verdict:
        """Start everything, bill under faults, wait for quiet, judge."""
        self._begun_at = time.monotonic()
        with Supervisor(self.seed, self.payments) as supervisor:
            self._passed(f"started, with its logs in {supervisor.folder}")
            app = create_app(supervisor.config.changed(log_level="error"))
            with app.app_context():
                verdict = self._run(supervisor, app)
            if not verdict.is_ok:
                say(supervisor.last_words())
        return verdict

    def _run(self, supervisor: Supervisor, app: Flask) -> Verdict:
        organisation_id = make_organisation("harbour")
        home.set(organisation_id)
        world = World(supervisor.config, organisation_id, supervisor.owner_url, supervisor.folder)
        load = Load(world, app, draw_orders(self.seed, self.payments))
        load.prepare()
        witness = Witness(world, app)
        meddler = Meddler(world, app, self.seed, self.payments)
        self._passed("prepared")
        supervisor.go_live(is_live=True)
        witness.start()
        meddler.start()
        load.run_everything()
        self._passed("billed")
        meddler.stop()
        supervisor.go_live(is_live=False)
        self._wait_until_quiet(world, load)
        self._passed("quiet")
        witness.stop()
        self._count(supervisor, world, load, meddler)
        say(f"events {supervisor.count_events()}")
        say(f"starts {dict(supervisor.starts)}")
        say(f"moves {witness.count_moves()}, snapshots {witness.snapshots}")
        verdict = Judge(world, load.ledger, witness, meddler).decide()
        self._passed("judged")
        return verdict

    def _wait_until_quiet(self, world: World, load: Load) -> None:
        """Wait until nothing is under way here and at the gateway, or for as long as is allowed."""
        ends_at = time.monotonic() + QUIET_SECONDS

        def is_busy() -> bool:
            return bool(load.count_left() or world.ask_gateway("/v1/report")["deliveries_waiting"])

        while patiently(is_busy) and time.monotonic() < ends_at:
            time.sleep(POLL_SECONDS)

    def _count(self, supervisor: Supervisor, world: World, load: Load, meddler: Meddler) -> None:
        self.faults.update(supervisor.fired)
        scripted = world.ask_gateway("/v1/report")["faults"]
        self.faults.update({f"gateway {kind}": count for kind, count in scripted.items()})
        self.faults.update(meddler.happened)
        twice = "request sent twice at once"
        self.faults[twice] += load.ledger.happened[twice]
        for slow in load.ledger.slow:
            say(f"slow: {slow}")
        say(f"clients {dict(load.ledger.happened)}")

    def _passed(self, what: str) -> None:
        self.seconds[what] = time.monotonic() - self._begun_at
        say(f"{self.seconds[what]:7.1f} s  {what}")


def say(line: str) -> None:
    """Write a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> int:
    """Run the bench that the command line asks for; 0 only when nothing was found."""
    parser = argparse.ArgumentParser(prog="make faults")
    parser.add_argument("--payments", type=int, default=500)
    parser.add_argument("--seed", type=int, default=SystemRandom().randrange(1_000_000))
    wanted = parser.parse_args()
    say(f"seed={wanted.seed} payments={wanted.payments}")
    say(f"drawn on the wire: {count_triggers(wanted.seed, wanted.payments)}")
    bench = Bench(wanted.seed, wanted.payments)
    verdict = bench.run()
    for kind, count in sorted(bench.faults.items()):
        say(f"{count:7} {kind}")
    for line in verdict.lines():
        say(line)
    say(
        f"VERDICT {'ok' if verdict.is_ok else 'bad'} payments={wanted.payments}"
        f" faults={bench.faults.total()} lost={verdict.count('lost')}"
        f" twice={verdict.count('charged twice') + verdict.count('made twice')}"
        f" findings={sum(map(len, verdict.found.values()))} seed={wanted.seed}"
    )
    return 0 if verdict.is_ok else 1


if __name__ == "__main__":
    sys.exit(main())

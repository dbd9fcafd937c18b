"""Judges a bench from the database and from the gateway's own record, and from nothing else.

What the clients were told is compared with both; no log and no counter of the portal is believed.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from portal.cli.checks import prove
from portal.db import acting_for
from portal.domain.payments import CONTESTED_WORKLISTS
from portal.queries.organisations import get_organisation
from tests.faults.load import Ledger, patiently
from tests.faults.meddling import Meddler
from tests.faults.script import AMOUNT_STEP, MISMATCHED
from tests.faults.witness import Witness
from tests.faults.world import World

OVERDUE_SECONDS = 10.0
SHOWN_MAX = 20
# What is no trouble: a settlement is parked while the bank has not paid it.
CALM = ("done", "filtered", "parked")
# Where what the gateway answered about another amount waits: it may say so after its success.
MISMATCH_WORKLISTS = ("mismatch", "conflicting_outcome")
OVER = ("succeeded", "failed", "cancelled")


@dataclass
class Verdict:
    """What was found wrong, by kind; nothing at all is what is wanted."""

    found: dict[str, list[str]] = field(default_factory=dict)

    def add(self, kind: str, *wrong: str) -> None:
        """Add what is wrong."""
        if wrong:
            self.found.setdefault(kind, []).extend(wrong)

    def count(self, kind: str) -> int:
        """Count what was found of a kind."""
        return len(self.found.get(kind, []))

    @property
    def is_ok(self) -> bool:
        """Whether nothing was found."""
        return not self.found

    def lines(self) -> Iterator[str]:
        """Say what was found, the first few of each kind."""
        for kind, wrong in sorted(self.found.items()):
            yield f"  {kind}: {len(wrong)}"
            yield from (f"    {each[:200]}" for each in wrong[:SHOWN_MAX])


@dataclass
class Judge:
    """Compares three sides: what was ordered, what is booked, what the gateway has done."""

    world: World
    ledger: Ledger
    witness: Witness
    meddler: Meddler
    verdict: Verdict = field(default_factory=Verdict)

    def decide(self) -> Verdict:
        """Look at everything once all is quiet."""
        with sqlite3.connect(
            f"file:{self.world.config.state_folder}/gateway.sqlite3?mode=ro", uri=True
        ) as record:
            record.row_factory = sqlite3.Row
            self._compare_charges(record)
            self._compare_events(record)
            self._compare_payouts(record)
        self._look_for_lost_orders()
        self._look_at_payments()
        self._look_at_numbers()
        self._look_at_runs()
        self._look_at_messages()
        self._prove()
        say = self.verdict.add
        say("changed", *patiently(self.witness.list_changed))
        say("illegal move", *patiently(self.witness.list_illegal_moves))
        say("stale write", *patiently(self.witness.list_stale_writes))
        say("broken snapshot", *sorted(self.witness.broken))
        say("let in", *self.meddler.let_in)
        say("refused", *self.ledger.refused)
        return self.verdict

    def _rows(self, statement: str, *parameters: Any) -> list[Any]:
        return patiently(lambda: self.world.rows(statement, *parameters))

    # What the gateway has done

    def _compare_charges(self, record: sqlite3.Connection) -> None:
        charges = record.execute("SELECT * FROM charges").fetchall()
        kept = [row for row in charges if row["state"] == "succeeded"]
        say = self.verdict.add
        for reference, times in Counter(row["payment_ref"] for row in kept).items():
            if times > 1:
                say("charged twice", f"{reference}: {times} charges")
        charged: Counter[str] = Counter()
        totals = {row["invoice_ref"]: row["invoice_total_minor"] for row in kept}
        for row in kept:
            charged[row["invoice_ref"]] += row["amount_minor"]
        for reference, minor in charged.items():
            if minor > (totals[reference] or 0):
                say("charged twice", f"{reference}: {minor} of {totals[reference]}")
        ours = {
            row.merchant_ref: row
            for row in self._rows(
                "SELECT a.*, y.worklist FROM payment_attempts a JOIN payments y"
                " ON y.id = a.payment_id"
            )
        }
        for row in charges:
            attempt = ours.get(row["merchant_ref"])
            if attempt is None:
                say("unrecorded", f"{row['merchant_ref']}: charged and not here")
            elif attempt.worklist == "mismatch":
                if row["charge_fault"] != "amount_mismatch":
                    say("difference", f"{row['merchant_ref']}: no mismatch was ordered")
            elif (attempt.amount_minor, attempt.currency, attempt.state) != (
                row["amount_minor"], row["currency"], row["state"],
            ):  # fmt: skip
                say("difference", f"{row['merchant_ref']}: {attempt.state}, there {row['state']}")
        known = {row["merchant_ref"] for row in charges}
        for reference, attempt in ours.items():
            if attempt.state in ("succeeded", "returned", "pending") and reference not in known:
                say("difference", f"{reference}: {attempt.state}, and the gateway knows nothing")

    def _compare_events(self, record: sqlite3.Connection) -> None:
        """See that what was answered with 2xx is kept, and handled once each."""
        delivered = {
            row["event_id"]
            for row in record.execute(
                "SELECT e.event_id FROM deliveries d JOIN events e ON e.seq = d.event_seq"
                " WHERE d.delivered_at IS NOT NULL"
            )
        }
        kept = {row.event_ref for row in self._rows("SELECT event_ref FROM inbox_messages")}
        self.verdict.add("lost", *(f"event {each}" for each in sorted(delivered - kept)))

    def _compare_payouts(self, record: sqlite3.Connection) -> None:
        theirs = {
            row["gateway_ref"]: row["net_minor"] for row in record.execute("SELECT * FROM payouts")
        }
        rows = self._rows("SELECT gateway_ref, net_minor FROM payouts")
        ours = {row.gateway_ref: row.net_minor for row in rows}
        for reference in theirs.keys() | ours.keys():
            if theirs.get(reference) != ours.get(reference):
                self.verdict.add("difference", f"payout {reference}")
        twice = (
            "SELECT attempt_id, kind, count(*) AS times FROM payout_items"
            " WHERE attempt_id IS NOT NULL GROUP BY 1, 2 HAVING count(*) > 1"
        )
        for row in self._rows(twice):
            self.verdict.add("settled twice", f"{row.attempt_id} {row.kind}: {row.times}")

    # What was ordered

    def _look_for_lost_orders(self) -> None:
        recorded = Counter(
            row.reference
            for row in self._rows(
                "SELECT details->>'reference' AS reference FROM events WHERE kind ="
                " 'payment.recorded'"
            )
        )
        invoices = {
            row.id: row
            for row in self._rows(
                "SELECT i.id, i.state, count(y.id) AS payments FROM invoices i"
                " LEFT JOIN payments y ON y.invoice_id = i.id GROUP BY i.id, i.state"
            )
        }
        say = self.verdict.add
        for each in self.ledger.placed:
            found = invoices.get(each.invoice_id)
            if found is None or found.state != "issued":
                say("lost", f"{each.reference}: its invoice is not issued")
                continue
            if found.payments != 1:
                kind = "lost" if not found.payments else "made twice"
                say(kind, f"{each.reference}: {found.payments} payments")
            if each.order.way != "run":
                self._look_at_answers(each.reference, recorded[each.reference])

    def _look_at_answers(self, reference: str, times: int) -> None:
        answers = self.ledger.answers.get(reference, set())
        if times != 1:
            self.verdict.add("made twice" if times else "lost", f"{reference}: {times} records")
        if len(answers) != 1:
            self.verdict.add("answers differ", f"{reference}: {sorted(answers)}")

    def _look_at_payments(self) -> None:
        rows = self._rows("SELECT id, state, worklist, amount_minor, method FROM payments")
        for row in rows:
            waits = row.worklist is not None
            if row.state not in OVER and not waits:
                self.verdict.add("lost", f"payment {row.id} is still {row.state}")
            is_mismatched = row.amount_minor % AMOUNT_STEP == MISMATCHED
            if row.worklist in CONTESTED_WORKLISTS and not (
                is_mismatched and row.worklist in MISMATCH_WORKLISTS
            ):
                said = f"{row.id} of {row.amount_minor} is {row.state}, waits as {row.worklist}"
                self.verdict.add("lost", said)

    def _look_at_numbers(self) -> None:
        rows = self._rows(
            "SELECT series, year, array_agg(number ORDER BY number) AS numbers FROM invoices"
            " WHERE number IS NOT NULL GROUP BY series, year"
        )
        for row in rows:
            if list(row.numbers) != list(range(1, len(row.numbers) + 1)):
                self.verdict.add("number gap", f"{row.series} {row.year}")

    def _look_at_runs(self) -> None:
        """See that each item of each run has exactly one outcome, and none that is trouble."""
        rows = self._rows(
            "SELECT r.job, r.business_on, r.state, w.item_id, count(b.item_id) AS times,"
            " max(b.outcome) AS outcome FROM batch_runs r"
            " LEFT JOIN (SELECT run_id, unnest(item_ids) AS item_id FROM batch_chunks) w"
            " ON w.run_id = r.id LEFT JOIN batch_items b ON b.run_id = r.id"
            " AND b.item_id = w.item_id GROUP BY r.id, r.job, r.business_on, r.state, w.item_id"
        )
        for row in rows:
            named = f"{row.job} on {row.business_on}"
            if row.state != "completed":
                self.verdict.add("run unfinished", f"{named}: {row.state}")
            if row.item_id is not None and (row.times != 1 or row.outcome not in CALM):
                self.verdict.add("item", f"{named}: {row.item_id} {row.times} {row.outcome}")
        ordered = self._rows("SELECT id FROM batch_runs")
        if {row.id for row in ordered} != set(self.ledger.runs):
            self.verdict.add("made twice", f"{len(ordered)} runs for {len(self.ledger.runs)}")

    def _look_at_messages(self) -> None:
        overdue = (
            "SELECT {key}::text AS key, next_at FROM {table} WHERE state = 'ready'"
            " AND next_at < clock_timestamp() - make_interval(secs => %s)"
        )
        for table, key in (("messages", "id"), ("inbox_messages", "event_ref")):
            for row in self._rows(overdue.format(table=table, key=key), OVERDUE_SECONDS):
                self.verdict.add("overdue", f"{table} {row.key} since {row.next_at}")
        parked = "SELECT id, kind, last_error FROM messages WHERE state = 'parked'"
        for row in self._rows(parked):
            self.verdict.add("parked", f"{row.kind} {row.id}: {row.last_error}")

    def _prove(self) -> None:
        def report() -> Any:
            with acting_for(self.world.organisation_id):
                organisation = get_organisation(self.world.organisation_id)
            return prove(organisation, with_gateway=True)

        found = patiently(report)
        for result in found.results:
            if result.rows:
                self.verdict.add(
                    "finding", f"{result.check}: {result.rows} rows {result.sample[0]}"
                )
        for differences in found.gateways.values():
            self.verdict.add("finding", *(str(each) for each in differences))

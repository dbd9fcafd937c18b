"""Plays business dates of a seeded world through real workers and the gateway, and sums up."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from functools import partial
from typing import Any, NamedTuple
from uuid import UUID

from portal.cli.checks import prove
from portal.clock import now_utc
from portal.config import Config
from portal.db import acting_for, end_reading, transaction
from portal.domain.errors import Unavailable
from portal.domain.money import format_amount
from portal.domain.settlements import SettlementState
from portal.domain.users import Actor
from portal.queries.batches import get_run
from portal.queries.disputes import list_answerable_disputes
from portal.queries.organisations import (
    get_organisation,
    list_bank_accounts,
    list_payment_accounts,
)
from portal.queries.refunds import list_refundable_payments
from portal.queries.settlements import list_payouts
from portal.queries.summary import (
    count_disputes,
    count_documents,
    count_payments,
    count_refunds,
    count_unsettled,
    list_steps,
    sum_amounts,
)
from portal.services.batches import RunOrder, start_run
from portal.services.disputes import accept_dispute, answer_dispute
from portal.services.messages import request_events
from portal.services.refunds import RefundWish, approve_refund, request_refund
from portal.services.seed import SeededOrganisation
from portal.services.settlements import record_bank_line

OPERATOR = Actor("portal", None, "demo")
# Days after the first one on which something falls due: collections, retries, returns.
DATES_AFTER = (0, 15, 18, 23, 31, 33, 40, 47, 54, 61)
# Days after which money of some payments is given back.
REFUNDS_AFTER = (18, 40)
REFUNDS_A_DAY = 4
# Days after which payers are reminded of what is overdue.
REMINDING_AFTER = (31, 47, 61)
DISPUTES_A_DAY = 50
DAILY_JOBS = ("deposit_matching", "payment_retrying", "payment_collection", "settlement_closing")
# After these the gateway is at work, and the next job is to see what came of it.
ASKING_JOBS = ("payment_collection", "settlement_closing")
FINISHED = ("completed", "failed", "stopped", "abandoned")
POLL_SECONDS = 0.05
STUCK_SECONDS = 90.0
PAYOUTS_MAX = 50  # More than were recorded since the last morning.


GATEWAY_FIGURES = (
    "requests",
    "charges",
    "charged_twice",
    "refunds",
    "disputes",
    "notices",
    "refunded_beyond_charge",
    "faults",
)


class Stuck(Unavailable):
    """The demo waited in vain for {what}; the log above says what the workers met."""

    what: str


class Scenario(NamedTuple):
    """What is played, and whom it tells how far it is."""

    config: Config
    organisations: Sequence[SeededOrganisation]
    first_on: date
    tell: Callable[[str], None]
    approver: Actor = OPERATOR


def play(scenario: Scenario) -> None:
    """Play every business date: issue, apply, collect, try again, settle, prove."""
    for days in DATES_AFTER:
        on = scenario.first_on + timedelta(days=days)
        for job in ("invoice_issuing", *DAILY_JOBS) if days == 0 else DAILY_JOBS:
            run_everywhere(scenario, job, on)
            if job in ASKING_JOBS:
                wait_until_settled(scenario)
        if days in REMINDING_AFTER:
            run_everywhere(scenario, "reminding", on)
        answer_disputes(scenario, on)
        wait_until_settled(scenario)
        if days in REFUNDS_AFTER:
            give_back(scenario, on)
            wait_until_settled(scenario)
        for organisation in scenario.organisations:
            bring_bank_lines(organisation, on + timedelta(days=1))
    last_on = scenario.first_on + timedelta(days=DATES_AFTER[-1] + 1)
    for job in ("settlement_closing", "ledger_check"):
        run_everywhere(scenario, job, last_on)
    wait_until_settled(scenario)


def answer_disputes(scenario: Scenario, on: date) -> None:
    """Answer most disputes and accept some; one is left to whoever looks at the demo."""
    for organisation in scenario.organisations:
        with acting_for(organisation.id):
            for dispute in list_answerable_disputes(limit=DISPUTES_A_DAY)[1:]:
                actor, now = scenario.approver, now_utc()
                if dispute.id.int % 3:
                    answer_dispute(
                        dispute_id=dispute.id,
                        version=dispute.version,
                        text="The service was delivered; the meter was read.",
                        actor=actor,
                        now=now,
                    )
                else:
                    accept_dispute(
                        dispute_id=dispute.id,
                        version=dispute.version,
                        on=on,
                        actor=actor,
                        now=now,
                    )


def give_back(scenario: Scenario, on: date) -> None:
    """Give money of some payments back: small amounts at once, large ones by a second person.

    Shape: the last large one is left to whoever looks at the demo.
    """
    scenario.tell(f"{on} refunds")
    limit = scenario.config.refund_approval_minor_min
    for organisation in scenario.organisations:
        with acting_for(organisation.id):
            large = [
                refund_id
                for payment_id, amount_minor in list_refundable_payments(limit=REFUNDS_A_DAY)
                if (refund_id := _ask_back(payment_id, amount_minor, limit, on))
            ]
            for refund_id in large[:-1]:
                approve_refund(refund_id=refund_id, actor=scenario.approver, now=now_utc())


def _ask_back(payment_id: UUID, amount_minor: int, limit: int, on: date) -> UUID | None:
    """Ask for a refund, and return it when it waits for a second person."""
    # Every other one whole: both kinds of end are to be seen.
    is_whole = payment_id.int % 2 == 0
    wished_minor = amount_minor if is_whole else max(1, amount_minor // 3)
    wish = RefundWish(payment_id, wished_minor, "The payer has paid twice.")
    refund_id = request_refund(wish=wish, on=on, actor=OPERATOR, now=now_utc())
    return refund_id if wished_minor >= limit else None


def run_everywhere(scenario: Scenario, job: str, on: date) -> None:
    """Start a job for every organisation and wait for the workers to finish the runs."""
    scenario.tell(f"{on} {job}")
    runs: list[tuple[UUID, UUID]] = []
    for organisation in scenario.organisations:
        with acting_for(organisation.id):
            order = RunOrder(
                job=job, business_on=on, chunk_items_max=scenario.config.chunk_items_max
            )
            runs.append((organisation.id, start_run(order=order, actor=OPERATOR, now=now_utc())))
    for organisation_id, run_id in runs:
        with acting_for(organisation_id):
            wait_for(f"the run of {job} on {on}", partial(count_left, run_id))


def count_left(run_id: UUID) -> int:
    """Count what a run of the organisation in scope still has to do; zero when it has ended."""
    run = get_run(run_id)
    return 0 if run.state in FINISHED else 1 + run.items_count - run.handled


def wait_until_settled(scenario: Scenario) -> None:
    """Wait until no message is under way, events lost on the way included."""
    for is_second_look in (False, True):
        for organisation in scenario.organisations:
            if is_second_look:
                with transaction(organisation.id):
                    accounts = [account.id for account in list_payment_accounts()]
                    request_events(gateway_account_ids=accounts)
        for organisation in scenario.organisations:
            with acting_for(organisation.id):
                wait_for("the gateway's answers", count_unsettled)


def wait_for(what: str, count_left: Callable[[], int]) -> None:
    """Wait until nothing is left, as long as what is left goes on changing.

    Raises: Stuck.
    """
    left = count_left()
    until = time.monotonic() + STUCK_SECONDS
    while left:
        end_reading()
        time.sleep(POLL_SECONDS)
        now_left = count_left()
        if now_left != left:
            left, until = now_left, time.monotonic() + STUCK_SECONDS
        elif time.monotonic() > until:
            raise Stuck(what=what)
    end_reading()


def bring_bank_lines(organisation: SeededOrganisation, on: date) -> None:
    """Write the lines that the bank's statement of the next morning has for paid-out money."""
    with transaction(organisation.id):
        banks = {bank.currency: bank.id for bank in list_bank_accounts()}
        for payout in list_payouts(limit=PAYOUTS_MAX):
            if payout.settlement_state is not SettlementState.CLOSED and payout.net_minor:
                record_bank_line(
                    bank_account_id=banks[payout.currency],
                    bank_ref=f"BANK-{payout.gateway_ref}",
                    booked_on=on,
                    amount_minor=payout.net_minor,
                    currency=payout.currency,
                    reference=payout.gateway_ref,
                    actor=OPERATOR,
                    now=now_utc(),
                )


def summarise(scenario: Scenario, *, seed: int) -> dict[str, Any]:
    """Put together what the demo came to; money as decimal text of its currency."""
    summary: dict[str, Any] = {
        "seed": seed,
        "organisations": len(scenario.organisations),
        "invoices": {"read": 0, "issued": 0, "refused": 0},
        "payments": {"succeeded": 0, "failed": 0, "worklist": {}},
        "refunds": {},
        "disputes": {},
        "gateway": ask_gateway(scenario.config),
        "amounts": {},
        "steps": [],
        "findings": [],
    }
    amounts: dict[str, dict[str, int]] = {}
    for organisation in scenario.organisations:
        with acting_for(organisation.id):
            for name, count in count_documents().items():
                summary["invoices"][name] += count
            payments = count_payments()
            summary["payments"]["succeeded"] += payments["succeeded"]
            summary["payments"]["failed"] += payments["failed"]
            worklist = summary["payments"]["worklist"]
            for name, count in payments["worklist"].items():
                worklist[name] = worklist.get(name, 0) + count
            for noun, counted in (("refunds", count_refunds()), ("disputes", count_disputes())):
                for name, count in counted.items():
                    summary[noun][name] = summary[noun].get(name, 0) + count
            for row in sum_amounts():
                sums = amounts.setdefault(row.pop("currency"), dict.fromkeys(row, 0))
                for name, minor in row.items():
                    sums[name] += minor
            for step in list_steps():
                fields = step._asdict() | {"business_date": step.business_date.isoformat()}
                fields["seconds"] = round(step.seconds or 0.0, 3)
                summary["steps"].append({"organisation": organisation.code, **fields})
        for found in find_faults(organisation):
            summary["findings"].append({"organisation": organisation.code, **found})
    summary["amounts"] = {
        currency: {name: format_amount(minor, currency) for name, minor in sums.items()}
        for currency, sums in sorted(amounts.items())
    }
    return summary


def find_faults(organisation: SeededOrganisation) -> list[dict[str, Any]]:
    """Run every proof of an organisation, and compare with the gateway's own record."""
    report = prove(get_organisation(organisation.id), with_gateway=True)
    findings = [
        {"check": result.check, "rows": result.rows} for result in report.results if result.rows
    ]
    for code, differences in report.gateways.items():
        if differences:
            findings.append({"check": f"gateway_{code}", "rows": len(differences)})
    return findings


def ask_gateway(config: Config) -> dict[str, Any]:
    """Fetch what the gateway's own record says of the whole demo."""
    # The sandbox's own address, which the settings have checked.
    request = urllib.request.Request(  # noqa: S310
        f"{config.sandbox_url}/v1/report",
        headers={"Authorization": f"Bearer {config.sandbox_secret}"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
        report: dict[str, Any] = json.load(answer)
    return {name: report[name] for name in GATEWAY_FIGURES}

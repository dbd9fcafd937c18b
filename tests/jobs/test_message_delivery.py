import threading
import time
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from typing import Any

import pytest
from flask import Flask

from jobs import message_delivery
from jobs.gateway_calls import Account, Answers, Parcel
from jobs.message_delivery import drain_messages
from jobs.message_parcels import lease_parcel
from portal.config import Config
from portal.db import acting_for, transaction
from portal.domain.messages import MessageKind
from portal.gateways.base import AnswerKind, GatewayAnswer, PayoutReport
from portal.ids import new_id
from portal.services.brakes import pull_brake, release_brake
from portal.services.messages import request_events, request_payouts, send_message_again
from portal.services.settlements import record_payout
from portal.sql import execute
from tests import factories
from tests.factories import BUSINESS_ON, CLERK, NOW, Line, gateway_account_of, make_payment
from tests.gateways.running import (
    Receiver,
    Sandbox,
    ask,
    free_port,
    start_sandbox,
    stop_process,
)
from tests.services.books import assert_books_hold, rows
from tests.services.collecting import Case, case_of, expire, messages_of, run_together

SECRET = "a secret of these tests"
PATIENCE_SECONDS = 30.0


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    # Nobody takes its events: they are fetched, or the outcome is asked for.
    running = start_sandbox(Receiver(port=9), tmp_path_factory.mktemp("sandbox"), secret=SECRET)
    yield running
    stop_process(running.process)


@pytest.fixture
def config(app: Flask, sandbox: Sandbox) -> Config:
    app.config["PORTAL"] = app.config["PORTAL"].changed(
        sandbox_url=sandbox.url,
        sandbox_secret=SECRET,
        gateway_timeout_seconds=1.0,
        query_delays_seconds=(0.1, 0.2),
        pending_query_seconds=0.1,
        resend_delays_seconds=(0.1,),
        not_found_quiet_seconds=0.3,
        message_tries_max=3,
    )
    config: Config = app.config["PORTAL"]
    return config


@pytest.fixture
def account(config: Config) -> Account:
    """An organisation whose gateway account the sandbox has never seen."""
    code = f"harbour-{time.monotonic_ns()}"
    organisation_id = factories.make_organisation("harbour", code=code)
    factories.home.set(organisation_id)
    row = gateway_account_of()
    return Account(organisation_id, row.id, row.code, row.kind)


def collect(amount_minor: int) -> Case:
    """Start collecting an amount that tells the sandbox what to do."""
    payment = make_payment(lines=(Line(amount_minor, "4000", "E"),))
    return case_of(payment.id)


def drain_until(is_done: Callable[[], bool]) -> None:
    """Drain again and again, as ticks would, until a condition holds."""
    until = time.monotonic() + PATIENCE_SECONDS
    pause = threading.Event()
    while not is_done():
        assert time.monotonic() < until, "it never came true"
        drain_messages()
        pause.wait(0.02)


def becomes(case: Case, state: str) -> Callable[[], bool]:
    return lambda: case_of(case.payment.id).attempt.state == state


def effects_of(sandbox: Sandbox) -> int:
    return int(ask(sandbox, "/v1/report", secret=SECRET)["charged_twice"])


def lease(account: Account, config: Config) -> Parcel:
    with acting_for(account.organisation_id):
        return lease_parcel(account, config)[1]


def write(account: Account, parcel: Parcel, answers: Answers, config: Config) -> None:
    with acting_for(account.organisation_id):
        message_delivery._write(account, parcel, answers, config)


def test_a_charge_is_sent_asked_for_and_booked(account: Account, sandbox: Sandbox) -> None:
    case = collect(1_77700)

    drain_until(becomes(case, "succeeded"))

    after = case_of(case.payment.id)
    assert (after.payment.state, after.invoice.payment_status) == ("succeeded", "paid")
    assert after.attempt.gateway_ref
    assert {state for *_, state in messages_of(case.attempt)} == {"done"}
    assert drain_messages() == 0
    assert_books_hold()


def test_events_that_no_webhook_brought_are_fetched_and_handled_once(
    account: Account, config: Config, app: Flask
) -> None:
    app.config["PORTAL"] = config.changed(pending_query_seconds=3_600.0)
    case = collect(1_77700)
    drain_until(becomes(case, "pending"))

    def fetched() -> bool:
        with transaction(account.organisation_id):
            request_events(gateway_account_ids=[account.id])
        return becomes(case, "succeeded")()

    drain_until(fetched)
    drain_until(lambda: not rows("SELECT FROM messages WHERE state = 'ready'"))

    (event,) = rows("SELECT * FROM inbox_messages")
    assert (event.state, event.tries) == ("done", 1)
    assert gateway_account_of().events_cursor
    assert_books_hold()


@pytest.mark.parametrize(
    ("amount_minor", "state", "worklist"),
    [(1_77701, "scheduled", None), (1_77702, "failed", "hard_decline")],
)
def test_a_decline_is_decided_by_the_rules(
    account: Account, amount_minor: int, state: str, worklist: str | None
) -> None:
    case = collect(amount_minor)

    drain_until(becomes(case, "declined"))

    after = case_of(case.payment.id)
    assert (after.payment.state, after.payment.worklist) == (state, worklist)
    assert after.invoice.in_payment_minor == 0


@pytest.mark.parametrize(
    "amount_minor",
    [1_77711, 1_77712, 1_77713, 1_77714, 1_77715, 1_77717, 1_77718, 1_77720],
)
def test_whatever_goes_wrong_on_the_way_it_is_charged_once(
    account: Account, sandbox: Sandbox, amount_minor: int
) -> None:
    case = collect(amount_minor)

    drain_until(becomes(case, "succeeded"))

    assert case_of(case.payment.id).attempt.number == 1
    assert effects_of(sandbox) == 0
    assert_books_hold()


def test_an_answer_about_another_amount_is_for_a_person(account: Account) -> None:
    case = collect(1_77716)

    drain_until(lambda: case_of(case.payment.id).payment.worklist == "mismatch")

    after = case_of(case.payment.id)
    assert (after.attempt.state, after.invoice.in_payment_minor) == ("unknown", 1_77716)


def test_a_gateway_that_is_down_opens_the_breaker_and_the_order_is_given_up(
    account: Account, config: Config, app: Flask
) -> None:
    app.config["PORTAL"] = config.changed(sandbox_url=f"http://127.0.0.1:{free_port()}")
    cases = [collect(1_77700 + 100_000 * place) for place in range(5)]

    drain_messages()

    assert {case_of(case.payment.id).attempt.state for case in cases} == {"created"}
    assert gateway_account_of().open_until is not None
    assert {messages_of(case.attempt)[0][2] for case in cases} == {"ready"}

    def given_up() -> bool:
        expire("messages")
        expire("gateway_accounts", "open_until")
        return not rows("SELECT FROM messages WHERE state = 'ready'")

    drain_until(given_up)

    for case in cases:
        after = case_of(case.payment.id)
        assert (after.attempt.state, after.payment.worklist) == ("errored", "gateway_trouble")
        assert after.invoice.in_payment_minor == 0
        assert messages_of(case.attempt) == [(1, "gateway.charge", "parked")]


def test_after_an_outage_what_waits_is_sent(account: Account, config: Config, app: Flask) -> None:
    app.config["PORTAL"] = config.changed(
        sandbox_url=f"http://127.0.0.1:{free_port()}", resend_delays_seconds=(60.0,)
    )
    case = collect(1_77700)
    drain_messages()
    assert case_of(case.payment.id).attempt.state == "created"
    app.config["PORTAL"] = config
    expire("messages")

    drain_until(becomes(case, "succeeded"))

    first, *_ = rows("SELECT outcome FROM message_deliveries ORDER BY tried_at")
    assert first.outcome == "not_sent"


def test_the_charge_of_a_worker_that_died_is_unknown_and_then_asked_for(
    account: Account, config: Config
) -> None:
    case = collect(1_77700)
    parcel = lease(account, config)
    assert [order.merchant_ref for _, order in parcel.charges] == [case.attempt.merchant_ref]
    expire("messages")

    drain_until(becomes(case, "succeeded"))

    first, *_ = rows("SELECT outcome, error FROM message_deliveries ORDER BY tried_at")
    assert tuple(first) == ("unknown", "the worker died while sending")
    kinds = [kind for _, kind, _ in messages_of(case.attempt)]
    assert kinds.count("gateway.charge") == 2, "never seen there, so it was sent again"
    assert case_of(case.payment.id).attempt.number == 1


def test_an_answer_that_comes_after_the_lease_is_dropped(account: Account, config: Config) -> None:
    case = collect(1_77700)
    parcel = lease(account, config)
    expire("messages")
    lease(account, config)
    late = GatewayAnswer(AnswerKind.SUCCEEDED, "ch_late", 1_77700, "EUR")

    write(account, parcel, Answers([late], [], [], []), config)

    after = case_of(case.payment.id)
    assert (after.attempt.state, after.attempt.gateway_ref) == ("unknown", None)
    assert after.invoice.paid_minor == 0


def test_an_answer_that_breaks_does_not_cost_the_others_theirs(
    account: Account, config: Config
) -> None:
    cases = [collect(1_77700 + 100_000 * place) for place in range(5)]
    parcel = lease(account, config)
    assert len(parcel.charges) == 5
    answers = [
        GatewayAnswer(AnswerKind.SUCCEEDED, f"ch_{place}", order.amount_minor, "EUR")
        for place, (_, order) in enumerate(parcel.charges)
    ]
    # The gateway names two charges alike: the second cannot be believed.
    answers[3] = GatewayAnswer(AnswerKind.SUCCEEDED, "ch_1", parcel.charges[3][1].amount_minor)

    write(account, parcel, Answers(answers, [], [], []), config)

    states = {each.merchant_ref: each.state for each in rows("SELECT * FROM payment_attempts")}
    assert [states[order.merchant_ref] for _, order in parcel.charges] == [
        "succeeded", "succeeded", "succeeded", "unknown", "succeeded",
    ]  # fmt: skip
    assert {messages_of(case.attempt)[0][2] for case in cases} == {"done"}
    assert_books_hold()


def test_a_payout_that_is_told_differently_does_not_hold_up_charges(
    account: Account, config: Config
) -> None:
    case = collect(1_77700)
    report = PayoutReport("PO-1", BUSINESS_ON, "EUR", 0, 0, 0, ())
    with transaction(account.organisation_id):
        record_payout(gateway_account_id=account.id, report=report, actor=CLERK, now=NOW)
        request_payouts(gateway_account_ids=[account.id], business_on=BUSINESS_ON)
    parcel = lease(account, config)
    other = PayoutReport("PO-1", date(2026, 3, 19), "EUR", 0, 0, 0, ())
    answer = GatewayAnswer(AnswerKind.PENDING, "ch_1", 1_77700, "EUR")

    write(account, parcel, Answers([answer], [], [(other,)], []), config)

    assert case_of(case.payment.id).attempt.state == "pending"
    (message,) = rows("SELECT * FROM messages WHERE kind = 'gateway.close_day'")
    assert (message.state, message.tries) == ("ready", 1)
    assert "PO-1 with another content" in message.last_error
    assert [row.business_on for row in rows("SELECT * FROM payouts")] == [BUSINESS_ON]


def test_payouts_of_a_closed_day_are_recorded_once(account: Account) -> None:
    case = collect(1_77700)
    drain_until(becomes(case, "succeeded"))
    for _ in range(2):
        with transaction(account.organisation_id):
            request_payouts(gateway_account_ids=[account.id], business_on=BUSINESS_ON)
        drain_until(lambda: not rows("SELECT FROM messages WHERE state = 'ready'"))

    (payout,) = rows("SELECT * FROM payouts")
    assert payout.gross_minor == 1_77700
    assert len(rows("SELECT * FROM payout_items")) == 1


def test_a_return_at_the_end_of_a_day_opens_the_invoice_again(account: Account) -> None:
    case = collect(1_77706)
    drain_until(becomes(case, "succeeded"))
    with transaction(account.organisation_id):
        for on in (BUSINESS_ON, BUSINESS_ON + timedelta(days=1)):
            request_payouts(gateway_account_ids=[account.id], business_on=on)

    def returned() -> bool:
        with transaction(account.organisation_id):
            request_events(gateway_account_ids=[account.id])
        return becomes(case, "returned")()

    drain_until(returned)

    after = case_of(case.payment.id)
    assert after.invoice.open_minor == 1_77706
    assert after.attempt.return_fee_minor > 0
    (entry,) = rows("SELECT effective_on FROM ledger_entries WHERE kind = 'payment_returned'")
    assert entry.effective_on == BUSINESS_ON + timedelta(days=1)
    assert_books_hold()


def test_an_account_that_cannot_be_reached_holds_up_no_other(
    account: Account, config: Config
) -> None:
    broken = factories.make_organisation("harbour", code="broken")
    payment = make_payment(organisation_id=broken)
    with transaction(broken):
        execute("UPDATE gateway_accounts SET kind = 'carrier_pigeon'")
    case = collect(1_77700)

    drain_until(becomes(case, "succeeded"))

    stuck = factories.attempt_of(payment, organisation_id=broken)
    assert stuck.state == "created", "nothing was marked as being sent"


def test_an_account_whose_breaker_is_open_is_left_alone(account: Account, config: Config) -> None:
    case = collect(1_77700)
    with transaction(account.organisation_id):
        execute(
            "UPDATE gateway_accounts SET troubles_in_a_row = 5,"
            " open_until = clock_timestamp() + interval '1 hour'"
        )

    assert drain_messages() == 0
    assert case_of(case.payment.id).attempt.state == "created"


def test_after_an_outage_one_success_lets_everything_through_at_once(account: Account) -> None:
    cases = [collect(1_77700 + 100_000 * place) for place in range(12)]
    with transaction(account.organisation_id):
        execute(
            "UPDATE gateway_accounts SET troubles_in_a_row = 5,"
            " open_until = clock_timestamp() - interval '1 second'"
        )

    # One drain: a single probe first, then all that waits, not one for each while.
    drain_messages()

    assert {case_of(case.payment.id).attempt.state for case in cases} <= {"pending", "succeeded"}
    closed = rows("SELECT troubles_in_a_row, open_until FROM gateway_accounts")
    assert closed == [(0, None)]


def test_two_workers_deliver_each_message_once(
    account: Account, sandbox: Sandbox, app: Flask
) -> None:
    cases = [collect(1_77700 + 100_000 * place) for place in range(12)]

    run_together(app, drain_messages, drain_messages)
    drain_until(lambda: {case_of(case.payment.id).attempt.state for case in cases} == {"succeeded"})

    tries = rows("SELECT max(tries) AS most FROM messages WHERE kind = 'gateway.charge'")
    assert tries[0].most == 1
    assert effects_of(sandbox) == 0
    assert_books_hold()


def write_errand(account: Account, kind: MessageKind, **payload: str) -> Any:
    with transaction(account.organisation_id):
        return factories.insert_row(
            "messages", organisation_id=account.organisation_id, id=new_id(), sequence=1,
            aggregate_id=new_id(), kind=kind.value, gateway_account_id=account.id, payload=payload,
        )  # fmt: skip


def test_a_message_that_kills_its_workers_is_parked_and_gets_as_many_tries_when_sent_again(
    account: Account, config: Config
) -> None:
    message = write_errand(account, MessageKind.LIST_EVENTS)

    def die() -> int:
        """Lease as workers do that never come to an end, and say how often it was worked on."""
        worked = 0
        for _ in range(config.message_tries_max + 2):
            worked += len(lease(account, config).listings)
            expire("messages")
        return worked

    assert die() == config.message_tries_max
    (parked,) = rows("SELECT state, last_error FROM messages WHERE id = %s", message.id)
    assert parked.state == "parked"
    assert "no try came to an end" in parked.last_error

    with acting_for(account.organisation_id):
        send_message_again(message_id=message.id, actor=CLERK, now=NOW)
    assert die() == config.message_tries_max


def test_a_message_that_cannot_be_read_takes_no_other_with_it(account: Account) -> None:
    poison = write_errand(account, MessageKind.CLOSE_DAY, business_on="never")
    case = collect(1_77700)

    drain_until(becomes(case, "succeeded"))
    drain_until(lambda: bool(rows("SELECT FROM messages WHERE state = 'parked'")))

    (parked,) = rows("SELECT id, tries, last_error FROM messages WHERE state = 'parked'")
    assert (parked.id, parked.tries) == (poison.id, 3)
    assert "never" in parked.last_error


def test_a_gateway_that_is_asked_too_often_is_left_alone_as_long_as_it_says(
    account: Account, config: Config
) -> None:
    collect(1_77700)
    parcel = lease(account, config)
    write_errand(account, MessageKind.LIST_EVENTS)
    busy = GatewayAnswer(
        AnswerKind.NOT_SENT, error="too many", http_status=429, retry_after_seconds=30.0
    )

    write(account, parcel, Answers([busy], [], [], []), config)

    assert lease(account, config).is_empty()
    (row,) = rows(
        "SELECT extract(epoch FROM refilled_at - clock_timestamp()) AS wait FROM gateway_accounts"
    )
    assert 20 < row.wait <= 30


def test_a_braked_account_sends_nothing_and_still_learns_what_became_of_it(
    account: Account, config: Config
) -> None:
    asked = collect(1_77700)
    parcel = lease(account, config)
    lost = GatewayAnswer(AnswerKind.UNKNOWN, error="no answer")
    write(account, parcel, Answers([lost], [], [], []), config)
    waiting = collect(1_77700)
    with acting_for(account.organisation_id):
        brake_id = pull_brake(reason="Odd answers.", hold_seconds=3600, actor=CLERK, now=NOW)

    drain_until(
        lambda: bool(
            rows(
                "SELECT FROM message_deliveries d JOIN messages m ON m.id = d.message_id"
                " WHERE m.kind = 'gateway.query'"
            )
        )
    )

    assert case_of(asked.payment.id).attempt.queries_count > 0
    assert case_of(waiting.payment.id).attempt.state == "created"
    with acting_for(account.organisation_id):
        release_brake(brake_id=brake_id, actor=CLERK, now=NOW)
    drain_until(becomes(waiting, "succeeded"))

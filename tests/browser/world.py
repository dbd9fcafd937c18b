"""A small world with something behind every address, and the one table that fills addresses.

A new page whose address names a new kind of thing needs a line in `MAKERS`, and nothing else.
"""

from __future__ import annotations

from calendar import month_abbr
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

from flask import Flask, render_template_string
from flask_wtf import FlaskForm
from wtforms import (
    BooleanField,
    DecimalField,
    RadioField,
    SelectChoice,
    SelectField,
    StringField,
    TextAreaField,
)
from wtforms.validators import InputRequired

from portal.api.catalogue import list_errors
from portal.api.description import describe_api
from portal.clock import now_utc
from portal.db import transaction
from portal.domain.batches import ItemOutcome, RunState
from portal.domain.schedules import OnHoliday
from portal.domain.sequences import Step, StepCondition
from portal.domain.users import Permission, Role
from portal.paths import ROOT
from portal.queries.events import EVENT_ID_SQL
from portal.services.brakes import pull_brake
from portal.services.cases import Limits, close_case, watch
from portal.services.payments import ResultKind
from portal.services.schedules import ScheduleWish, add_schedule, start_due_runs
from portal.services.sequences import SequenceWish, add_sequence, start_sequence
from portal.services.users import add_user
from portal.sql import execute, fetch
from portal.web.access import require
from portal.web.charts import Series, bar_chart, line_chart
from portal.web.errors import WORDS, render_error
from tests import factories
from tests.browser.rules import fill_rules
from tests.factories import (
    EARLIER_ON,
    Line,
    answer_attempt,
    attempt_of,
    make_credit_note,
    make_deposit,
    make_draft_invoice,
    make_issued_invoice,
    make_payment,
    make_succeeded_payment,
)
from tests.services.disputing import make_dispute
from tests.services.noticing import make_told
from tests.services.refunding import make_refund
from tests.services.reminding import make_reminders
from tests.services.settling import make_payouts
from tests.web.conftest import make_worked_run

PASSWORD = "four quiet harbour boats"
FULL, EMPTY, AUDITOR = "mara@harbour.example", "finn@rivertown.example", "ada@harbour.example"
# Addresses that answer with no page; they are asked for, but not looked at.
NO_PAGES = {"static", "assets.stylesheet", "health.show"}
GALLERY = ROOT / "tests" / "browser" / "gallery.html"
MONTHS = [f"{month_abbr[number]} 2026" for number in range(1, 13)]
ADDRESS_ROWS = 60
SHEET = {
    "totals": [
        {"by": by, "value": value, "currency": "EUR", "items_count": 3, "sum_minor": 12_345_678_900}
        for by, value in (("currency", "EUR"), ("kind", "invoice"), ("month", "2026-03"))
    ],
    "warnings": [{"code": "count_differs", "items_count": 3}],
    "previous": {"number": 1, "items_count": 8, "sum_minor": 95_200},
}


@dataclass
class World:
    """The application with its rows, and where it is served."""

    app: Flask
    organisation_id: UUID
    rows: dict[str, list[Any]] = field(default_factory=dict)
    address: str = ""

    def addresses(self) -> list[str]:
        """List the address of every page, filled with things that exist.

        Raises: AssertionError naming the arguments that no maker fills.
        """
        found: list[str] = []
        unfilled: set[str] = set()
        with self.app.test_request_context():
            for rule in self.app.url_map.iter_rules():
                is_page = "GET" in (rule.methods or ()) and not rule.rule.startswith("/api/v1")
                if not is_page or rule.endpoint in NO_PAGES:
                    continue
                unknown = rule.arguments - MAKERS.keys()
                if unknown:
                    unfilled |= {f"{name} of {rule.rule}" for name in unknown}
                    continue
                found += [self.app.url_for(rule.endpoint, **one) for one in self._values(rule)]
        assert not unfilled, f"no maker in {__name__} fills {sorted(unfilled)}"
        return sorted({*found, *(address for make in FURTHER for address in make(self))})

    def _values(self, rule: Any) -> Iterator[dict[str, Any]]:
        made = {name: MAKERS[name](self) for name in rule.arguments}
        for at in range(max(map(len, made.values()), default=1)):
            yield {name: values[min(at, len(values) - 1)] for name, values in made.items()}


def _ids(noun: str) -> Callable[[World], list[Any]]:
    return lambda world: [row.id for row in world.rows[noun]]


# Argument of an address → the values that are tried, one page each.
MAKERS: dict[str, Callable[[World], list[Any]]] = {
    "run_id": _ids("runs"),
    "schedule_id": _ids("schedules"),
    "sequence_id": _ids("sequences"),
    "sequence_run_id": _ids("sequence_runs"),
    "invoice_id": _ids("invoices"),
    "payment_id": _ids("payments"),
    "attempt_id": _ids("attempts"),
    "payer_id": _ids("payers"),
    "message_id": _ids("messages"),
    "inbox_message_id": _ids("inbox_messages"),
    "brake_id": _ids("brakes"),
    "case_id": _ids("cases"),
    "gateway_account_id": _ids("gateway_accounts"),
    "refund_id": _ids("refunds"),
    "dispute_id": _ids("disputes"),
    "reminder_id": _ids("reminders"),
    "payout_id": lambda world: world.rows["payouts"],
    "event_id": lambda world: world.rows["events"],
    "rehearsal_id": _ids("rehearsals"),
    "rule_set_version": lambda world: world.rows["rule_set_versions"],
    "place": lambda _: [0, 2],
    "clause_code": lambda _: ["C201", "C302", "V115"],
    "status": lambda _: list(WORDS),
    "code": lambda _: [error.code for error in list_errors()[:1]],
    "noun": lambda _: [tag["name"] for tag in describe_api()["tags"][:2]],
}
# Addresses with questions that change what is shown.
FURTHER: list[Callable[[World], list[str]]] = [
    lambda _: ["/?period=none", "/nothing", "/runs?before=x", "/runs/new/nothing"],
    lambda _: ["/schedules/new?when=own&rule=daily", "/schedules/new?when=monthly&at=06:00&day=31"],
    lambda _: ["/rules/2/changes?from=1", "/rules/3/test?stage=remind&on=2026-03-18&lines-0-net=x"],
    lambda _: ["/rules/2/test?stage=issue&on=2026-03-18&lines-0-net=5&lines-0-tax_code=S"],
    lambda _: ["/invoices?find=status:overdue", "/invoices?find=wrong:word", "/search?q=INV"],
]


@contextmanager
def build_world(app: Flask) -> Iterator[World]:
    """Fill two organisations, one of them with nothing, and add pages that only tests have."""
    with app.app_context():
        harbour = factories.make_organisation("harbour")
        rivertown = factories.make_organisation("rivertown")
        token = factories.home.set(harbour)
        world = World(app, harbour)
        _fill(world)
        for email, role, organisation in (
            (FULL, Role.MANAGER, harbour),
            (EMPTY, Role.MANAGER, rivertown),
            (AUDITOR, Role.AUDITOR, harbour),
        ):
            further = [(rivertown, Role.AUDITOR)] if email == FULL else []
            add_user(
                email=email,
                name="Mara Weber",
                password=PASSWORD,
                memberships=[(organisation, role), *further],
                now=now_utc(),
            )
        factories.home.reset(token)
    add_gallery(app)
    yield world
    with app.app_context():
        from portal.extensions import db
        from portal.queue import open_redis

        db.session.remove()
        db.engine.dispose()
        open_redis().close()


def _fill(world: World) -> None:
    """Make one of each kind and state that pages show differently."""
    # Large amounts and long names are where narrow screens break.
    payer = factories.make_payer(name="Directorate for Parks, Gardens and Waterways of the North")
    large = make_issued_invoice(
        business_on=EARLIER_ON, lines=(Line(12_345_678_900),), payer_id=payer.id
    )
    succeeded = make_succeeded_payment()
    processing = make_payment()
    failing = make_payment()
    failed = answer_attempt(attempt_of(failing), ResultKind.DECLINE, reason_code="AM04")
    draft, credit = make_draft_invoice(), make_credit_note()
    for _ in range(ADDRESS_ROWS):
        make_draft_invoice(payer_id=payer.id)
    make_deposit()
    done, wrong = ItemOutcome.DONE, ItemOutcome.FAILED
    runs = [
        make_worked_run(done, done, wrong, items_count=8, job="payment_collection"),
        make_worked_run(done, wrong, state=RunState.STOPPED),
        make_worked_run(done, wrong, state=RunState.COMPLETED),
        make_worked_run(state=RunState.AWAITING_APPROVAL, items_count=3, sheet=SHEET),
    ]
    with transaction(world.organisation_id):
        schedules = _add_schedules()
        sequences, sequence_runs = _add_sequences()
        payers = fetch("SELECT * FROM payers ORDER BY id LIMIT 2")
    start_due_runs()
    world.rows = {
        "runs": runs,
        "schedules": schedules,
        "sequences": sequences,
        "sequence_runs": sequence_runs,
        "invoices": [large, draft, credit],
        "payments": [succeeded, processing, failing],
        "attempts": [attempt_of(succeeded), failed],
        "payers": [payer, *payers[1:]],
    }
    _fill_refunds(world)
    _fill_operations(world)
    world.rows |= fill_rules(world.organisation_id)
    with transaction(world.organisation_id):
        # One that says what was before and after, and one of a machine.
        events = fetch(
            f"SELECT DISTINCT ON (kind) {EVENT_ID_SQL} AS id FROM events"
            " WHERE kind IN ('schedule.added', 'invoice.issued') ORDER BY kind"
        )
    world.rows["events"] = [event.id for event in events]


def _fill_refunds(world: World) -> None:
    """Make refunds and disputes in the states that look different."""
    world.rows["refunds"] = [
        make_refund("requested", amount_minor=11_900),
        make_refund("succeeded"),
        make_refund("failed"),
    ]
    world.rows["reminders"] = [*make_reminders(1), *make_told("parked", "done")]
    world.rows["payouts"] = list(make_payouts().values())
    world.rows["disputes"] = [
        make_dispute("needs_response"),
        make_dispute("under_review"),
        make_dispute("won"),
        make_dispute("lost"),
    ]


def _fill_operations(world: World) -> None:
    """Make a parked message each way, and a brake that holds and thus shows on every page."""
    with transaction(world.organisation_id):
        messages = fetch(
            "UPDATE messages SET state = 'parked', tries = 8, last_error = 'HTTP 503 for hours'"
            " WHERE id = (SELECT id FROM messages ORDER BY id LIMIT 1) RETURNING *"
        )
        arrived = factories.make_inbox_message(state="parked", last_error="no attempt is ours")
        brake_id = pull_brake(
            reason="The gateway answers with amounts that nobody has ordered; support is asked.",
            hold_seconds=7 * 86_400,
            job="ledger_check",
            actor=factories.CLERK,
            now=now_utc(),
        )
    world.rows |= {
        "messages": messages,
        "inbox_messages": [arrived],
        "brakes": [factories.read_row("brakes", brake_id)],
        "cases": _add_cases(),
        "gateway_accounts": [factories.gateway_account_of()],
    }


def _add_cases() -> list[Any]:
    """Make a case of whatever could be late here, one of them with all it can say, one closed."""
    with transaction(factories.home.get()):
        watch(limits=Limits(0, 0, 0, 0, 0, 0, 0), now=now_utc())
        cases = fetch("SELECT DISTINCT ON (kind) * FROM cases ORDER BY kind, id")
        reason = "The bank has found the money; it is booked by hand on the day it came."
        close_case(case_id=cases[0].id, reason=reason, actor=factories.CLERK, now=now_utc())
    large = factories.make_open_case(
        kind="amount_differs",
        subject_type="gateway_record",
        subject_name="a-reference-of-another-system-that-is-as-long-as-references-may-become",
        amount_minor=12_345_678_900,
        details={"ours": "12345678900 EUR", "theirs": ""},
    )
    return [*cases[:3], large]


def _add_sequences() -> tuple[list[Any], list[Any]]:
    """Make a sequence that stopped between two steps, and one that was never started."""
    steps = [Step("ledger_check"), Step("invoice_issuing", StepCondition.CLEAN)]
    name = "Everything at the end of the month, as the council has decided"
    for wish in (SequenceWish(name, steps), SequenceWish("Short", steps[:1])):
        add_sequence(wish=wish, actor=factories.CLERK, now=now_utc())
    sequences = fetch("SELECT id FROM sequences ORDER BY name")
    asked = {"sequence_id": sequences[0].id, "business_on": EARLIER_ON}
    begun = start_sequence(**asked, actor=factories.CLERK, now=now_utc())
    execute(
        "UPDATE sequence_runs SET state = 'stopped', reason = %s WHERE id = %s",
        ("Run 7 was stopped; step 2 (issue invoices) was not started.", begun),
    )
    return sequences, fetch("SELECT id FROM sequence_runs")


def _add_schedules() -> list[Any]:
    """Make a schedule with a past, and a paused one with long words."""
    now = now_utc()
    add_schedule(
        wish=ScheduleWish("Prove the books", "ledger_check", "*/15 * * * *", OnHoliday.ANYWAY),
        actor=factories.CLERK,
        now=now - timedelta(hours=1),
    )
    long = "Collect what is due from the Directorate for Parks, Gardens and Waterways"
    add_schedule(
        wish=ScheduleWish(long, "payment_collection", "0 6 1,15,L 3,6,9,12 *", OnHoliday.NEXT),
        is_active=False,
        actor=factories.CLERK,
        now=now,
    )
    return fetch("SELECT id FROM schedules ORDER BY name")


class GalleryForm(FlaskForm):  # type: ignore[misc]  # it carries no types
    """A field of every kind."""

    payer = StringField("Payer", [InputRequired("Name the payer.")])
    amount = DecimalField("Amount", [InputRequired("Enter an amount.")])
    method = SelectField(
        "Method",
        choices=[SelectChoice("desk", "Cash desk"), SelectChoice("transfer", "Bank transfer")],
    )
    start = RadioField(
        "Start", choices=[SelectChoice("now", "Now"), SelectChoice("later", "Later")]
    )
    note = TextAreaField("Note")
    tell = BooleanField("Tell me when it is done")


def add_gallery(app: Flask) -> None:
    """Add the page of all components, a dialog, and a page for each error."""
    template = GALLERY.read_text("utf-8")

    @require(Permission.SIGNED_IN)
    def show_gallery() -> str:
        form = GalleryForm()
        form.validate()
        values = [26_411_230, 28_145_510, 30_120_095, -2_981_170] * 3
        return render_template_string(
            template, form=form, now=now_utc(), states=list(RunState)[1:7],
            bars=bar_chart(
                MONTHS,
                [
                    Series("Invoiced", values, [f"/gallery?m={at}" for at in range(12)]),
                    Series("Collected", [value * 9 // 10 for value in values]),
                ],
                say=str,
                say_tick=lambda value: f"{value // 1_000_000}M",
            ),
            lines=line_chart(
                MONTHS, [Series("First try", range(40, 52)), Series("Later", range(41, 53))],
                say=lambda value: f"{value} %",
            ),
        )  # fmt: skip

    @require(Permission.SIGNED_IN)
    def show_dialog() -> str:
        return render_template_string(
            '{% from "components/detail.html" import confirm with context %}'
            '{% call confirm("Void this invoice?", "/gallery", "Void", "/gallery", is_part=true) %}'
            "<p>A credit note is issued.</p>{% endcall %}"
        )

    @require(Permission.SIGNED_IN)
    def show_error(status: int) -> Any:
        return render_error(status)

    app.add_url_rule("/gallery", "gallery", show_gallery)
    app.add_url_rule("/gallery/void", "gallery_dialog", show_dialog)
    app.add_url_rule("/broken/<int:status>", "broken", show_error)

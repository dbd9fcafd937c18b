"""The list of invoices at size: any single filter, any order, any depth, against an empty page."""

import statistics
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import NamedTuple
from urllib.parse import urlencode
from uuid import UUID

from flask.testing import FlaskClient

from portal.clock import now_utc
from portal.config import Config
from portal.db import acting_for, transaction
from portal.domain.users import Role
from portal.ids import public_id
from portal.queries.tables import INVOICE_TABLE, TableRequest, parse_request, read_page
from portal.queries.tables._cursor import Cursor, write_cursor
from portal.queries.tables._select import write_every
from portal.services.users import add_user, sign_in
from portal.sql import execute, fetch_plain
from tests.bench.batches import timed
from tests.bench.world import ON, analyse, bench_app, make_organisation

PASSWORD = "nine patient rowing swans"
REPEATS = 5
# What a page may take beyond an empty one, nineteen of twenty of each, and how soon what is counted
# must follow.
MARGIN_SECONDS = 0.005
COUNTED_SECONDS = 0.15
# What a browser asks for after a page that has more rows than it shows.
COUNTING = {"HX-Request": "true", "HX-Target": "totals"}
MONTHS = 24
PAYERS_SHARE = 10
# Of a hundred documents; the rest is paid.
_STATES = """
CASE WHEN n %% 100 < 4 THEN 'draft' WHEN n %% 100 < 6 THEN 'discarded'
  WHEN n %% 100 < 8 THEN 'voided' ELSE 'issued' END
"""


class Case(NamedTuple):
    """One page to be asked for."""

    words: str
    arguments: list[tuple[str, str]]


def bench_lists(size: int) -> None:
    """Measure pages of the list and print how they stand to an empty page."""
    with bench_app() as (app, config):
        organisation_id = make_organisation("lists")
        empty_id = make_organisation("empty")
        _make_documents(organisation_id, size, config)
        cases = list(_list_cases(organisation_id))
        with acting_for(organisation_id):
            queries = [(case, _measure(_query(case))) for case in cases]
        _say("the statement of a page", queries, MARGIN_SECONDS)
        client = app.test_client()
        empty_token, token = _sign_in(empty_id), _sign_in(organisation_id)
        pages, empties = [], []
        for case in cases:
            pages.append((case, _measure(_visit(client, token, case))))
            # In turns: what else the machine does meets both alike.
            empties += _measure(_visit(client, empty_token, Case("empty", [])))
        p50, p95 = _shares(empties)
        print(f"{'an empty page of the same app':<40} {_milliseconds(p50, p95)}")
        _say("a page as it is shown first", pages, p95 + MARGIN_SECONDS)
        beyond = [ours - theirs for ours, theirs in zip(_turns(pages), (p50, p95), strict=True)]
        print(f"{'    beyond an empty page':<40} {_milliseconds(*beyond)}")
        counts = [(case, _measure(_visit(client, token, case, is_counted=True))) for case in cases]
        _say("the totals and facets that follow it", counts, COUNTED_SECONDS)


def _say(words: str, measured: list[tuple[Case, list[float]]], limit: float) -> None:
    within = sum(statistics.median(each) <= limit for _, each in measured)
    print(
        f"{words:<40} {len(measured)} cases, {_milliseconds(*_turns(measured))}"
        f" (target for p95 {limit * 1000:.1f} ms, {within} of them within it)"
    )
    for case, each in sorted(measured, key=lambda one: -statistics.median(one[1]))[:5]:
        print(f"    slowest: {statistics.median(each) * 1000:>7.1f} ms  {case.words}")


def _turns(measured: list[tuple[Case, list[float]]]) -> tuple[float, float]:
    return _shares([seconds for _, each in measured for seconds in each])


def _shares(turns: list[float]) -> tuple[float, float]:
    """Return what half of the turns, and nineteen of twenty, took at most."""
    hundredths = statistics.quantiles(turns, n=100)
    return hundredths[49], hundredths[94]


def _milliseconds(p50: float, p95: float) -> str:
    return f"p50 {p50 * 1000:.1f} ms, p95 {p95 * 1000:.1f} ms"


def _measure(work: Callable[[], object]) -> list[float]:
    """Time a few turns, after one that warms up."""
    work()
    return [timed(work) for _ in range(REPEATS)]


def _query(case: Case) -> Callable[[], object]:
    request = parse_request(INVOICE_TABLE, case.arguments, today=ON, currency="EUR")
    return lambda: read_page(INVOICE_TABLE, request)


def _visit(
    client: FlaskClient, token: str, case: Case, *, is_counted: bool = False
) -> Callable[[], object]:
    counted = [("totals", "exact")] if is_counted else []
    address = f"/invoices?{urlencode([*case.arguments, *counted])}"
    headers = COUNTING if is_counted else None
    with client.session_transaction() as session:
        session["token"] = token

    def visit() -> None:
        answer = client.get(address, headers=headers)
        assert answer.status_code == 200, answer.text

    return visit


def _sign_in(organisation_id: UUID) -> str:
    email = f"{organisation_id.hex}@portal.example"
    add_user(
        email=email,
        name="Bench",
        password=PASSWORD,
        memberships=[(organisation_id, Role.MANAGER)],
        now=now_utc(),
    )
    return sign_in(email=email, password=PASSWORD, now=now_utc())


def _list_cases(organisation_id: UUID) -> Iterator[Case]:
    """Combine each single filter with each order at its beginning, its middle and its end."""
    for filters in _list_filters(organisation_id):
        for column in INVOICE_TABLE.sortable():
            for sign in ("", "-"):
                sort = ("sort", f"{sign}{column.name}")
                words = " ".join(f"{name}={text}" for name, text in [*filters, sort])
                yield Case(words, [*filters, sort])
                yield from _list_deep(organisation_id, filters, sort, words)


def _list_deep(
    organisation_id: UUID, filters: list[tuple[str, str]], sort: tuple[str, str], words: str
) -> Iterator[Case]:
    request = _request(organisation_id, [*filters, sort])
    column, _ = request.order(INVOICE_TABLE)
    statement, parameters = write_every(INVOICE_TABLE, request)
    with acting_for(organisation_id):
        ((count,),) = fetch_plain(f"SELECT count(*) FROM ({statement}) AS every", parameters)
        for name, offset in (("middle", count // 2), ("end", count - 60)):
            if count < 120:
                continue
            (row,) = fetch_plain(f"{statement} OFFSET {offset} LIMIT 1", parameters)
            keys = len(column.keys)
            place = Cursor(request.sort, is_backward=False, values=row[:keys], id=row[keys])
            yield Case(f"{words} at its {name}", [*filters, sort, ("cursor", write_cursor(place))])


def _request(organisation_id: UUID, arguments: list[tuple[str, str]]) -> TableRequest:
    with acting_for(organisation_id):
        return parse_request(INVOICE_TABLE, arguments, today=ON, currency="EUR")


def _list_filters(organisation_id: UUID) -> list[list[tuple[str, str]]]:
    with acting_for(organisation_id):
        ((payer_id,),) = fetch_plain("SELECT id FROM payers ORDER BY number OFFSET 7 LIMIT 1")
        ((default_id,),) = fetch_plain("SELECT id FROM payers WHERE is_default")
        ((number,),) = fetch_plain("SELECT number FROM invoices WHERE number IS NOT NULL LIMIT 1")
    month = (ON - timedelta(days=200)).replace(day=1)
    statuses = ("open", "overdue", "draft", "paid", "partially_paid", "credit_used", "voided")
    return [
        [],
        *([("status", status)] for status in statuses),
        [("kind", "credit_note")],
        [("kind", "charge")],
        [("issued", "this-month")],
        [("issued", "last-year")],
        [("due[gte]", month.isoformat()), ("due[lt]", (month + timedelta(days=31)).isoformat())],
        [("total[gte]", "900.00")],
        [("total[lt]", "20.00")],
        [("open[gt]", "0")],
        [("payer", public_id("payer", payer_id))],
        [("payer", public_id("payer", default_id))],
        [("text", f"INV-2026-{number}")],
        [("text", "payer 77")],
    ]


def _make_documents(organisation_id: UUID, size: int, config: Config) -> None:
    """Write documents of two years in the order of their days, as the years would have."""
    with transaction(organisation_id):
        execute(
            "INSERT INTO payers (organisation_id, id, external_ref, name, name_sort, kind,"
            " is_default) SELECT %s, uuidv7(), 'P' || n, 'Payer ' || n, 'payer ' || n, 'person',"
            " n = 1 FROM generate_series(1, %s::int) n",
            (organisation_id, max(10, size // PAYERS_SHARE)),
        )
        payers = [row[0] for row in fetch_plain("SELECT id FROM payers ORDER BY number")]
        execute(
            f"""
            INSERT INTO invoices (organisation_id, id, currency, kind, state, payer_id, series,
              year, number, external_ref, document_on, issued_on, due_on, net_minor, tax_minor,
              total_minor, paid_minor, in_payment_minor, applied_minor)
            SELECT %(organisation)s, uuidv7(), CASE WHEN n %% 10 = 3 THEN 'GBP' ELSE 'EUR' END,
              kind, state, payer_id, CASE kind WHEN 'credit_note' THEN 'CN' ELSE 'INV' END,
              CASE WHEN is_numbered THEN extract(year FROM day) END,
              CASE WHEN is_numbered THEN n END, 'R' || n, day, CASE WHEN is_numbered THEN day END,
              CASE WHEN is_numbered THEN day + 30 END, total, 0, total,
              CASE WHEN state = 'issued' AND kind <> 'credit_note' THEN CASE
                WHEN age > 60 AND n %% 13 > 0 THEN total WHEN n %% 7 = 0 THEN total / 2 ELSE 0 END
                ELSE 0 END,
              0,
              CASE WHEN state = 'issued' AND kind = 'credit_note' THEN
                CASE WHEN n %% 9 = 0 THEN 0 ELSE total END ELSE 0 END
            FROM (
              SELECT n, day, state, kind, state IN ('issued', 'voided') AS is_numbered,
                %(on)s::date - day AS age, 100 + (n * 7919 %% 99991) AS total,
                CASE WHEN n %% 12 = 0 THEN (%(payers)s::uuid[])[1]
                  ELSE (%(payers)s::uuid[])[1 + n %% %(payers_count)s] END AS payer_id
              FROM (
                SELECT n, {_STATES} AS state,
                  CASE WHEN n %% 8 = 1 THEN 'credit_note' WHEN n %% 997 = 0 THEN 'charge'
                    ELSE 'invoice' END AS kind,
                  %(on)s::date - ((%(size)s - n) * {MONTHS * 30} / %(size)s)::int AS day
                FROM generate_series(1, %(size)s::int) n
              ) AS documents
            ) AS dated ORDER BY n
            """,
            {
                "organisation": organisation_id,
                "size": size,
                "on": ON,
                "payers": payers,
                "payers_count": len(payers),
            },
        )
    analyse(config)

"""The policies P101 to P106 and P111 to P115, the reasons, and the pouring of credits."""

from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.policies import (
    HARD_DECLINE,
    NEEDS_PAYER,
    RETRIES_EXHAUSTED,
    apportion,
    p101_retry_after_days,
    p102_credits_are_applied_in_order,
    p103_deposit_is_set_off,
    p104_collected_amount_is_at_least,
    p105_collection_begins_around_due_date,
    p106_reminded_amount_is_at_least,
    p111_named_revenue_is_paid_first,
    p112_reminders_rise_by_level,
    p113_small_difference_is_tolerated,
    p114_refund_needs_a_second_person,
    p115_run_needs_a_second_person,
)
from rules.reasons import NEVER_RETRIED, REASONS, ReasonClass, find_reason
from rules.types import (
    Allocation,
    InvoiceFacts,
    OpenInvoiceFacts,
    PaymentFacts,
    RetryDecision,
    SourceFacts,
)

DAY = date(2026, 3, 2)  # a Monday
NO_HOLIDAYS: frozenset[date] = frozenset()
PAYMENT = PaymentFacts(
    payment_id="1",
    amount_minor=5000,
    currency="EUR",
    attempt_number=1,
    reason_code="AM04",
    reason_kind="return",
    business_date=DAY,
    first_attempt_on=DAY,
)
INVOICE = InvoiceFacts(
    invoice_id="1",
    kind="invoice",
    currency="EUR",
    payer_kind="company",
    payer_ref="P-1",
    has_default_payer=False,
    external_ref=None,
    purchase_order_ref=None,
    document_on=None,
    business_date=DAY,
    is_duplicate=False,
    lines=(),
    open_minor=100,
    due_on=DAY,
)


def _decide(policy: dict[str, Any] | None = None, **over: Any) -> RetryDecision:
    terms: dict[str, Any] = {"attempts_max": 4, "days_between": (3, 5, 7), "holidays": NO_HOLIDAYS}
    return p101_retry_after_days(PAYMENT._replace(**over), **(terms | (policy or {})))


@pytest.mark.parametrize(("number", "days"), [(1, 3), (2, 5), (3, 7)])
def test_p101_waits_the_agreed_days(number: int, days: int) -> None:
    decision = _decide({"on_business_days": False}, attempt_number=number)
    assert decision.action == "retry"
    assert decision.worklist is None
    assert decision.next_on == DAY + timedelta(days=days)
    assert decision.explanation.startswith("There was not enough money in the account.")


def test_p101_moves_to_a_business_day() -> None:
    # Five days after Monday is a Saturday, and the Monday after it a holiday.
    decision = _decide({"holidays": frozenset({date(2026, 3, 9)})}, attempt_number=2)
    assert decision.next_on == date(2026, 3, 10)


def test_p101_repeats_the_last_gap() -> None:
    decision = _decide({"attempts_max": 9, "on_business_days": False}, attempt_number=6)
    assert decision.next_on == DAY + timedelta(days=7)


def test_p101_ends_when_the_attempts_are_used() -> None:
    decision = _decide(attempt_number=4)
    assert (decision.action, decision.next_on, decision.worklist) == (
        "fail",
        None,
        RETRIES_EXHAUSTED,
    )
    assert "All 4 agreed attempts are used." in decision.explanation


def test_p101_ends_when_the_first_attempt_is_long_ago() -> None:
    long_ago = DAY - timedelta(days=28)
    assert _decide({"days_total_max": 31}, first_attempt_on=long_ago).action == "retry"
    late = _decide({"days_total_max": 30}, first_attempt_on=long_ago)
    assert (late.action, late.worklist) == ("fail", RETRIES_EXHAUSTED)


@pytest.mark.parametrize("code", sorted(NEVER_RETRIED))
def test_p101_never_retries_without_mandate_or_account(code: str) -> None:
    assert find_reason(code).reason_class is ReasonClass.HARD
    assert _decide({"attempts_max": 15}, reason_code=code).worklist == HARD_DECLINE


@pytest.mark.parametrize(
    ("code", "worklist"),
    [
        ("AM04", None),
        ("MS03", None),
        ("51", None),
        ("05", None),
        ("61", None),
        ("insufficient_funds", None),
        ("AC01", HARD_DECLINE),
        ("AC06", HARD_DECLINE),
        ("MD07", HARD_DECLINE),
        ("14", HARD_DECLINE),
        ("41", HARD_DECLINE),
        ("43", HARD_DECLINE),
        ("MD06", NEEDS_PAYER),
        ("MS02", NEEDS_PAYER),
        ("54", NEEDS_PAYER),
        ("expired_card", NEEDS_PAYER),
        ("never heard of", HARD_DECLINE),
        ("", HARD_DECLINE),
    ],
)
def test_each_reason_leads_to_its_work_list(code: str, worklist: str | None) -> None:
    assert _decide(reason_code=code).worklist == worklist


def test_reasons_are_sentences_and_each_code_has_one_class() -> None:
    assert len(REASONS) > 70
    for code, reason in REASONS.items():
        assert reason.code == code
        assert reason.sentence[0].isupper()
        assert reason.sentence.endswith(".")


def _source(
    kind: Any, name: str, minor: int, *, days: int = 0, consent: bool = True
) -> SourceFacts:
    return SourceFacts(kind, name, minor, DAY + timedelta(days=days), consent)


def _invoice(name: str, minor: int, due: int = 0) -> OpenInvoiceFacts:
    return OpenInvoiceFacts(name, minor, DAY + timedelta(days=due), DAY, minor)


def test_p102_orders_sources_by_kind_age_and_id() -> None:
    sources = [
        _source("deposit", "d", 1),
        _source("payer_credit", "b", 1),
        _source("payer_credit", "a", 1),
        _source("payer_credit", "old", 1, days=-1),
        _source("credit_note", "c", 1, days=5),
    ]
    usable, _ = p102_credits_are_applied_in_order(sources, [])
    assert [source.id for source in usable] == ["c", "old", "a", "b", "d"]
    named, _ = p102_credits_are_applied_in_order(sources, [], source_order=("deposit",))
    assert [source.id for source in named] == ["d"]


@pytest.mark.parametrize(
    ("order", "ids"),
    [("oldest_due", ["b", "a", "c"]), ("smallest", ["a", "b", "c"]), ("largest", ["c", "b", "a"])],
)
def test_p102_orders_invoices_as_agreed(order: Any, ids: list[str]) -> None:
    invoices = [_invoice("a", 100, due=2), _invoice("b", 200, due=1), _invoice("c", 300, due=3)]
    _, ordered = p102_credits_are_applied_in_order([], invoices, invoice_order=order)
    assert [invoice.id for invoice in ordered] == ids


def test_p103_needs_consent_and_the_minimum() -> None:
    assert p103_deposit_is_set_off(_source("deposit", "d", 500), minimum_minor=500)
    assert not p103_deposit_is_set_off(_source("deposit", "d", 499), minimum_minor=500)
    assert not p103_deposit_is_set_off(_source("deposit", "d", 500, consent=False))


def test_p104_and_p106_leave_small_amounts_alone() -> None:
    for check in (p104_collected_amount_is_at_least, p106_reminded_amount_is_at_least):
        assert check(INVOICE, minimum_minor=100) is None
        assert "below 1.01 EUR" in (check(INVOICE, minimum_minor=101) or "")


@pytest.mark.parametrize(
    ("days_before", "days_after", "first_day"), [(0, 0, 0), (5, 0, -5), (0, 2, 2)]
)
def test_p105_collects_from_the_agreed_day_on(
    days_before: int, days_after: int, first_day: int
) -> None:
    def message(day: int) -> str | None:
        facts = INVOICE._replace(business_date=DAY + timedelta(days=day))
        return p105_collection_begins_around_due_date(
            facts, days_before=days_before, days_after=days_after
        )

    assert message(first_day) is None
    assert message(first_day + 40) is None
    begins_on = DAY + timedelta(days=first_day)
    assert message(first_day - 1) == f"The invoice is not collected before {begins_on}."


def test_p105_needs_a_due_date() -> None:
    assert p105_collection_begins_around_due_date(INVOICE._replace(due_on=None)) is not None


def test_sources_are_poured_into_invoices_in_order() -> None:
    sources = [_source("credit_note", "c", 150), _source("payer_credit", "p", 100)]
    invoices = [_invoice("a", 100), _invoice("nothing", 0), _invoice("b", 120)]
    assert apportion(sources, invoices) == (
        Allocation("credit_note", "c", "a", 100),
        Allocation("credit_note", "c", "b", 50),
        Allocation("payer_credit", "p", "b", 70),
    )
    assert apportion([], invoices) == () == apportion(sources, [])


@given(
    st.lists(st.integers(-5, 10**12), max_size=8),
    st.lists(st.integers(-5, 10**12), max_size=8),
)
def test_no_unit_is_lost_or_made(available: list[int], opened: list[int]) -> None:
    sources = [_source("payer_credit", str(n), minor) for n, minor in enumerate(available)]
    invoices = [_invoice(str(n), minor) for n, minor in enumerate(opened)]
    allocations = apportion(sources, invoices)
    assert all(each.amount_minor > 0 for each in allocations)
    for n, minor in enumerate(available):
        taken = sum(each.amount_minor for each in allocations if each.source_id == str(n))
        assert taken <= max(minor, 0)
    for n, minor in enumerate(opened):
        met = sum(each.amount_minor for each in allocations if each.invoice_id == str(n))
        assert met <= max(minor, 0)
    whole = min(sum(max(m, 0) for m in available), sum(max(m, 0) for m in opened))
    assert sum(each.amount_minor for each in allocations) == whole


def test_named_revenue_is_paid_first_then_the_oldest() -> None:
    owed = [
        OpenInvoiceFacts(name, 100, DAY + timedelta(days=days), DAY, 100, codes)
        for name, days, codes in (
            ("late fee", 0, ("fees",)),
            ("rates", 9, ("waste", "land tax")),
            ("old water", 1, ("water",)),
            ("water", 5, ("water", "fees")),
            ("unknown", 3, ()),
        )
    ]
    money = [
        SourceFacts("deposit", "1", 5, DAY, True),
        SourceFacts("payer_credit", "2", 5, DAY, True),
    ]
    sources, ordered = p111_named_revenue_is_paid_first(
        money, owed, revenue_codes=("land tax", "water"), source_order=("payer_credit",)
    )
    assert [each.id for each in ordered] == ["rates", "old water", "water", "late fee", "unknown"]
    assert [each.id for each in sources] == ["2"], "kinds that are not named are not used"


@pytest.mark.parametrize(
    ("days", "level"),
    [(-1, 0), (0, 0), (6, 0), (7, 1), (20, 1), (21, 2), (34, 2), (35, 3), (999, 3)],
)
def test_reminders_rise_by_level(days: int, level: int) -> None:
    facts = INVOICE._replace(open_minor=1, due_on=DAY, business_date=DAY + timedelta(days=days))
    assert p112_reminders_rise_by_level(facts, days_late=(7, 21, 35)) == level
    for left in (facts._replace(open_minor=0), facts._replace(due_on=None)):
        assert p112_reminders_rise_by_level(left, days_late=(7, 21, 35)) == 0


@pytest.mark.parametrize(
    ("difference", "expected", "answer"),
    [(0, 0, "yes"), (50, 0, "yes"), (-50, 0, "yes"), (51, 0, "no"), (100, 100_000, "yes"),
     (-100, 100_000, "yes"), (101, 100_000, "no"), (100, -100_000, "yes")],
)  # fmt: skip
def test_small_differences_are_tolerated(difference: int, expected: int, answer: str) -> None:
    found = p113_small_difference_is_tolerated(difference, expected, amount_minor=50, rate_bps=10)
    assert found is (answer == "yes")


def test_limits_of_the_second_person_are_reached_exactly() -> None:
    refunds = [p114_refund_needs_a_second_person(each, limit_minor=500) for each in (499, 500)]
    assert refunds == [False, True]
    asked: dict[str, int] = {"limit_minor": 500, "limit_documents": 10}
    sizes = ((499, 9), (500, 9), (499, 10))
    assert [p115_run_needs_a_second_person(*each, **asked) for each in sizes] == [False, True, True]

from dataclasses import replace
from datetime import date
from typing import Any
from uuid import UUID

import pytest

from portal.db import acting_for, transaction
from portal.domain.batches import ItemOutcome
from portal.domain.ledger import AccountKind
from portal.gateways.base import ItemKind, PayoutItemReport, PayoutReport
from portal.ids import new_id
from portal.queries.checks import run_checks
from portal.queries.settlements import (
    list_attempts_not_paid_out,
    list_payout_items,
    list_payouts,
    list_settlements_to_work,
)
from portal.services.outcomes import ItemResult
from portal.services.settlements import (
    BankAccountUnknown,
    BankLineDiffers,
    BankLineInvalid,
    GatewayAccountUnknown,
    PayoutDiffers,
    PayoutInvalid,
    match_settlements,
    record_bank_line,
    record_payout,
)
from portal.sql import execute
from tests import factories
from tests.services.books import balance, events_of, post, rows

DAY = date(2026, 3, 18)
REF = "PO-harbour-1"


def make_attempt(state: str = "succeeded", amount_minor: int = 11_900, **over: Any) -> Any:
    """Insert an attempt with its payment, and post what its state means for the clearing."""
    with transaction(factories.home.get()) as _:
        account = factories.gateway_account_of()
        payment = factories.insert_row(
            "payments",
            organisation_id=factories.home.get(),
            id=new_id(),
            payer_id=over.pop("payer_id", None) or factories.make_payer().id,
            currency="EUR",
            amount_minor=amount_minor,
            method="mandate",
            state="processing",
            started_on=DAY,
        )
        attempt_id = new_id()
        attempt = factories.insert_row(
            "payment_attempts",
            **{
                "organisation_id": factories.home.get(),
                "id": attempt_id,
                "payment_id": payment.id,
                "number": 1,
                "currency": "EUR",
                "amount_minor": amount_minor,
                "state": state,
                "gateway_account_id": account.id,
                "merchant_ref": attempt_id.hex,
                "idempotency_key": attempt_id.hex,
                "gateway_ref": f"gw-{attempt_id.hex}",
                "business_on": DAY,
                **over,
            },
        )
        clearing = AccountKind.GATEWAY_CLEARING
        if state in {"succeeded", "returned"}:
            post(clearing, AccountKind.RECEIVABLE, "EUR", amount_minor, code=account.code)
        if state == "returned":
            post(AccountKind.RECEIVABLE, clearing, "EUR", amount_minor, code=account.code)
            fee_minor = attempt.return_fee_minor
            post(AccountKind.RETURN_FEES, clearing, "EUR", fee_minor, code=account.code)
    return attempt


def payment_item(attempt: Any, fee_minor: int = 35, **over: Any) -> PayoutItemReport:
    gross = over.pop("gross_minor", attempt.amount_minor)
    item = PayoutItemReport(
        ItemKind.PAYMENT,
        attempt.gateway_ref,
        attempt.merchant_ref,
        gross,
        fee_minor,
        gross - fee_minor,
    )
    return replace(item, **over)


def return_item(attempt: Any, fee_minor: int = 250) -> PayoutItemReport:
    gross = -attempt.amount_minor
    return PayoutItemReport(
        ItemKind.RETURN,
        attempt.gateway_ref,
        attempt.merchant_ref,
        gross,
        fee_minor,
        gross - fee_minor,
    )


def fee_item(fee_minor: int) -> PayoutItemReport:
    return PayoutItemReport(ItemKind.FEE, "gw-fee", "", 0, fee_minor, -fee_minor)


def report_of(*items: PayoutItemReport, ref: str = REF, **over: Any) -> PayoutReport:
    gross = sum(item.gross_minor for item in items)
    fees = sum(item.fee_minor for item in items)
    return replace(PayoutReport(ref, DAY, "EUR", gross, fees, gross - fees, items), **over)


def record(report: PayoutReport) -> UUID | None:
    with transaction(factories.home.get()):
        return record_payout(
            gateway_account_id=factories.gateway_account_of().id,
            report=report,
            actor=factories.CLERK,
            now=factories.NOW,
        )


def settle(*settlement_ids: UUID) -> list[ItemResult]:
    with transaction(factories.home.get()):
        wanted = settlement_ids or [each.settlement_id for each in list_settlements_to_work()]
        return match_settlements(
            settlement_ids=wanted, actor=factories.CLERK, now=factories.NOW, business_on=DAY
        )


def tolerate(amount_minor: int) -> None:
    with acting_for(factories.home.get()):
        factories.agree({"code": "P113", "parameters": {"amount_minor": amount_minor}}, on=DAY)


def book_line(amount_minor: int, *, reference: str = REF, **over: Any) -> UUID:
    wanted: dict[str, Any] = {
        "bank_ref": f"BANK-{reference}",
        "booked_on": date(2026, 3, 19),
        "currency": "EUR",
    }
    with transaction(factories.home.get()):
        account_id = over.pop("bank_account_id", None) or factories.bank_account_of().id
        return record_bank_line(
            bank_account_id=account_id,
            amount_minor=amount_minor,
            reference=reference,
            actor=factories.CLERK,
            now=factories.NOW,
            **{**wanted, **over},
        )


def settlement() -> Any:
    (found,) = rows("SELECT * FROM settlements")
    return found


def clearing() -> int:
    return balance(AccountKind.GATEWAY_CLEARING, code=factories.gateway_account_of().code)


def items() -> list[tuple[str, str | None]]:
    return [
        (row.match_state, row.discrepancy)
        for row in rows("SELECT match_state, discrepancy FROM payout_items ORDER BY position")
    ]


def test_a_payout_is_recorded_once(organisation: UUID) -> None:
    report = report_of(payment_item(make_attempt()), fee_item(10))

    payout_id = record(report)
    again = record(replace(report, items=tuple(reversed(report.items))))

    assert payout_id is not None
    assert again is None
    (payout,) = rows("SELECT * FROM payouts")
    assert (payout.id, payout.net_minor, payout.state) == (payout_id, 11_855, "in_transit")
    assert (payout.business_on, payout.fee_minor) == (DAY, 45)
    found = rows(
        "SELECT position, kind, gross_minor, fee_minor, net_minor, match_state FROM payout_items"
        " ORDER BY position"
    )
    assert found == [
        (1, "payment", 11_900, 35, 11_865, "unmatched"),
        (2, "fee", 0, 10, -10, "unmatched"),
    ]
    assert (settlement().state, settlement().residual_minor) == ("open", 11_855)
    assert events_of(payout_id) == ["payout.recorded"]


@pytest.mark.parametrize("changed", ["amount", "item", "fewer", "day"])
def test_a_payout_that_is_told_differently_is_refused(organisation: UUID, changed: str) -> None:
    attempts = [make_attempt(), make_attempt()]
    report = report_of(*(payment_item(each) for each in attempts))
    record(report)
    other = {
        "amount": report_of(payment_item(attempts[0]), payment_item(attempts[1], fee_minor=36)),
        "item": report_of(payment_item(attempts[0]), payment_item(attempts[1], merchant_ref="x")),
        "fewer": replace(report, items=report.items[:1]),
        "day": replace(report, business_date=date(2026, 3, 19)),
    }[changed]

    with pytest.raises(PayoutDiffers):
        record(other)

    assert rows("SELECT count(*) FROM payouts") == [(1,)]
    assert rows("SELECT count(*) FROM payout_items") == [(2,)]
    assert rows("SELECT count(*) FROM settlements") == [(1,)]


def test_a_report_that_contradicts_itself_is_refused(organisation: UUID) -> None:
    report = report_of(payment_item(make_attempt()))
    wrong_item = replace(report.items[0], net_minor=1)

    for wrong in (
        replace(report, net_minor=report.net_minor + 1),
        replace(report, currency="USD"),
        replace(report, items=(wrong_item,)),
    ):
        with pytest.raises(PayoutInvalid):
            record(wrong)
    with transaction(organisation), pytest.raises(GatewayAccountUnknown):
        record_payout(
            gateway_account_id=UUID(int=3), report=report, actor=factories.CLERK, now=factories.NOW
        )

    assert rows("SELECT id FROM payouts") == []


def test_an_explained_payout_is_booked_and_closed_when_the_bank_shows_it(
    organisation: UUID,
) -> None:
    paid = make_attempt()
    returned = make_attempt("returned", 5_000, return_fee_minor=250)
    payout_id = record(
        report_of(
            payment_item(paid), payment_item(returned, 20), return_item(returned), fee_item(100)
        )
    )
    net = 11_900 - 35 - 20 - 250 - 100
    assert payout_id is not None

    (waiting,) = settle()

    assert (waiting.outcome, waiting.code) == (ItemOutcome.PARKED, "bank_line_awaited")
    assert (settlement().state, settlement().residual_minor) == ("balanced", 0)
    assert items() == [("matched", None)] * 4
    assert clearing() == 0
    assert balance(AccountKind.PAYOUTS_IN_TRANSIT) == net
    assert balance(AccountKind.FEES) == 155
    assert balance(AccountKind.RETURN_FEES) == 250

    line_id = book_line(net)
    (closed,) = settle()

    assert closed == ItemResult(settlement().id, ItemOutcome.DONE, amount_minor=net)
    assert settlement().state == "closed"
    assert settlement().closed_at == factories.NOW
    assert factories.read_row("payouts", payout_id).state == "paid"
    assert factories.read_row("bank_lines", line_id).match_state == "matched"
    assert balance(AccountKind.PAYOUTS_IN_TRANSIT) == 0
    assert balance(AccountKind.BANK) == net
    assert events_of(settlement().id) == ["settlement.balanced", "settlement.closed"]
    assert events_of(line_id) == ["bank_line.recorded", "bank_line.matched"]
    kinds = rows("SELECT kind FROM ledger_entries WHERE source_type = 'settlement' ORDER BY id")
    assert [row.kind for row in kinds] == ["payout_matched", "payout_banked"]


def test_a_closed_settlement_is_not_worked_again(organisation: UUID) -> None:
    report = report_of(payment_item(make_attempt()))
    record(report)
    book_line(report.net_minor)
    (first,) = settle()
    version = settlement().version

    (again,) = settle(settlement().id)

    assert first.outcome is ItemOutcome.DONE
    assert (again.outcome, again.code) == (ItemOutcome.FILTERED, "not_open")
    assert settlement().version == version
    assert balance(AccountKind.BANK) == report.net_minor
    with transaction(organisation):
        assert list_settlements_to_work() == []


def test_each_kind_of_difference_is_named_and_blocks_the_booking(organisation: UUID) -> None:
    good = make_attempt()
    dear = make_attempt()
    declined = make_attempt("declined")
    fee_differs = make_attempt("returned", return_fee_minor=100)
    record(
        report_of(
            payment_item(good),
            payment_item(make_attempt(), merchant_ref="nobody", gateway_ref="nowhere"),
            payment_item(dear, gross_minor=11_901, net_minor=11_866),
            payment_item(declined),
            payment_item(good),
            return_item(fee_differs),
            return_item(declined),
        )
    )

    (result,) = settle()

    assert items() == [
        ("matched", None),
        ("unmatched", "missing_here"),
        ("conflicting", "amount_differs"),
        ("conflicting", "status_differs"),
        ("conflicting", "duplicate"),
        ("conflicting", "amount_differs"),
        ("conflicting", "status_differs"),
    ]
    assert (result.outcome, result.code) == (ItemOutcome.PARKED, "not_explained")
    assert result.message is not None
    assert "2 amount_differs, 1 duplicate, 1 missing_here, 2 status_differs" in result.message
    found = settlement()
    matched_net = 11_900 - 35
    (payout,) = rows("SELECT net_minor FROM payouts")
    assert (found.state, found.residual_minor) == ("matching", payout.net_minor - matched_net)
    assert rows("SELECT id FROM ledger_entries WHERE source_type = 'settlement'") == []
    assert events_of(found.id) == ["settlement.matching"]


def test_a_repeated_failure_changes_nothing(organisation: UUID) -> None:
    record(report_of(payment_item(make_attempt("declined"))))
    settle()
    before = settlement()

    (result,) = settle()

    assert result.code == "not_explained"
    assert settlement() == before
    assert events_of(before.id) == ["settlement.matching"]


@pytest.mark.parametrize("state", ["pending", "unknown", "sending", "created"])
def test_a_result_that_has_not_reached_us_is_waited_for(organisation: UUID, state: str) -> None:
    late = make_attempt(state)
    record(report_of(payment_item(late), payment_item(make_attempt())))

    (waiting,) = settle()

    assert (waiting.outcome, waiting.code) == (ItemOutcome.PARKED, "results_awaited")
    assert items() == [("suggested", None), ("matched", None)]
    assert settlement().residual_minor == 11_865
    with transaction(organisation):
        execute("UPDATE payment_attempts SET state = 'succeeded' WHERE id = %s", (late.id,))
    (now_known,) = settle()
    assert now_known.code == "bank_line_awaited"
    assert items() == [("matched", None)] * 2


def test_a_return_that_has_not_reached_us_is_waited_for(organisation: UUID) -> None:
    attempt = make_attempt()
    record(report_of(payment_item(attempt), payment_item(make_attempt()), return_item(attempt)))

    (waiting,) = settle()

    assert waiting.code == "results_awaited"
    assert items() == [("matched", None), ("matched", None), ("suggested", None)]


def test_an_item_of_two_payouts_is_a_duplicate_in_the_second(organisation: UUID) -> None:
    attempt = make_attempt()
    record(report_of(payment_item(attempt)))
    settle()
    record(report_of(payment_item(attempt), ref="PO-harbour-2"))

    results = settle()

    assert [result.code for result in results] == ["bank_line_awaited", "not_explained"]
    found = rows("SELECT match_state, discrepancy FROM payout_items ORDER BY payout_id")
    assert found == [("matched", None), ("conflicting", "duplicate")]
    assert balance(AccountKind.PAYOUTS_IN_TRANSIT) == 11_865


def test_both_settlements_of_one_call_never_claim_one_attempt(organisation: UUID) -> None:
    attempt = make_attempt()
    record(report_of(payment_item(attempt)))
    record(report_of(payment_item(attempt), ref="PO-harbour-2"))

    settle()

    found = rows("SELECT match_state FROM payout_items ORDER BY payout_id")
    assert [row.match_state for row in found] == ["matched", "conflicting"]


def test_an_item_without_our_reference_is_found_by_the_gateways(organisation: UUID) -> None:
    attempt = make_attempt()
    record(report_of(payment_item(attempt, merchant_ref="")))

    settle()

    assert items() == [("matched", None)]
    (item,) = rows("SELECT attempt_id, merchant_ref FROM payout_items")
    assert item == (attempt.id, None)


def test_attempts_of_another_gateway_account_are_not_matched(organisation: UUID) -> None:
    with transaction(organisation):
        other = factories.insert_row(
            "gateway_accounts",
            organisation_id=organisation,
            id=new_id(),
            code="harbour-second",
            kind="sandbox",
            currency="EUR",
        )
    attempt = make_attempt(gateway_account_id=other.id)
    record(report_of(payment_item(attempt)))

    (result,) = settle()

    assert result.code == "not_explained"
    assert items() == [("unmatched", "missing_here")]


def test_items_that_do_not_add_up_to_the_payout_leave_a_residual(organisation: UUID) -> None:
    report = report_of(payment_item(make_attempt()))
    record(replace(report, gross_minor=report.gross_minor + 500, net_minor=report.net_minor + 500))

    (result,) = settle()

    assert (result.outcome, result.code) == (ItemOutcome.PARKED, "not_explained")
    assert items() == [("matched", None)]
    assert (settlement().state, settlement().residual_minor) == ("matching", 500)
    assert result.message == "The items do not add up to the payout; 5.00 EUR is left."


def test_a_payout_of_nothing_closes_without_the_bank(organisation: UUID) -> None:
    earlier = make_attempt("returned", 5_000, return_fee_minor=250)
    paid = make_attempt(amount_minor=5_285)
    record(report_of(payment_item(earlier, 0), ref="PO-earlier"))
    settle()
    record(report_of(payment_item(paid), return_item(earlier)))

    results = settle()

    assert [result.outcome for result in results] == [ItemOutcome.PARKED, ItemOutcome.DONE]
    assert results[1].amount_minor == 0
    states = rows(
        "SELECT s.state FROM settlements s JOIN payouts p ON p.id = s.payout_id"
        " WHERE p.gateway_ref = %s",
        REF,
    )
    assert states == [("closed",)]
    assert clearing() == 0
    assert balance(AccountKind.FEES) == 35


def test_a_negative_payout_is_taken_from_the_bank(organisation: UUID) -> None:
    attempt = make_attempt("returned", 5_000, return_fee_minor=250)
    record(report_of(payment_item(attempt, 0), ref="PO-earlier"))
    book_line(5_000, reference="PO-earlier")
    settle()
    assert clearing() == -5_250
    record(report_of(return_item(attempt)))
    book_line(-5_250)

    (result,) = settle()

    assert (result.outcome, result.amount_minor) == (ItemOutcome.DONE, 5_250)
    assert clearing() == 0
    assert balance(AccountKind.PAYOUTS_IN_TRANSIT) == 0
    assert balance(AccountKind.BANK) == 5_000 - 5_250


def test_a_bank_line_of_another_amount_is_left_and_named(organisation: UUID) -> None:
    record(report_of(payment_item(make_attempt())))
    line_id = book_line(11_864)

    (result,) = settle()

    assert (result.outcome, result.code) == (ItemOutcome.PARKED, "bank_amount_differs")
    assert result.message == "The bank shows 118.64 for this payout instead of 118.65 EUR."
    assert factories.read_row("bank_lines", line_id).match_state == "unmatched"
    assert settlement().state == "balanced"
    assert balance(AccountKind.BANK) == 0


@pytest.mark.parametrize(
    ("arrived", "is_tolerated"), [(11_863, True), (11_867, True), (11_862, False)]
)
def test_a_small_difference_is_rounded_where_that_is_agreed(
    organisation: UUID, arrived: int, *, is_tolerated: bool
) -> None:
    tolerate(2)
    record(report_of(payment_item(make_attempt())))
    line_id = book_line(arrived)

    (result,) = settle()

    if not is_tolerated:
        assert (result.outcome, result.code) == (ItemOutcome.PARKED, "bank_amount_differs")
        assert balance(AccountKind.BANK) == balance(AccountKind.ROUNDING) == 0
        return
    assert (result.outcome, result.code) == (ItemOutcome.DONE, "difference_tolerated")
    assert f"The bank shows 118.{arrived - 11_800} for a payout of 118.65 EUR" in str(
        result.message
    )
    assert (settlement().state, settlement().tolerated_minor) == ("closed", arrived - 11_865)
    assert factories.read_row("bank_lines", line_id).match_state == "matched"
    assert balance(AccountKind.BANK) == arrived
    assert balance(AccountKind.PAYOUTS_IN_TRANSIT) == 0
    assert balance(AccountKind.ROUNDING) == 11_865 - arrived
    with transaction(organisation):
        broken = {result.check for result in run_checks() if result.rows}
    assert not broken & {"bank", "payouts_in_transit", "rounding", "entries_of_settlements"}


def test_a_line_with_the_very_amount_goes_before_one_that_is_near(organisation: UUID) -> None:
    tolerate(2)
    record(report_of(payment_item(make_attempt())))
    near = book_line(11_864, bank_ref="BANK-near")
    exact = book_line(11_865)

    settle()

    assert factories.read_row("bank_lines", near).match_state == "unmatched"
    assert factories.read_row("bank_lines", exact).match_state == "matched"
    assert (settlement().state, settlement().tolerated_minor) == ("closed", 0)


def test_one_bank_line_closes_one_payout(organisation: UUID) -> None:
    record(report_of(payment_item(make_attempt())))
    book_line(11_865)
    second = book_line(11_865, bank_ref="BANK-again")

    settle()

    assert factories.read_row("bank_lines", second).match_state == "unmatched"
    assert balance(AccountKind.BANK) == 11_865


def test_many_settlements_get_results_in_the_order_given(organisation: UUID) -> None:
    for number in range(3):
        record(report_of(payment_item(make_attempt()), ref=f"PO-{number}"))
    book_line(11_865, reference="PO-1")
    ids = [row.id for row in rows("SELECT id FROM settlements ORDER BY id")]
    wanted = [ids[2], UUID(int=4), ids[1], ids[0]]

    results = settle(*wanted)

    assert [result.item_id for result in results] == wanted
    assert [result.outcome for result in results] == [
        ItemOutcome.PARKED,
        ItemOutcome.FILTERED,
        ItemOutcome.DONE,
        ItemOutcome.PARKED,
    ]


def test_a_bank_line_is_recorded_once(organisation: UUID) -> None:
    first = book_line(100)

    assert book_line(100) == first
    with pytest.raises(BankLineDiffers):
        book_line(101)
    with pytest.raises(BankLineDiffers):
        book_line(100, booked_on=date(2026, 3, 20))
    with pytest.raises(BankLineInvalid):
        book_line(0, bank_ref="BANK-0")
    with pytest.raises(BankAccountUnknown):
        book_line(100, bank_ref="BANK-1", currency="USD")
    with pytest.raises(BankAccountUnknown):
        book_line(100, bank_ref="BANK-1", bank_account_id=UUID(int=2))
    assert rows("SELECT amount_minor FROM bank_lines") == [(100,)]
    assert events_of(first) == ["bank_line.recorded"]


def test_pages_can_list_payouts_their_items_and_what_is_missing_there(organisation: UUID) -> None:
    paid = make_attempt()
    missing = make_attempt()
    make_attempt("declined")
    payout_id = record(report_of(payment_item(paid), payment_item(missing, gross_minor=1)))
    settle()
    account_id = factories.gateway_account_of().id
    assert payout_id is not None

    with transaction(organisation):
        (payout,) = list_payouts(limit=5)
        all_items = list_payout_items(payout_id=payout_id, limit=5)
        trouble = list_payout_items(payout_id=payout_id, limit=5, only_trouble=True)
        assert list_payouts(limit=5, before=payout_id) == []
        unpaid = make_attempt()
        found = list_attempts_not_paid_out(gateway_account_id=account_id, until=DAY, limit=5)

    assert (payout.payout_id, payout.settlement_state) == (payout_id, "matching")
    assert [item.position for item in all_items] == [1, 2]
    assert [(item.position, item.discrepancy) for item in trouble] == [(2, "amount_differs")]
    assert [each.attempt_id for each in found] == [unpaid.id]


def test_a_large_payout_is_matched_the_same_way(
    organisation: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("portal.services.settlements._items.ITEMS_HASHED_MIN", 1)
    good = make_attempt()
    record(report_of(payment_item(good), payment_item(good), payment_item(make_attempt("pending"))))

    with transaction(organisation):
        settle()
        joins = rows("SELECT current_setting('enable_nestloop') AS nested")

    assert items() == [("matched", None), ("conflicting", "duplicate"), ("suggested", None)]
    assert joins == [("on",)]

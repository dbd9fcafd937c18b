from dataclasses import replace
from datetime import date
from typing import Any
from uuid import UUID

import pytest

from portal.db import acting_for, transaction
from portal.domain.batches import ItemOutcome
from portal.domain.ledger import AccountKind
from portal.domain.settlements import MatchState, PayoutItemKind, SettlementState
from portal.ids import new_id
from portal.queries.checks import run_checks
from portal.queries.settlements import (
    PayoutMissing,
    find_payout_by_reference,
    get_payout,
    list_attempts_not_paid_out,
    list_bank_lines_of_payout,
    list_payout_parts,
    list_payouts,
    list_settlement_history,
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
    record_payout,
)
from portal.sql import execute
from tests import factories
from tests.services.books import balance, events_of, rows
from tests.services.settling import (
    DAY,
    REF,
    book_line,
    fee_item,
    make_attempt,
    payment_item,
    record,
    report_of,
    return_item,
    settle,
)


def tolerate(amount_minor: int) -> None:
    with acting_for(factories.home.get()):
        factories.agree({"code": "P113", "parameters": {"amount_minor": amount_minor}}, on=DAY)


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


def test_a_payout_says_what_it_is_made_of_and_what_the_bank_has_shown(organisation: UUID) -> None:
    paid, differing = make_attempt(), make_attempt()
    wrong = payment_item(differing, gross_minor=1)
    payout_id = record(report_of(payment_item(paid), wrong, fee_item(10)))
    line_id = book_line(77)
    settle()
    assert payout_id is not None

    with transaction(organisation):
        payout = get_payout(payout_id)
        (listed,) = list_payouts(limit=5)
        parts = list_payout_parts(payout_id)
        (line,) = list_bank_lines_of_payout(payout)
        history = list_settlement_history(payout)
        fitting = find_payout_by_reference(REF)
        nothing = find_payout_by_reference("PO-harbour-9")

    assert (listed, fitting, nothing) == (payout, payout_id, None)
    assert payout.settlement_state is SettlementState.MATCHING
    # What was not found here: the differing item and nothing else.
    assert payout.residual_minor == wrong.net_minor
    assert [(one.kind, one.items_count, one.left_count) for one in parts] == [
        (PayoutItemKind.PAYMENT, 2, 1),
        (PayoutItemKind.FEE, 1, 0),
    ]
    assert (parts[0].gross_minor, parts[0].fee_minor) == (11_901, 70)
    assert (line.id, line.amount_minor, line.match_state) == (line_id, 77, MatchState.UNMATCHED)
    assert [one.kind for one in history] == ["settlement.matching", "payout.recorded"]


def test_what_is_in_no_payout_is_listed(organisation: UUID) -> None:
    paid, missing = make_attempt(), make_attempt()
    make_attempt("declined")
    record(report_of(payment_item(paid)))
    settle()
    with transaction(organisation):
        found = list_attempts_not_paid_out(
            gateway_account_id=factories.gateway_account_of().id, until=DAY, limit=5
        )
    assert [each.attempt_id for each in found] == [missing.id]


def test_a_payout_of_another_organisation_is_not_there(organisation: UUID) -> None:
    payout_id = record(report_of(payment_item(make_attempt())))
    assert payout_id is not None
    with acting_for(factories.make_organisation("rivertown")), pytest.raises(PayoutMissing):
        get_payout(payout_id)

"""Refunds in the browser: the list, one refund in words, asking for one and deciding about it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from flask.testing import FlaskClient

from portal.domain.refunds import REFUND_MOVES, REFUND_REASONS, RefundState
from portal.domain.users import Role
from portal.ids import new_id, public_id
from portal.services.payments import ResultKind
from tests import factories
from tests.factories import make_succeeded_payment, read_row
from tests.pages import Page, read_page
from tests.services.books import events_of, rows
from tests.services.collecting import give_back
from tests.services.refunding import ask, make_refund, tell_refund
from tests.web.conftest import post, sign_in

HTMX = {"HX-Request": "true"}


def read(client: FlaskClient, address: str, *, status: int = 200, **sent: Any) -> Page:
    answer = client.get(address, **sent)
    assert answer.status_code == status, answer.text
    found = read_page(answer.text)
    assert found.faults() == []
    return found


def of_payment(payment: Any) -> str:
    return f"/payments/{public_id('payment', payment.id)}"


def of_refund(refund_id: UUID) -> str:
    return f"/refunds/{public_id('refund', refund_id)}"


def refund_ids() -> list[UUID]:
    return [row.id for row in rows("SELECT id FROM refunds ORDER BY id")]


@pytest.mark.usefixtures("organisation")
class TestAsking:
    def test_a_payment_leads_to_the_form_which_offers_all_of_it(
        self, signed_in: FlaskClient
    ) -> None:
        payment = make_succeeded_payment()

        shown = read(signed_in, of_payment(payment))
        assert f'href="{of_payment(payment)}/refund"' in signed_in.get(of_payment(payment)).text
        assert "Give back" in shown.text
        form = signed_in.get(f"{of_payment(payment)}/refund")

        assert form.status_code == 200
        assert 'value="119,00"' in form.text
        part = signed_in.get(f"{of_payment(payment)}/refund", headers=HTMX)
        assert "<html" not in part.text
        assert "Give money back?" in part.text

    def test_a_small_one_is_on_its_way_and_a_large_one_waits(self, signed_in: FlaskClient) -> None:
        payment = make_succeeded_payment()
        address = f"{of_payment(payment)}/refund"

        small = post(signed_in, address, amount="19,00", reason="Paid twice.", request_key="k1")
        large = post(signed_in, address, amount="100,00", reason="Paid twice.", request_key="k2")

        first, second = refund_ids()
        assert small.headers["Location"] == of_refund(first)
        assert large.headers["Location"] == of_refund(second)
        assert read_row("refunds", first).state == "approved"
        assert read_row("refunds", second).state == "requested"
        shown = read(signed_in, of_refund(second)).text
        assert "waits for the approval of a second person" in shown
        assert "you asked for it, so another manager must decide" in shown

    def test_a_form_that_is_sent_twice_asks_once(self, signed_in: FlaskClient) -> None:
        payment = make_succeeded_payment()
        sent = {"amount": "19,00", "reason": "Paid twice.", "request_key": "k1"}

        first = post(signed_in, f"{of_payment(payment)}/refund", **sent)
        again = post(signed_in, f"{of_payment(payment)}/refund", **sent)

        assert first.headers["Location"] == again.headers["Location"]
        assert len(refund_ids()) == 1
        assert read_row("payments", payment.id).refunding_minor == 1_900

    @pytest.mark.parametrize(
        ("amount", "reason", "said"),
        [
            ("119,01", "Paid twice.", "can still be given back"),
            ("0", "Paid twice.", "must be above zero"),
            ("much", "Paid twice.", "There is a problem"),
            ("", "Paid twice.", "Enter how much is to be given back."),
            ("5,00", "", "Say why money is given back."),
            ("5,00", "x" * 501, "Say it in at most 500 characters."),
        ],
    )
    def test_what_is_wrong_is_said_at_the_field(
        self, signed_in: FlaskClient, amount: str, reason: str, said: str
    ) -> None:
        payment = make_succeeded_payment()

        answer = post(
            signed_in,
            f"{of_payment(payment)}/refund",
            amount=amount,
            reason=reason,
            request_key="k1",
        )

        assert answer.status_code == 422
        assert said in answer.text
        assert refund_ids() == []

    def test_nothing_is_offered_where_nothing_can_be_given_back(
        self, signed_in: FlaskClient
    ) -> None:
        payment = make_succeeded_payment()
        make_refund("approved", payment=payment, amount_minor=11_900)

        assert "Give back" not in read(signed_in, of_payment(payment)).text
        form = read(signed_in, f"{of_payment(payment)}/refund", status=409)
        assert "all of it was given back, or is on its way back" in form.text

    def test_the_payment_shows_its_refunds(self, signed_in: FlaskClient) -> None:
        refund = make_refund("succeeded")

        shown = read(signed_in, f"/payments/{public_id('payment', refund.payment_id)}").text

        assert "Given back" in shown
        assert "Partly given back to the payer" in shown
        assert "€50.00" in shown or "50,00" in shown

    @pytest.mark.parametrize(
        ("role", "status"), [(Role.CLERK, 200), (Role.AUDITOR, 403), (Role.OPERATOR, 403)]
    )
    def test_who_may_ask(
        self, client: FlaskClient, add_person: Callable[..., str], role: Role, status: int
    ) -> None:
        payment = make_succeeded_payment()
        sign_in(client, add_person(role))

        assert client.get(f"{of_payment(payment)}/refund").status_code == status
        assert ("Give back" in client.get(of_payment(payment)).text) is (status == 200)


@pytest.mark.usefixtures("organisation")
class TestDeciding:
    def test_another_person_approves(self, signed_in: FlaskClient) -> None:
        refund_id = ask(make_succeeded_payment(), 11_900)

        assert "Approve" in read(signed_in, of_refund(refund_id)).text
        read(signed_in, f"{of_refund(refund_id)}/approve")
        answer = post(signed_in, f"{of_refund(refund_id)}/approve", request_key="k1")

        assert answer.headers["Location"] == of_refund(refund_id)
        assert read_row("refunds", refund_id).state == "approved"
        assert "about to be sent" in read(signed_in, of_refund(refund_id)).text

    def test_the_requester_is_refused(self, signed_in: FlaskClient) -> None:
        payment = make_succeeded_payment()
        sent = {"amount": "119,00", "reason": "Paid twice.", "request_key": "k1"}
        post(signed_in, f"{of_payment(payment)}/refund", **sent)
        (refund_id,) = refund_ids()

        read(signed_in, f"{of_refund(refund_id)}/approve", status=409)
        answer = post(signed_in, f"{of_refund(refund_id)}/approve", request_key="k2")

        assert answer.status_code == 403
        assert "another person must approve it" in answer.text
        assert read_row("refunds", refund_id).state == "requested"

    def test_a_clerk_sees_who_decides(
        self, client: FlaskClient, add_person: Callable[..., str]
    ) -> None:
        refund_id = ask(make_succeeded_payment(), 11_900)
        sign_in(client, add_person(Role.CLERK))

        assert "a manager who has not asked for it decides" in client.get(of_refund(refund_id)).text
        assert post(client, f"{of_refund(refund_id)}/approve").status_code == 403
        assert read_row("refunds", refund_id).state == "requested"

    def test_declining_frees_the_money_again(self, signed_in: FlaskClient) -> None:
        payment = make_succeeded_payment()
        refund_id = ask(payment, 11_900)
        address = f"{of_refund(refund_id)}/decline"

        read(signed_in, address)
        assert post(signed_in, address, reason="", request_key="k0").status_code == 422
        answer = post(signed_in, address, reason="Not agreed.", request_key="k1")

        assert answer.status_code == 303
        assert read_row("payments", payment.id).refunding_minor == 0
        assert events_of(refund_id)[-1] == "refund.declined"
        shown = read(signed_in, of_refund(refund_id)).text
        assert "It was declined" in shown
        assert "“Not agreed.”" in shown

    def test_what_is_decided_is_not_decided_again(self, signed_in: FlaskClient) -> None:
        refund = make_refund("succeeded")

        for name in ("approve", "decline"):
            read(signed_in, f"{of_refund(refund.id)}/{name}", status=409)
            sent = post(signed_in, f"{of_refund(refund.id)}/{name}", reason="No.", request_key=name)
            assert sent.status_code == 409
        assert read_row("refunds", refund.id).state == "succeeded"


@pytest.mark.usefixtures("organisation")
class TestLooking:
    @pytest.mark.parametrize(
        ("state", "words"),
        [
            ("requested", "waits for the approval"),
            ("approved", "about to be sent"),
            ("submitted", "nothing is sent twice"),
            ("succeeded", "Given back on"),
            ("failed", REFUND_REASONS["AC04"]),
        ],
    )
    def test_each_state_is_said_in_words(
        self, signed_in: FlaskClient, state: str, words: str
    ) -> None:
        refund = make_refund(state, amount_minor=11_900)

        assert words in read(signed_in, of_refund(refund.id)).text

    def test_what_came_late_is_said(self, signed_in: FlaskClient) -> None:
        refund = make_refund("submitted")
        tell_refund(refund.id, ResultKind.ACCEPT, gateway_ref="re_1")
        assert "has accepted it" in read(signed_in, of_refund(refund.id)).text
        give_back(factories.attempt_of(read_row("payments", refund.payment_id)))

        tell_refund(refund.id, ResultKind.SUCCEED, gateway_ref="re_1")

        assert "a person must look at it" in read(signed_in, of_refund(refund.id)).text

    def test_the_list_leads_to_each(self, signed_in: FlaskClient) -> None:
        refund = make_refund("succeeded")
        make_refund("requested", amount_minor=11_900)

        page = signed_in.get("/refunds?state=open").text
        assert of_refund(refund.id) not in page
        assert of_refund(refund.id) in signed_in.get("/refunds").text
        assert "Paid twice." in signed_in.get("/refunds.csv").text

    def test_nothing_of_another_organisation(
        self, signed_in: FlaskClient, other_organisation: UUID
    ) -> None:
        assert signed_in.get(of_refund(new_id())).status_code == 404


def test_every_state_has_a_move_or_ends() -> None:
    assert REFUND_MOVES.final == {RefundState.FAILED, RefundState.DECLINED, RefundState.RETURNED}

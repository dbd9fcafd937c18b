"""Speaking to the sandbox as to every gateway: orders translated out, answers translated back."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from datetime import date
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from portal.gateways.http import GatewayHttp, Reply, Trouble, is_success, open_http
from portal.gateways.sandbox.answers import (
    answer_from,
    effect_from,
    error_code,
    item_from,
    mismatch,
    payout_from,
    refused,
    troubled,
    unknown,
)
from portal.gateways.sandbox.events import event_from
from portal.gateways.strict_json import list_of, optional_text_of
from portal.gateways.values import (
    AnswerKind,
    ChargeOrder,
    DisputeOrder,
    Effect,
    GatewayAccess,
    GatewayAnswer,
    GatewayEvent,
    GatewayUnreachable,
    NoticeOrder,
    PayoutReport,
    RefundOrder,
)

PAGE_ROWS_MAX = 1_000  # about 300 kB, well under the cap of one answer
EVENT_ROWS_MAX = 500
# 400 and 422 answer the order itself; every other status leaves open what was done.
DEFINITIVE_STATUSES = frozenset({400, 402, 422})


class SandboxGateway:
    """One open sandbox account; made by `open_sandbox`."""

    def __init__(self, http: GatewayHttp, access: GatewayAccess) -> None:
        self._http = http
        self._name = f"sandbox account {access.account_code}"
        self._root = f"/v1/accounts/{quote(access.account_code, safe='')}"

    async def charge(self, order: ChargeOrder) -> GatewayAnswer:
        """Send one charge under its own key."""
        outcome = await self._http.post(
            f"{self._root}/charges",
            {
                "merchant_ref": order.merchant_ref,
                "amount_minor": order.amount_minor,
                "currency": order.currency,
                "mandate_token": order.mandate_token,
                "payment_ref": order.payment_ref,
                "invoice_ref": order.invoice_ref,
                "invoice_total_minor": order.invoice_total_minor,
                "business_date": order.business_date.isoformat(),
            },
            idempotency_key=order.idempotency_key,
        )
        return _answer_to(order, outcome)

    async def query(self, merchant_ref: str) -> GatewayAnswer:
        """Ask what became of a charge."""
        return await self._ask("charge", merchant_ref)

    async def refund(self, order: RefundOrder) -> GatewayAnswer:
        """Send one refund under its own key."""
        outcome = await self._http.post(
            f"{self._root}/refunds",
            {
                "merchant_ref": order.merchant_ref,
                "charge_ref": order.charge_ref,
                "amount_minor": order.amount_minor,
                "currency": order.currency,
                "business_date": order.business_date.isoformat(),
            },
            idempotency_key=order.idempotency_key,
        )
        return _answer_to(order, outcome)

    async def query_refund(self, merchant_ref: str) -> GatewayAnswer:
        """Ask what became of a refund."""
        return await self._ask("refund", merchant_ref)

    async def answer_dispute(self, order: DisputeOrder) -> GatewayAnswer:
        """Hand in our answer to a dispute."""
        return await self._tell(order, "answer", {"text": order.text})

    async def accept_dispute(self, order: DisputeOrder) -> GatewayAnswer:
        """Give a dispute up."""
        return await self._tell(order, "accept", {})

    async def query_dispute(self, order: DisputeOrder) -> GatewayAnswer:
        """Ask what became of a dispute."""
        outcome = await self._http.get(self._dispute(order), {})
        return _answer_to_question(outcome, "dispute", order.merchant_ref)

    async def notify(self, order: NoticeOrder) -> GatewayAnswer:
        """Hand over one notice under its own key."""
        body = asdict(order)
        key = body.pop("idempotency_key")
        outcome = await self._http.post(
            f"{self._root}/notices",
            {
                name: each.isoformat() if isinstance(each, date) else each
                for name, each in body.items()
            },
            idempotency_key=key,
        )
        if isinstance(outcome, Reply) and error_code(outcome.body) == "idempotency_key_reused":
            # What it says is read anew for each try: an earlier one was taken.
            return GatewayAnswer(
                AnswerKind.SUCCEEDED,
                http_status=outcome.status,
                error="it was taken at an earlier try, as things stood then",
            )
        return _answer_to(order, outcome)

    async def close_day(self, business_date: date) -> tuple[PayoutReport, ...]:
        """Say that a business date is over and read its payouts."""
        outcome = await self._http.post(
            f"{self._root}/close-day", {"business_date": business_date.isoformat()}
        )
        body = self._body_of(outcome)
        try:
            heads = [payout_from(entry) for entry in list_of(body, "payouts")]
        except ValueError as error:
            raise self._unreachable(str(error)) from None
        return tuple([await self._with_items(head) for head in heads])

    async def list_effects(self) -> tuple[Effect, ...]:
        """Read the gateway's own record of this account, page by page."""
        rows = await self._all_rows(f"{self._root}/effects", "effects")
        try:
            return tuple(effect_from(row) for row in rows)
        except ValueError as error:
            raise self._unreachable(str(error)) from None

    async def list_events(self, after: str | None) -> tuple[tuple[GatewayEvent, ...], str | None]:
        """Read one page of events behind a cursor."""
        query = {"limit": str(EVENT_ROWS_MAX), "after": after or "0"}
        body = self._body_of(await self._http.get(f"{self._root}/events", query))
        try:
            events = tuple(event_from(entry) for entry in list_of(body, "events"))
            return events, optional_text_of(body, "cursor") or after
        except ValueError as error:
            raise self._unreachable(str(error)) from None

    async def _tell(self, order: DisputeOrder, verb: str, body: dict[str, Any]) -> GatewayAnswer:
        outcome = await self._http.post(
            f"{self._dispute(order)}/{verb}", body, idempotency_key=order.idempotency_key
        )
        return _answer_to(order, outcome)

    def _dispute(self, order: DisputeOrder) -> str:
        return f"{self._root}/disputes/{quote(order.gateway_ref, safe='')}"

    async def _ask(self, noun: str, merchant_ref: str) -> GatewayAnswer:
        outcome = await self._http.get(f"{self._root}/{noun}s", {"merchant_ref": merchant_ref})
        return _answer_to_question(outcome, noun, merchant_ref)

    async def _with_items(self, head: PayoutReport) -> PayoutReport:
        path = f"{self._root}/payouts/{quote(head.gateway_ref, safe='')}/items"
        rows = await self._all_rows(path, "items")
        try:
            items = tuple(item_from(row) for row in rows)
        except ValueError as error:
            raise self._unreachable(str(error)) from None
        return PayoutReport(
            gateway_ref=head.gateway_ref,
            business_date=head.business_date,
            currency=head.currency,
            gross_minor=head.gross_minor,
            fee_minor=head.fee_minor,
            net_minor=head.net_minor,
            items=items,
        )

    async def _all_rows(self, path: str, name: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        cursor: str | None = "0"
        while cursor is not None:
            query = {"limit": str(PAGE_ROWS_MAX), "after": cursor}
            body = self._body_of(await self._http.get(path, query))
            try:
                page, following = list_of(body, name), optional_text_of(body, "cursor")
            except ValueError as error:
                raise self._unreachable(str(error)) from None
            if following == cursor:
                raise self._unreachable("its pages do not end")
            rows += page
            cursor = following
        return rows

    def _body_of(self, outcome: Reply | Trouble) -> dict[str, Any]:
        if isinstance(outcome, Trouble):
            raise self._unreachable(outcome.error)
        if outcome.status != HTTPStatus.OK:
            raise self._unreachable(f"an unexpected answer, HTTP {outcome.status}")
        return outcome.body

    def _unreachable(self, reason: str) -> GatewayUnreachable:
        return GatewayUnreachable(gateway=self._name, reason=reason)


def _answer_to_question(outcome: Reply | Trouble, noun: str, merchant_ref: str) -> GatewayAnswer:
    if isinstance(outcome, Trouble):
        # That the question did not get through says nothing about the order.
        return troubled(outcome, AnswerKind.UNKNOWN)
    if outcome.status == HTTPStatus.NOT_FOUND and error_code(outcome.body) == f"{noun}_not_found":
        return GatewayAnswer(AnswerKind.NOT_FOUND, http_status=outcome.status)
    if outcome.status != HTTPStatus.OK:
        return unknown(outcome, f"an unexpected answer (HTTP {outcome.status})")
    return answer_from(outcome, merchant_ref)


def _answer_to(
    order: ChargeOrder | RefundOrder | DisputeOrder | NoticeOrder, outcome: Reply | Trouble
) -> GatewayAnswer:
    if isinstance(outcome, Trouble):
        return troubled(outcome, outcome.kind)
    if outcome.status in DEFINITIVE_STATUSES:
        return refused(outcome)
    if not is_success(outcome.status):
        return unknown(outcome, f"an unexpected answer (HTTP {outcome.status})")
    answer = answer_from(outcome, order.merchant_ref)
    asked = (order.amount_minor, order.currency)
    told = (answer.amount_minor, answer.currency)
    if told != asked and answer.kind not in (AnswerKind.UNKNOWN, AnswerKind.MISMATCH):
        return mismatch(answer, "another amount or currency than ordered")
    return answer


@asynccontextmanager
async def open_sandbox(access: GatewayAccess) -> AsyncIterator[SandboxGateway]:
    """Open one sandbox account."""
    async with open_http(access) as http:
        yield SandboxGateway(http, access)

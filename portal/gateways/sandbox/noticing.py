"""The door for notices to payers: each is taken once, and the record tells what they said."""

import json
import sqlite3
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from portal.gateways.sandbox.desk import answered, cursor_of, page_of
from portal.gateways.sandbox.ordering import Taking
from portal.gateways.sandbox.orders import Accepted, AskedOrder, accept_order
from portal.gateways.sandbox.profile import decide_notice
from portal.gateways.strict_json import amount_of, day_of, optional_text_of, text_of

NAME_CHARACTERS_MAX = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedNotice(AskedOrder):
    """A notice as it was asked for; the content is what its payer reads."""

    content: str


class Noticing(Taking[AskedNotice]):
    """POST of notices, and GET of those that were taken."""

    noun = "notice"
    drawn_by = "notice delay"
    taken_as = "succeeded"

    def read(self, body: dict[str, Any], common: dict[str, Any]) -> AskedNotice:
        """Read what only a notice has; its parts add up to what is to be paid."""
        for name in ("sender", "payer_name"):
            text_of(body, name, length_max=NAME_CHARACTERS_MAX)
        for name in ("locale", "invoice_ref", "reference"):
            text_of(body, name)
        for name in ("payer_email", "payer_country", "fees_ref", "pay_to"):
            optional_text_of(body, name)
        amount_of(body, "level", least=1)
        day_of(body, "due_date")
        if body.get("fees_due_date") is not None:
            day_of(body, "fees_due_date")
        parts = [amount_of(body, f"{name}_minor") for name in ("open", "fee", "interest")]
        if sum(parts) != common["amount_minor"]:
            raise ValueError("its parts do not add up")
        return AskedNotice(
            **common,
            content=json.dumps(body, sort_keys=True, separators=(",", ":")),
            outcome=decide_notice(
                seed=self._desk.seed,
                merchant_ref=common["merchant_ref"],
                amount_minor=common["amount_minor"],
                faults=self._desk.control.faults,
            ),
        )

    def accept(self, connection: sqlite3.Connection, asked: AskedNotice, now: float) -> Accepted:
        """Record a notice once."""
        return accept_order(
            connection,
            "notices",
            asked,
            now,
            prefix="no",
            insert=lambda gateway_ref: _insert(connection, asked, gateway_ref, now),
        )

    async def list_(self, request: web.Request) -> web.StreamResponse:
        """Tell one page of the notices that were taken, oldest first."""
        account_code = await self._desk.enter(request)
        after, limit = page_of(request)
        rows = await self._desk.do(
            request, lambda record: _list(record, account_code, after, limit)
        )
        cursor = cursor_of([row["id"] for row in rows], limit)
        notices = [json.loads(row["content"]) | {"id": row["gateway_ref"]} for row in rows]
        return answered({"notices": notices, "cursor": cursor})


def _insert(
    connection: sqlite3.Connection, asked: AskedNotice, gateway_ref: str, now: float
) -> None:
    connection.execute(
        "INSERT INTO notices(account_code, merchant_ref, idempotency_key, request_hash,"
        " gateway_ref, accepted_at, content) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            asked.account_code,
            asked.merchant_ref,
            asked.idempotency_key,
            asked.request_hash,
            gateway_ref,
            now,
            asked.content,
        ),
    )


def _list(
    connection: sqlite3.Connection, account_code: str, after: int, limit: int
) -> list[sqlite3.Row]:
    return connection.execute(
        "SELECT id, gateway_ref, content FROM notices WHERE account_code = ? AND id > ?"
        " ORDER BY id LIMIT ?",
        (account_code, after, limit),
    ).fetchall()

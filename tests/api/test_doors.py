"""Doing once what is sent often: many senders at the same moment, against a real server."""

from __future__ import annotations

import http.client
import json
import threading
from collections import Counter
from typing import Any
from urllib.parse import urlsplit

from portal.ids import public_id
from tests.api.conftest import PREFIX, Machine
from tests.factories import make_draft_invoice, make_issued_invoice, read_row
from tests.services.books import rows

SENDERS = 50


def send_at_once(address: str, machine: Machine, path: str, body: Any = None) -> list[Any]:
    """Send one request from many sides at once; (status, replayed, retry-after, body) of each."""
    ready = threading.Barrier(SENDERS, timeout=60)
    found: list[Any] = []
    headers = {"Authorization": f"Bearer {machine.key}", "Idempotency-Key": "one-key"}
    if body is not None:
        headers["Content-Type"] = "application/json"

    def send() -> None:
        connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=120)
        ready.wait()
        connection.request("POST", PREFIX + path, json.dumps(body) if body else None, headers)
        answer = connection.getresponse()
        replayed, wait = answer.getheader("Idempotency-Replayed"), answer.getheader("Retry-After")
        found.append((answer.status, replayed, wait, answer.read()))
        connection.close()

    threads = [threading.Thread(target=send) for _ in range(SENDERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(180)
    assert len(found) == SENDERS
    return found


def check_one_reply(found: list[Any], status: int) -> None:
    """One did it, the others were told the same, or to come back."""
    counted = Counter((answer[0], answer[1]) for answer in found)
    assert counted[status, None] == 1, counted
    assert set(counted) <= {(status, None), (status, "true"), (409, None)}, counted
    assert counted[status, "true"] > 0
    assert len({answer[3] for answer in found if answer[0] == status}) == 1
    assert all(answer[2] for answer in found if answer[0] == 409)


def test_fifty_orders_to_issue_make_one_number(address: str, machine: Machine) -> None:
    draft = make_draft_invoice()
    path = f"/invoices/{public_id('invoice', draft.id)}/issue"

    check_one_reply(send_at_once(address, machine, path), 200)

    assert read_row("invoices", draft.id).number == 1
    assert len(rows("SELECT * FROM events WHERE kind = 'invoice.issued'")) == 1


def test_fifty_records_of_one_payment_are_one_payment(address: str, machine: Machine) -> None:
    invoice = make_issued_invoice()
    body = {
        "invoice_id": public_id("invoice", invoice.id),
        "amount": {"amount": "19.00", "currency": "EUR"},
        "paid": "2026-03-18",
        "method": "transfer",
    }

    check_one_reply(send_at_once(address, machine, "/payments", body), 201)

    assert len(rows("SELECT * FROM payments")) == 1
    assert read_row("invoices", invoice.id).paid_minor == 1_900

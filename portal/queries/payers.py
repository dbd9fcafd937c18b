"""Reading payers and their mandates."""

from collections.abc import Iterable
from datetime import date
from typing import NamedTuple
from uuid import UUID

from portal.domain.errors import NotFound
from portal.sql import fetch_one, fetch_plain

_SELECT = (
    "SELECT id, number, external_ref, name, kind, email, country, is_default, is_on_hold "
    "FROM payers"
)
_SELECT_MANDATES = (
    "SELECT id, payer_id, gateway_account_id, currency, reference, token, state, "
    "signed_on, last_used_on FROM mandates"
)


class PayerNotFound(NotFound):
    """There is no payer {payer} here, or it is not yours to see; nothing was changed."""

    payer: str


class PayerRow(NamedTuple):
    """Who owes."""

    id: UUID
    number: int
    external_ref: str
    name: str
    kind: str
    email: str | None
    country: str | None
    is_default: bool
    is_on_hold: bool


class MandateRow(NamedTuple):
    """Permission to collect from a payer through one gateway account."""

    id: UUID
    payer_id: UUID
    gateway_account_id: UUID
    currency: str
    reference: str
    token: str
    state: str
    signed_on: date
    last_used_on: date | None


def get_payer(payer_id: UUID) -> PayerRow:
    """Return a payer by its id.

    Raises: PayerNotFound.
    """
    row = fetch_one(_SELECT + " WHERE id = %s", (payer_id,))
    if row is None:
        raise PayerNotFound(payer=str(payer_id))
    return PayerRow(*row)


def find_payer_by_ref(external_ref: str) -> PayerRow | None:
    """Return the payer with a reference of the source system, or None."""
    return list_payers_by_ref([external_ref]).get(external_ref)


def find_default_payer() -> PayerRow | None:
    """Return the payer of documents that name none, or None."""
    row = fetch_one(_SELECT + " WHERE is_default ORDER BY id LIMIT 1")
    return PayerRow(*row) if row else None


def list_payers_by_ref(external_refs: Iterable[str]) -> dict[str, PayerRow]:
    """Return the payers with these references, by reference; unknown ones are left out."""
    rows = fetch_plain(_SELECT + " WHERE external_ref = ANY(%s)", (list(external_refs),))
    return {row[2]: PayerRow(*row) for row in rows}


def count_payers() -> int:
    """Count the payers of the organisation in scope."""
    row = fetch_one("SELECT count(*) FROM payers")
    assert row is not None
    count: int = row[0]
    return count


def list_mandates(payer_id: UUID) -> list[MandateRow]:
    """List the mandates of a payer, the newest first."""
    rows = fetch_plain(
        _SELECT_MANDATES + " WHERE payer_id = %s ORDER BY signed_on DESC, id DESC",
        (payer_id,),
    )
    return [MandateRow(*row) for row in rows]


def list_known_mandate_refs(references: Iterable[str]) -> set[str]:
    """Return those of the references that a mandate has already."""
    rows = fetch_plain(
        "SELECT reference FROM mandates WHERE reference = ANY(%s)", (list(references),)
    )
    return {row[0] for row in rows}


def list_payers_with_active_mandate(payer_ids: Iterable[UUID]) -> set[tuple[UUID, str]]:
    """Return which of the payers have an active mandate, and in which currency."""
    rows = fetch_plain(
        "SELECT payer_id, currency FROM mandates WHERE state = 'active' AND payer_id = ANY(%s)",
        (list(payer_ids),),
    )
    return {(row[0], row[1]) for row in rows}

"""Reading payers and their mandates."""

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from typing import Any, NamedTuple
from uuid import UUID

from portal.domain.deposits import DepositState
from portal.domain.errors import NotFound
from portal.domain.payers import Arrangement, PayerTerms
from portal.sql import fetch_one, fetch_plain

_SELECT = (
    "SELECT id, number, external_ref, name, kind, email, country, is_default, is_on_hold, "
    "arrangement, arranged_until, version FROM payers"
)
_SELECT_MANDATES = (
    "SELECT id, payer_id, gateway_account_id, currency, reference, token, state, "
    "signed_on, last_used_on FROM mandates"
)


def is_arranged(alias: str, on: str) -> str:
    """Write the SQL for whether an arrangement is in force on a day; it is so on its last as well.

    Shape: `alias` names the payers, `on` is an expression of the day; true or false, never NULL.
    """
    return f"COALESCE({alias}.arranged_until >= {on}, false)"


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
    arrangement: str | None
    arranged_until: date | None
    version: int

    @property
    def terms(self) -> PayerTerms:
        """How the payer is dealt with."""
        arrangement = Arrangement(self.arrangement) if self.arrangement else None
        return PayerTerms(self.is_on_hold, arrangement, self.arranged_until)


class TermsChangeRow(NamedTuple):
    """One change of how a payer is dealt with: when, by whom and why."""

    happened_at: datetime
    actor: str
    reason: str
    details: Mapping[str, Any]


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


class PayerBalance(NamedTuple):
    """Where the money between a payer and the organisation stands, in one currency.

    Shape: paid, credited, written off and open add up to invoiced; overdue and in payment are parts
    of open. Void documents do not count.
    """

    currency: str
    invoices_count: int
    invoiced_minor: int
    paid_minor: int
    credited_minor: int
    written_off_minor: int
    in_payment_minor: int
    open_count: int
    open_minor: int
    overdue_count: int
    overdue_minor: int
    credit_left_minor: int
    deposits_held_minor: int


class PayerCreditRow(NamedTuple):
    """Money of a payer that came in beyond what was open; the payment that brought it is named."""

    id: UUID
    payment_id: UUID | None
    currency: str
    amount_minor: int
    left_minor: int
    since_on: date


class PayerDepositRow(NamedTuple):
    """A deposit of a payer."""

    id: UUID
    purpose: str
    state: DepositState
    currency: str
    amount_minor: int
    left_minor: int
    received_on: date | None
    due_back_on: date | None
    may_set_off: bool


def get_payer(payer_id: UUID) -> PayerRow:
    """Return a payer by its id.

    Raises: PayerNotFound.
    """
    row = fetch_one(_SELECT + " WHERE id = %s", (payer_id,))
    if row is None:
        raise PayerNotFound(payer=str(payer_id))
    return PayerRow(*row)


def list_terms_changes(payer_id: UUID, rows_max: int) -> list[TermsChangeRow]:
    """List how the way a payer is dealt with was changed, the latest first."""
    rows = fetch_plain(
        "SELECT happened_at, actor_name, reason, details FROM events WHERE subject_id = %s"
        " AND kind = 'payer.terms_changed' ORDER BY happened_at DESC, id DESC LIMIT %s",
        (payer_id, rows_max),
    )
    return [TermsChangeRow._make(row) for row in rows]


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


def get_payer_balance(payer_id: UUID, *, on: date) -> list[PayerBalance]:
    """Sum up what a payer was invoiced, has paid and owes on a day, per currency.

    Shape: by currency; nothing for a payer without documents and money.
    """
    rows = fetch_plain(
        "SELECT currency, sum(invoices)::int, sum(invoiced)::bigint, sum(paid)::bigint,"
        " sum(credited)::bigint, sum(written_off)::bigint, sum(in_payment)::bigint,"
        " (count(*) FILTER (WHERE open > 0))::int, sum(open)::bigint,"
        " (count(*) FILTER (WHERE open > 0 AND due_on < %(on)s))::int,"
        " COALESCE(sum(open) FILTER (WHERE due_on < %(on)s), 0)::bigint,"
        " sum(credit)::bigint, sum(held)::bigint FROM ("
        "SELECT currency, 1 AS invoices, total_minor AS invoiced, paid_minor AS paid,"
        " credited_minor AS credited, written_off_minor AS written_off,"
        " in_payment_minor AS in_payment, open_minor AS open, due_on, 0 AS credit, 0 AS held"
        " FROM invoices WHERE payer_id = %(payer)s AND state = 'issued' AND kind <> 'credit_note'"
        " UNION ALL SELECT currency, 0, 0, 0, 0, 0, 0, 0, NULL, credit_left_minor, 0 FROM invoices"
        " WHERE payer_id = %(payer)s AND state = 'issued' AND kind = 'credit_note'"
        " UNION ALL SELECT currency, 0, 0, 0, 0, 0, 0, 0, NULL, left_minor, 0 FROM payer_credits"
        " WHERE payer_id = %(payer)s AND applied_minor < amount_minor"
        " UNION ALL SELECT currency, 0, 0, 0, 0, 0, 0, 0, NULL, 0, left_minor FROM deposits"
        " WHERE payer_id = %(payer)s AND left_minor <> 0"
        ") AS moved GROUP BY currency ORDER BY currency",
        {"payer": payer_id, "on": on},
    )
    return [PayerBalance._make(row) for row in rows]


def list_payer_credits(payer_id: UUID) -> list[PayerCreditRow]:
    """List what came in beyond what was open and is not used up, the oldest first."""
    rows = fetch_plain(
        "SELECT id, payment_id, currency, amount_minor, left_minor, since_on FROM payer_credits"
        " WHERE payer_id = %s AND applied_minor < amount_minor ORDER BY since_on, id",
        (payer_id,),
    )
    return [PayerCreditRow._make(row) for row in rows]


def list_payer_deposits(payer_id: UUID) -> list[PayerDepositRow]:
    """List the deposits of a payer, the latest first."""
    rows = fetch_plain(
        "SELECT id, purpose, state, currency, amount_minor, left_minor, received_on, due_back_on,"
        " may_set_off FROM deposits WHERE payer_id = %s ORDER BY received_on DESC, id DESC",
        (payer_id,),
    )
    return [PayerDepositRow(row[0], row[1], DepositState(row[2]), *row[3:]) for row in rows]

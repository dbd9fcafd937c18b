"""Adding payers and mandates, many at a time; what is there already is left as it is."""

from collections.abc import Iterable
from datetime import date, datetime
from typing import NamedTuple

from portal.db import current_organisation_id, transaction
from portal.domain.payers import name_sort_key
from portal.domain.users import Actor
from portal.ids import new_id
from portal.queries.organisations import FOR_PAYMENTS
from portal.sql import fetch_plain, stage_rows

_PAYER_COLUMNS = {
    "place": "integer",
    "id": "uuid",
    "external_ref": "text",
    "name": "text",
    "name_sort": "text",
    "kind": "text",
    "email": "text",
    "country": "text",
    "is_default": "boolean",
    "is_on_hold": "boolean",
    "vat_id": "text",
}
_MANDATE_COLUMNS = {
    "place": "integer",
    "id": "uuid",
    "payer_ref": "text",
    "reference": "text",
    "token": "text",
    "state": "text",
    "signed_on": "date",
    "currency": "text",
}

_NOTED = """
INSERT INTO events (organisation_id, kind, subject_type, subject_id, actor_kind, actor_id,
  actor_name, happened_at)
SELECT %(organisation)s, '{kind}', '{subject}', id, %(actor_kind)s, %(actor_id)s::uuid,
  %(actor_name)s, %(now)s FROM added
"""

_INSERT_PAYERS = f"""
WITH added AS (
  INSERT INTO payers (organisation_id, id, external_ref, name, name_sort, kind, email, country,
    is_default, is_on_hold, vat_id, created_at)
  SELECT %(organisation)s, id, external_ref, name, name_sort, kind, email, country, is_default,
    is_on_hold, vat_id, %(now)s
  FROM (
    SELECT DISTINCT ON (external_ref) * FROM pg_temp.new_payers ORDER BY external_ref, place
  ) AS firsts
  ORDER BY place
  ON CONFLICT (organisation_id, external_ref) DO NOTHING RETURNING id
), noted AS ({_NOTED.format(kind="payer.added", subject="payer")})
SELECT count(*) FROM added
"""

_INSERT_MANDATES = f"""
WITH added AS (
  INSERT INTO mandates (organisation_id, id, payer_id, gateway_account_id, currency, reference,
    token, state, signed_on, created_at)
  SELECT %(organisation)s, n.id, p.id, a.id, n.currency, n.reference, n.token, n.state, n.signed_on,
    %(now)s
  FROM pg_temp.new_mandates n
  JOIN payers p ON p.external_ref = n.payer_ref AND NOT p.is_default
  JOIN LATERAL (
    SELECT id FROM gateway_accounts g
    WHERE g.currency = n.currency AND g.is_active AND {FOR_PAYMENTS} ORDER BY id LIMIT 1
  ) a ON true
  ORDER BY n.place
  ON CONFLICT DO NOTHING RETURNING id
), noted AS ({_NOTED.format(kind="mandate.added", subject="mandate")})
SELECT count(*) FROM added
"""


class NewPayer(NamedTuple):
    """A payer to be added."""

    external_ref: str
    name: str
    kind: str
    email: str | None = None
    country: str | None = None
    is_default: bool = False
    is_on_hold: bool = False
    vat_id: str | None = None


class NewMandate(NamedTuple):
    """A mandate to be added; the payer is named by the reference of the source system."""

    payer_ref: str
    reference: str
    token: str
    signed_on: date
    currency: str
    state: str = "active"


def add_payers(rows: Iterable[NewPayer], *, actor: Actor, now: datetime) -> int:
    """Add payers to the organisation in scope and return how many were new.

    Shape: of several with one reference the first counts; a reference that is known is left as it
    is. Three statements, however many payers.
    """
    organisation_id = current_organisation_id()
    with transaction(organisation_id):
        stage_rows(
            "new_payers",
            _PAYER_COLUMNS,
            (
                (place, new_id(), row.external_ref, row.name, name_sort_key(row.name), *row[2:])
                for place, row in enumerate(rows)
            ),
        )
        added = fetch_plain(
            _INSERT_PAYERS,
            _noted_by(actor, now),
        )
    count: int = added[0][0]
    return count


def add_mandates(rows: Iterable[NewMandate], *, actor: Actor, now: datetime) -> int:
    """Add mandates to the organisation in scope and return how many were new.

    Shape: each on the oldest active gateway account in its currency. Left out are: a known
    reference, an unknown or default payer, a currency without an account, and a second active
    mandate of one payer in one currency.
    """
    organisation_id = current_organisation_id()
    with transaction(organisation_id):
        stage_rows(
            "new_mandates",
            _MANDATE_COLUMNS,
            (
                (
                    place,
                    new_id(),
                    row.payer_ref,
                    row.reference,
                    row.token,
                    row.state,
                    row.signed_on,
                    row.currency,
                )
                for place, row in enumerate(rows)
            ),
        )
        added = fetch_plain(
            _INSERT_MANDATES,
            _noted_by(actor, now),
        )
    count: int = added[0][0]
    return count


def _noted_by(actor: Actor, now: datetime) -> dict[str, object]:
    return {
        "organisation": current_organisation_id(),
        "now": now,
        "actor_kind": actor.kind,
        "actor_id": actor.id,
        "actor_name": actor.name,
    }

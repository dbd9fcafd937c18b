"""Reading organisations, and the accounts they collect and tell payers through."""

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from portal.domain.errors import NotFound
from portal.domain.gateway_accounts import AccountPurpose
from portal.sql import fetch_one, fetch_plain

CODES_SHOWN_MAX = 20

_SELECT = "SELECT id, code, name, currency, zone, locale, holiday_calendar FROM organisations"
_SELECT_ACCOUNTS = (
    "SELECT id, organisation_id, code, kind, currency, is_active, open_until FROM gateway_accounts"
)
FOR_PAYMENTS = f"purpose = '{AccountPurpose.PAYMENTS}'"


class OrganisationNotFound(NotFound):
    """There is no organisation “{organisation_code}”; {known}. Nothing was changed."""

    organisation_code: str
    known: str


class GatewayAccountNotFound(NotFound):
    """The organisation has no active gateway account in {currency} to collect through. Nothing was
    changed; add one, or use another currency."""

    currency: str


class OrganisationRow(NamedTuple):
    """An organisation, as everything outside the database sees it."""

    id: UUID
    code: str
    name: str
    currency: str
    zone: str
    locale: str
    holiday_calendar: str


class GatewayAccountRow(NamedTuple):
    """An account at a payment gateway; `open_until` is set while its circuit is broken."""

    id: UUID
    organisation_id: UUID
    code: str
    kind: str
    currency: str
    is_active: bool
    open_until: datetime | None


class BankAccountRow(NamedTuple):
    """A bank account of the organisation."""

    id: UUID
    iban: str
    name: str
    currency: str


def list_organisations() -> list[OrganisationRow]:
    """List every organisation, by code."""
    rows = fetch_plain(_SELECT + " ORDER BY code")
    return [OrganisationRow(*row) for row in rows]


def get_organisation(organisation_id: UUID) -> OrganisationRow:
    """Return an organisation by its id.

    Raises: OrganisationNotFound.
    """
    row = fetch_one(_SELECT + " WHERE id = %s", (organisation_id,))
    if row is None:
        raise OrganisationNotFound(organisation_code=str(organisation_id), known=_known())
    return OrganisationRow(*row)


def find_organisation_by_code(organisation_code: str) -> OrganisationRow | None:
    """Return the organisation with a code, or None."""
    # PostgreSQL cannot even be asked for a text with a NUL in it.
    if "\0" in organisation_code:
        return None
    row = fetch_one(_SELECT + " WHERE code = %s", (organisation_code,))
    return OrganisationRow(*row) if row else None


def get_organisation_by_code(organisation_code: str) -> OrganisationRow:
    """Return the organisation with a code.

    Raises: OrganisationNotFound, which names the codes there are.
    """
    found = find_organisation_by_code(organisation_code)
    if found is None:
        raise OrganisationNotFound(
            organisation_code=organisation_code[:40].replace("\0", ""), known=_known()
        )
    return found


def list_gateway_accounts() -> list[GatewayAccountRow]:
    """List the gateway accounts of the organisation in scope, whatever they are for, by code."""
    rows = fetch_plain(_SELECT_ACCOUNTS + " ORDER BY code")
    return [GatewayAccountRow(*row) for row in rows]


def list_payment_accounts() -> list[GatewayAccountRow]:
    """List the gateway accounts that the organisation in scope collects through, by code."""
    rows = fetch_plain(f"{_SELECT_ACCOUNTS} WHERE {FOR_PAYMENTS} ORDER BY code")
    return [GatewayAccountRow(*row) for row in rows]


def get_gateway_account(currency: str) -> GatewayAccountRow:
    """Return the account through which the organisation in scope collects a currency.

    Shape: the oldest active one when there are several.
    Raises: GatewayAccountNotFound.
    """
    row = fetch_one(
        f"{_SELECT_ACCOUNTS} WHERE currency = %s AND is_active AND {FOR_PAYMENTS}"
        " ORDER BY id LIMIT 1",
        (currency,),
    )
    if row is None:
        raise GatewayAccountNotFound(currency=currency)
    return GatewayAccountRow(*row)


def find_gateway_account_by_code(account_code: str) -> GatewayAccountRow | None:
    """Return the gateway account of the organisation in scope with a code, or None."""
    row = fetch_one(_SELECT_ACCOUNTS + " WHERE code = %s", (account_code,))
    return GatewayAccountRow(*row) if row else None


def list_bank_accounts() -> list[BankAccountRow]:
    """List the bank accounts of the organisation in scope, by IBAN."""
    rows = fetch_plain("SELECT id, iban, name, currency FROM bank_accounts ORDER BY iban")
    return [BankAccountRow(*row) for row in rows]


def _known() -> str:
    """Name the codes there are, for the one who mistyped."""
    codes = [row[0] for row in fetch_plain("SELECT code FROM organisations ORDER BY code")]
    if not codes:
        return "there is none yet, add one with `portal organisation add`"
    more = ", …" if len(codes) > CODES_SHOWN_MAX else ""
    return f"the known ones are {', '.join(codes[:CODES_SHOWN_MAX])}{more}"

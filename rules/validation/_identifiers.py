"""Checks of identifiers by their form and check digits."""

from collections.abc import Callable
from functools import lru_cache

from stdnum import iban, iso11649
from stdnum.util import get_cc_module

from rules.clauses import ClauseKind, clause
from rules.limits import DOCUMENT_STAGES
from rules.types import InvoiceFacts

_CHECK = ClauseKind.CHECK


# A payer of many documents is checked once.
_REMEMBERED_MAX = 20_000
_CHARACTERS_MAX = 40


@clause(_CHECK, *DOCUMENT_STAGES, field="payer_vat_id")
def v124_vat_number_is_right(facts: InvoiceFacts) -> str | None:
    """Refuse a VAT number whose form or check digits are wrong where its country issues them."""
    if not facts.payer_vat_id or _is_vat_number(facts.payer_vat_id):
        return None
    return f"The VAT number {facts.payer_vat_id} is wrong; compare it with the payer's papers."


@clause(_CHECK, *DOCUMENT_STAGES, field="payer_iban")
def v125_iban_is_right(facts: InvoiceFacts) -> str | None:
    """Refuse an IBAN whose form or check digits are wrong."""
    if not facts.payer_iban or _is_iban(facts.payer_iban):
        return None
    return "The IBAN of the payer is wrong; compare it with what the payer has given."


@clause(_CHECK, *DOCUMENT_STAGES, field="payment_ref")
def v126_creditor_reference_is_right(facts: InvoiceFacts) -> str | None:
    """Refuse a payment reference that is no creditor reference by ISO 11649, as RF18 5390 0754."""
    if not facts.payment_ref or _is_creditor_reference(facts.payment_ref):
        return None
    return f"The payment reference {facts.payment_ref} is wrong; it begins with RF and two digits."


@lru_cache(maxsize=_REMEMBERED_MAX)
def _is_vat_number(text: str) -> bool:
    """Ask the country that the first two letters name; Greece writes EL, Northern Ireland XI."""
    country = {"EL": "GR", "XI": "GB"}.get(text[:2].upper(), text[:2])
    if len(text) > _CHARACTERS_MAX or not (country.isascii() and country.isalpha()):
        return False
    module = get_cc_module(country.lower(), "vat")
    return module is not None and _is_right(module.is_valid, text)


@lru_cache(maxsize=_REMEMBERED_MAX)
def _is_iban(text: str) -> bool:
    return _is_right(iban.is_valid, text)


@lru_cache(maxsize=_REMEMBERED_MAX)
def _is_creditor_reference(text: str) -> bool:
    return _is_right(iso11649.is_valid, text)


def _is_right(is_valid: Callable[[str], bool], text: str) -> bool:
    # Digits of other scripts count as digits to the library, and to no bank.
    return text.isascii() and len(text) <= _CHARACTERS_MAX and bool(is_valid(text))

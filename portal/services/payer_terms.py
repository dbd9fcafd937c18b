"""How a payer is dealt with: put on hold or given more time, by a person and with a reason."""

from datetime import date, datetime
from typing import Final
from uuid import UUID

from portal.db import current_organisation_id, transaction
from portal.domain.errors import Conflict, Invalid
from portal.domain.payers import PayerTerms
from portal.domain.users import Actor
from portal.queries.payers import get_payer
from portal.services.events import record_event
from portal.sql import execute

TERMS_REASON_MAX: Final = 500


class TermsInvalid(Invalid):
    """How the payer is dealt with was not changed: {reason}."""

    reason: str


class TermsChanged(Conflict):
    """Somebody else has changed this payer since you looked. Nothing was changed now; look at it
    again, and change what you see then."""


def change_payer_terms(
    *,
    payer_id: UUID,
    terms: PayerTerms,
    reason: str,
    on: date,
    actor: Actor,
    now: datetime,
    version: int | None = None,
) -> None:
    """Put a payer on hold or take the hold away, and agree on more time or end it.

    Shape: `version` is that of the payer whom the person saw; None takes any. Nothing is written
    where nothing changes.
    Raises: PayerNotFound; TermsInvalid; TermsChanged.
    """
    why = " ".join(reason.split())
    with transaction():
        execute(
            "SELECT id FROM payers WHERE organisation_id = %s AND id = %s FOR NO KEY UPDATE",
            (current_organisation_id(), payer_id),
        )
        payer = get_payer(payer_id)
        if version is not None and version != payer.version:
            raise TermsChanged
        before = payer.terms
        if terms == before:
            return
        _check(terms, before, why, is_default=payer.is_default, on=on)
        execute(
            "UPDATE payers SET is_on_hold = %s, arrangement = %s, arranged_until = %s,"
            " version = version + 1 WHERE organisation_id = %s AND id = %s",
            (
                terms.is_on_hold,
                terms.arrangement.value if terms.arrangement else None,
                terms.arranged_until,
                current_organisation_id(),
                payer_id,
            ),
        )
        record_event(
            "payer.terms_changed",
            payer_id,
            actor=actor,
            now=now,
            reason=why,
            details={"from": _told(before), "to": _told(terms)},
        )


def _check(
    terms: PayerTerms, before: PayerTerms, reason: str, *, is_default: bool, on: date
) -> None:
    """Refuse terms that cannot be.

    Raises: TermsInvalid.
    """
    if not reason:
        raise TermsInvalid(reason="say why", field="reason")
    if len(reason) > TERMS_REASON_MAX or not reason.isprintable():
        wrong = f"the reason has at most {TERMS_REASON_MAX} characters, all of them printable"
        raise TermsInvalid(reason=wrong, field="reason")
    if (terms.arrangement is None) is not (terms.arranged_until is None):
        wrong = "an arrangement has a last day, and a last day an arrangement"
        raise TermsInvalid(reason=wrong, field="arranged_until")
    is_new = terms[1:] != before[1:]
    if is_new and terms.arrangement is not None and terms.arrangement_on(on) is None:
        wrong = "its last day is over; to end an arrangement, choose that there is none"
        raise TermsInvalid(reason=wrong, field="arranged_until")
    if is_default and terms.arrangement is not None:
        wrong = "the payer stands for many people, of whom none is known by name"
        raise TermsInvalid(reason=wrong, field="arrangement")


def _told(terms: PayerTerms) -> dict[str, str | bool | None]:
    return {
        "is_on_hold": terms.is_on_hold,
        "arrangement": terms.arrangement.value if terms.arrangement else None,
        "arranged_until": terms.arranged_until.isoformat() if terms.arranged_until else None,
    }

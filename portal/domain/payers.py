"""Who owes, and the life of the permission to collect from them."""

import unicodedata
from datetime import date
from typing import NamedTuple, TypeVar

from portal.domain.states import Moves, State

Kind = TypeVar("Kind", bound=str)


class PayerKind(State):
    """Who owes."""

    PERSON = "person", "Person"
    COMPANY = "company", "Company"
    PUBLIC_BODY = "public_body", "Public body"


class Arrangement(State):
    """What was agreed with a payer who cannot pay as usual."""

    HARDSHIP = "hardship", "Hardship agreement"
    INSTALMENTS = "instalments", "Payment by instalments"


class PayerTerms(NamedTuple):
    """How a payer is dealt with.

    Shape: an arrangement has a last day, and so has every last day an arrangement.
    """

    is_on_hold: bool = False
    arrangement: Arrangement | None = None
    arranged_until: date | None = None

    def arrangement_on(self, day: date) -> Arrangement | None:
        """Return the arrangement if it is in force on a day."""
        return arrangement_on(self.arrangement, self.arranged_until, day)


def arrangement_on(arrangement: Kind | None, until: date | None, day: date) -> Kind | None:
    """Return an arrangement if it is in force on a day; it is so on its last as well."""
    return arrangement if until is not None and day <= until else None


class MandateState(State):
    """How far a mandate has come."""

    DRAFT = "draft", "Draft"
    REQUESTED = "requested", "Requested"
    ACTIVE = "active", "Active"
    SUSPENDED = "suspended", "Suspended"
    CANCELLED = "cancelled", "Cancelled"
    EXPIRED = "expired", "Expired"


MANDATE_MOVES = Moves(
    {
        (MandateState.DRAFT, "request"): MandateState.REQUESTED,
        (MandateState.DRAFT, "activate"): MandateState.ACTIVE,
        (MandateState.REQUESTED, "activate"): MandateState.ACTIVE,
        (MandateState.REQUESTED, "cancel"): MandateState.CANCELLED,
        (MandateState.ACTIVE, "suspend"): MandateState.SUSPENDED,
        (MandateState.SUSPENDED, "activate"): MandateState.ACTIVE,
        (MandateState.ACTIVE, "cancel"): MandateState.CANCELLED,
        (MandateState.SUSPENDED, "cancel"): MandateState.CANCELLED,
        (MandateState.ACTIVE, "expire"): MandateState.EXPIRED,
    }
)


NAME_SORT_CHARACTERS_MAX = 200


def name_sort_key(name: str) -> str:
    """Make the key by which a name is sorted: no accents, no case, single blanks.

    Shape: stored beside the name, since the database may know no language's collation.
    """
    plain = unicodedata.normalize("NFKD", name.casefold())
    kept = " ".join("".join(c for c in plain if not unicodedata.combining(c)).split())
    # A place in a list carries it, and an address is only so long.
    return kept[:NAME_SORT_CHARACTERS_MAX]

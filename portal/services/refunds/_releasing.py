"""Giving back to a payment what a refund had reserved of it."""

from uuid import UUID

from portal.db import current_organisation_id
from portal.sql import execute


def release_refund(payment_id: UUID, amount_minor: int) -> None:
    """Free what a refund that ended had reserved, inside the transaction that ends it."""
    execute(
        "UPDATE payments SET refunding_minor = refunding_minor - %s, version = version + 1"
        " WHERE organisation_id = %s AND id = %s",
        (amount_minor, current_organisation_id(), payment_id),
    )

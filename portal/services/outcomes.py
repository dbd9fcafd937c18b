"""What a service that works on a list says about each item."""

from typing import NamedTuple
from uuid import UUID

from portal.domain.batches import ItemOutcome


class ItemResult(NamedTuple):
    """The outcome of one item; code and message say why when it is not done."""

    item_id: UUID
    outcome: ItemOutcome
    code: str | None = None
    message: str | None = None
    amount_minor: int = 0

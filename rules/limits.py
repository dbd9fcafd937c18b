"""What the numbers of several clauses may be, with their units, and the stages of a document."""

from collections.abc import Mapping
from typing import Annotated, Final

from portal.domain.money import AMOUNT_MINOR_MAX
from rules.parameters import Between, Unit
from rules.types import Stage

# A draft that is read from a file, written or changed by hand, and issued.
DOCUMENT_STAGES: Final = (Stage.IMPORT, Stage.DRAFT, Stage.ISSUE)

AmountMinor = Annotated[int, Between(0, AMOUNT_MINOR_MAX, Unit.MINOR)]
AmountsMinor = Annotated[tuple[int, ...], Between(0, AMOUNT_MINOR_MAX, Unit.MINOR)]
# Of something that is divided by, or that would be no rule at all when it is zero.
PositiveMinor = Annotated[int, Between(1, AMOUNT_MINOR_MAX, Unit.MINOR)]
Days = Annotated[int, Between(0, 3660, Unit.DAYS)]
BusinessDays = Annotated[int, Between(0, 260, Unit.BUSINESS_DAYS)]
Share = Annotated[int, Between(0, 10_000, Unit.BASIS_POINTS)]
Rates = Annotated[Mapping[str, int], Between(0, 10_000, Unit.BASIS_POINTS)]
# A million of the currency for one unit, as finely as the lines of an invoice say it.
Price = Annotated[int, Between(0, 10**12, Unit.PRICE)]
Prices = Annotated[tuple[int, ...], Between(0, 10**12, Unit.PRICE)]
Quantities = Annotated[tuple[int, ...], Between(1, 10**9, Unit.QUANTITY)]

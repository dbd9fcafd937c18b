"""What waits for a person, the most uncertain first, each with the list of it."""

from collections.abc import Sequence
from typing import NamedTuple

from portal.domain.payments import AttemptState
from portal.queries.dashboard import AttemptSum, MessageFigures, WorklistSum
from portal.web.formats import worklist_in_words
from portal.web.overview._places import Places
from portal.web.tables import list_address

HINT = "These payments are not tried again by themselves."
HINTS = {
    "needs_payer": "Ask the payer for another way to pay.",
    "hard_decline": "The bank refuses for good; agree on another way.",
    "retries_exhausted": "All planned tries are used; decide how to go on.",
    "gateway_trouble": "Nothing was sent; try again once the gateway answers.",
    "outcome_unknown": "Ask the gateway's support what became of them.",
    "mismatch": "The gateway speaks of another amount or currency; compare.",
    "conflicting_outcome": "The gateway says something else than the books; compare.",
}


class Waiting(NamedTuple):
    """Something that waits for a person."""

    label: str
    hint: str
    number: int
    address: str | None = None
    amount_minor: int | None = None
    currency: str | None = None


def list_waiting(
    worklists: Sequence[WorklistSum],
    awaited: Sequence[AttemptSum],
    messages: MessageFigures,
    *,
    cases_count: int,
    currencies: Sequence[str],
) -> list[Waiting]:
    """List what waits, in every currency."""
    found: list[Waiting] = []
    names = dict.fromkeys(one.worklist for one in worklists)
    for currency in currencies:
        places = Places(currency, is_named=len(currencies) > 1)
        unknown = [
            one for one in awaited if one.currency == currency and one.state is AttemptState.UNKNOWN
        ]
        hint = "The gateway is asked until it answers; nothing is sent twice."
        address = places.awaited([AttemptState.UNKNOWN])
        found += _summed_up("Outcome unknown", hint, unknown, currency, address)
        for name in names:
            chosen = [one for one in worklists if (one.currency, one.worklist) == (currency, name)]
            words, hint = worklist_in_words(name), HINTS.get(name, HINT)
            found += _summed_up(words, hint, chosen, currency, places.worklist(name))
    return [*found, *_cases(cases_count), *_parked(messages)]


def _cases(number: int) -> list[Waiting]:
    if not number:
        return []
    hint = "Expected and did not come, or differs; each says what to do."
    return [Waiting("Open cases", hint, number, list_address("cases.index", ("state", "open")))]


def _summed_up(
    label: str,
    hint: str,
    sums: Sequence[WorklistSum | AttemptSum],
    currency: str,
    address: str | None,
) -> list[Waiting]:
    if not sums:
        return []
    number = sum(one.rows_count for one in sums)
    return [Waiting(label, hint, number, address, sum(one.amount_minor for one in sums), currency)]


def _parked(messages: MessageFigures) -> list[Waiting]:
    attempts = list_address("attempts.index", ("message", "parked"))
    lines = [
        Waiting("Parked messages", "Attempts whose message could not be delivered.",
                messages.attempts_parked, attempts),
        Waiting("Parked errands", "Requests to a gateway about no single payment; the log of the"
                " workers says why.", messages.errands_parked),
        Waiting("Parked answers", "Messages of a gateway that do not fit the books.",
                messages.inbox_parked),
    ]  # fmt: skip
    return [line for line in lines if line.number]

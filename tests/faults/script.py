"""Draws from one seed what goes wrong, where on the wire and at which of its events.

What is drawn depends on the seed alone; how the processes interleave with it does not.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import NamedTuple

# How many of each, for a hundred payments. A place is a kind of event on the wire: a COMMIT of a
# transaction that wrote is `seen` before it is forwarded and `answered` before the answer is.
WANTED: dict[str, dict[str, float]] = {
    "commit_seen": {"kill": 2.0, "kill_service": 0.6, "cut": 3.0},
    "commit_answered": {"kill": 2.0, "cut": 3.0},
    "chunk_worked": {"stop": 1.4, "kill": 1.0},
    "bell_answered": {"kill": 0.8},
    "redis_command": {"kill": 0.4, "cut": 3.0, "delay": 1.0},
    "gateway_request": {"kill": 1.2, "cut": 4.0},
    "gateway_answer": {"kill": 1.2, "cut": 4.0, "stop": 0.6, "delay": 2.0},
    "query_answer": {"stop": 1.6},
    "web_request": {"kill": 0.6, "cut": 4.0},
    "web_answer": {"cut": 5.0},
    "moment": {
        "kill_postgres": 0.6,
        "kill_redis": 0.6,
        "flush_redis": 1.6,
        "kill_gateway": 0.6,
        "kill_scheduler": 0.4,
        "kill_web": 0.4,
        "kill_everything": 0.4,
    },
}
# How many events a place has for each payment, cautiously: what is drawn is to happen in time.
EVENTS_PER_PAYMENT = {
    "commit_seen": 2.6,
    "commit_answered": 2.6,
    "chunk_worked": 0.16,
    "bell_answered": 0.5,
    "redis_command": 12.0,
    "gateway_request": 1.7,
    "gateway_answer": 1.5,
    "query_answer": 0.5,
    "web_request": 1.9,
    "web_answer": 1.5,
    "moment": 2.6,
}
HUNDRED = 100
# How long a process is stopped: longer than every lease, so that another takes over what it holds.
STOPPED_SECONDS = 5.5

# The last five digits of an amount say what the sandbox does; see its profile.
ENDINGS: dict[int, int] = {
    77700: 26,  # approved
    77701: 4,  # declined, may succeed later
    77702: 3,  # declined for good
    77704: 2,  # declined, a card without funds
    77706: 3,  # approved, returned after one day
    77707: 2,  # approved, returned after two days
    77708: 6,  # the event is lost
    77709: 8,  # the event comes twice
    77710: 7,  # the event comes late
    77711: 3,  # no answer
    77712: 6,  # charged, and a fault for an answer
    77713: 5,  # a fault before anything was done
    77714: 5,  # reset before anything was done
    77715: 4,  # too many requests
    77716: 1,  # an answer about another amount
    77717: 5,  # broken JSON
    77718: 6,  # charged, and reset instead of an answer
    77719: 7,  # the event is overtaken
    77720: 4,  # charged, reset, and not found for a while
}
APPROVED, MISMATCHED = 77700, 77716
AMOUNT_STEP = 100_000

# Shares of a hundred: what is not collected by runs.
BY_API, BY_PAGE = 15, 8


class Trigger(NamedTuple):
    """What happens at a place, so many of its events after the last one."""

    gap: int
    action: str


class Order(NamedTuple):
    """One payment to be made, and the way in which it comes in."""

    way: str  # "run", "api" or "page"
    amount_minor: int
    is_sent_twice: bool


def draw_triggers(seed: int, place: str, payments: int) -> Iterator[Trigger]:
    """Draw everything that happens at a place, in its order."""
    chance = Random(f"{seed} {place}")
    actions = [
        action
        for action, wanted in WANTED[place].items()
        for _ in range(max(1, round(wanted * payments / HUNDRED)))
    ]
    chance.shuffle(actions)
    mean = EVENTS_PER_PAYMENT[place] * payments / len(actions)
    for action in actions:
        yield Trigger(max(1, round(mean * chance.uniform(0.3, 1.7))), action)


def count_triggers(seed: int, payments: int) -> int:
    """Count what is drawn over all places."""
    return sum(len(list(draw_triggers(seed, place, payments))) for place in WANTED)


def draw_orders(seed: int, payments: int) -> list[Order]:
    """Draw the payments, each with an amount of its own."""
    chance = Random(f"{seed} orders")
    endings = chance.choices(list(ENDINGS), weights=list(ENDINGS.values()), k=payments)
    found = []
    for place, ending in enumerate(endings, start=1):
        drawn = chance.randrange(HUNDRED)
        way = "api" if drawn < BY_API else "page" if drawn < BY_API + BY_PAGE else "run"
        is_sent_twice = chance.random() < 0.5
        # No gateway sees what comes another way.
        shown = ending if way == "run" else APPROVED
        found.append(Order(way, place * AMOUNT_STEP + shown, is_sent_twice))
    return found

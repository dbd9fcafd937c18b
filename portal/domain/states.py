"""States that have a stored value and a label, and the tables of moves between them.

Which states a noun has stands in that noun's own file.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Generic, Self, TypeVar

from portal.domain.errors import Conflict, snake_case


class State(StrEnum):
    """A state: equal to the lower case value that is stored, with a label for people.

    Shape: a member is written as `DRAFT = "draft", "Draft"`.
    """

    label: str

    def __new__(cls, value: str, label: str = "") -> Self:
        """Make the member from its two parts.

        Raises: ValueError when the value is not lower case or the label is missing (it has a
        default only so that `InvoiceState("draft")`, a lookup, is well typed).
        """
        if value != value.lower():
            raise ValueError(f"{cls.__name__}: the stored value {value!r} is not lower case")
        if not label:
            raise ValueError(f"{cls.__name__}: the state {value!r} has no label")
        member = str.__new__(cls, value)
        member._value_ = value
        member.label = label
        return member


StateKind = TypeVar("StateKind", bound=State)


class MoveNotAllowed(Conflict):
    """The {noun} is “{label}”, so “{event}” is not possible; nothing was changed. {advice}."""

    noun: str
    state: State
    label: str
    event: str
    advice: str


class Moves(Generic[StateKind]):
    """The whole life of a noun: from a state, by an event, to a state."""

    def __init__(
        self,
        table: Mapping[tuple[StateKind, str], StateKind],
        *,
        noun: str = "",
        records: Mapping[str, str] | None = None,
        error: type[Conflict] = MoveNotAllowed,
    ) -> None:
        """Keep the table.

        Shape: `noun` is the word of the message, taken from the name of the states when it is not
        given (`InvoiceState` says invoice); `records` gives the past form per event
        (`{"issue": "issued"}` is recorded as `invoice.issued`); `error` is given the attributes of
        MoveNotAllowed.
        """
        if not table:
            raise ValueError("a table of moves needs a move")
        unknown = set(records or {}) - {event for _, event in table}
        if unknown:
            raise ValueError(f"no move has the events {sorted(unknown)}")
        kind = type(next(iter(table))[0])
        self.noun = noun or snake_case(kind.__name__.removesuffix("State")).replace("_", " ")
        self.table: dict[tuple[StateKind, str], StateKind] = dict(table)
        self._records = dict(records or {})
        self._error = error
        self.states: tuple[StateKind, ...] = tuple(kind)
        self.events: tuple[str, ...] = tuple(dict.fromkeys(event for _, event in self.table))
        moving = {state for state, _ in self.table}
        self.final: frozenset[StateKind] = frozenset(self.states) - moving

    def next(self, state: StateKind, event: str) -> StateKind:
        """Return the state that follows.

        Raises: MoveNotAllowed (or the error given) when this state knows no such event.
        """
        target = self.table.get((state, event))
        if target is None:
            attributes: dict[str, Any] = {
                "noun": self.noun,
                "state": state,
                "label": state.label,
                "event": event,
                "advice": self._advice(state),
            }
            raise self._error(**attributes)
        return target

    def may(self, state: StateKind, event: str) -> bool:
        """Say whether the event is possible in this state."""
        return (state, event) in self.table

    def sources(self, event: str) -> frozenset[StateKind]:
        """Name the states in which an event is possible; none for an unknown event."""
        return frozenset(state for state, name in self.table if name == event)

    def events_from(self, state: StateKind) -> tuple[str, ...]:
        """Name the events that are possible in a state, in the order of the table."""
        return tuple(event for source, event in self.table if source == state)

    def recorded(self, event: str) -> str:
        """Name what the audit trail calls the event once it happened: `invoice.issued`."""
        return f"{self.noun.replace(' ', '_')}.{self._records.get(event, event)}"

    def mermaid(self, name: str) -> str:
        """Draw the table as a Mermaid state diagram with a title.

        Shape: states nobody moves into are starts; final states lead to the end mark.
        """
        targets = set(self.table.values())
        sources = {state for state, _ in self.table}
        used = [state for state in self.states if state in targets or state in sources]
        lines = ["---", f"title: {name}", "---", "stateDiagram-v2"]
        lines += [f"    {state.value}: {state.label}" for state in used]
        lines += [f"    [*] --> {state.value}" for state in used if state not in targets]
        lines += [
            f"    {source.value} --> {target.value}: {event}"
            for (source, event), target in self.table.items()
        ]
        lines += [f"    {state.value} --> [*]" for state in used if state in self.final]
        return "\n".join(lines) + "\n"

    def _advice(self, state: StateKind) -> str:
        events = self.events_from(state)
        if not events:
            return "This state is final"
        return f"Possible now: {', '.join(events)}"

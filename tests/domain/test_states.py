"""States and moves: what the tables of all nouns rely on."""

import importlib
import json
import pickle
import pkgutil

import pytest

import portal.domain
from portal.domain.errors import Conflict
from portal.domain.states import MoveNotAllowed, Moves, State


class DoorState(State):
    OPEN = "open", "Open"
    SHUT = "shut", "Shut"
    LOCKED = "locked", "Locked up"
    GONE = "gone", "Gone"


class DoorNotMovable(Conflict):
    """The door cannot {event}."""


DOOR_MOVES = Moves(
    {
        (DoorState.OPEN, "shut"): DoorState.SHUT,
        (DoorState.SHUT, "open"): DoorState.OPEN,
        (DoorState.SHUT, "lock"): DoorState.LOCKED,
        (DoorState.OPEN, "remove"): DoorState.GONE,
        (DoorState.SHUT, "remove"): DoorState.GONE,
        (DoorState.LOCKED, "unlock"): DoorState.SHUT,
    },
    records={"lock": "locked"},
)


def test_a_state_is_its_stored_value_with_a_label() -> None:
    assert DoorState("locked") is DoorState.LOCKED
    assert {"locked", DoorState.LOCKED} == {"locked"}
    assert DoorState.LOCKED.label == "Locked up"
    assert f"{DoorState.LOCKED}" == str(DoorState.LOCKED) == "locked"
    assert json.dumps([DoorState.LOCKED]) == '["locked"]'
    assert {"locked": 1}[DoorState.LOCKED] == 1
    assert pickle.loads(pickle.dumps(DoorState.LOCKED)) is DoorState.LOCKED


def test_a_stored_value_is_lower_case_and_has_a_label() -> None:
    with pytest.raises(ValueError, match="not lower case"):

        class LoudState(State):
            UP = "Up", "Up"

    with pytest.raises(ValueError, match="has no label"):

        class MuteState(State):
            UP = "up", ""


def test_moves_lead_where_the_table_says() -> None:
    for (state, event), target in DOOR_MOVES.table.items():
        assert DOOR_MOVES.next(state, event) is target
        assert DOOR_MOVES.may(state, event)


def test_each_pair_that_is_not_in_the_table_is_refused() -> None:
    for state in DoorState:
        for event in (*DOOR_MOVES.events, "paint"):
            if (state, event) not in DOOR_MOVES.table:
                assert not DOOR_MOVES.may(state, event)
                with pytest.raises(MoveNotAllowed):
                    DOOR_MOVES.next(state, event)


def test_a_refused_move_says_what_is_possible() -> None:
    with pytest.raises(MoveNotAllowed) as caught:
        DOOR_MOVES.next(DoorState.OPEN, "lock")
    assert caught.value.message == (
        "The door is “Open”, so “lock” is not possible; nothing was changed. "
        "Possible now: shut, remove."
    )
    with pytest.raises(MoveNotAllowed, match="This state is final"):
        DOOR_MOVES.next(DoorState.GONE, "open")


def test_a_noun_may_have_its_own_error() -> None:
    moves = Moves({(DoorState.OPEN, "shut"): DoorState.SHUT}, error=DoorNotMovable)
    with pytest.raises(DoorNotMovable, match="cannot open"):
        moves.next(DoorState.OPEN, "open")


def test_the_table_answers_questions() -> None:
    assert DOOR_MOVES.sources("remove") == {DoorState.OPEN, DoorState.SHUT}
    assert DOOR_MOVES.sources("paint") == frozenset()
    assert DOOR_MOVES.final == {DoorState.GONE}
    assert DOOR_MOVES.events == ("shut", "open", "lock", "remove", "unlock")
    assert DOOR_MOVES.events_from(DoorState.SHUT) == ("open", "lock", "remove")
    assert DOOR_MOVES.noun == "door"
    assert (DOOR_MOVES.recorded("lock"), DOOR_MOVES.recorded("open")) == (
        "door.locked",
        "door.open",
    )


def test_wrong_tables_are_refused() -> None:
    with pytest.raises(ValueError, match="needs a move"):
        Moves[DoorState]({})
    with pytest.raises(ValueError, match="paint"):
        Moves({(DoorState.OPEN, "shut"): DoorState.SHUT}, records={"paint": "painted"})


def test_the_diagram_shows_each_move_once() -> None:
    lines = DOOR_MOVES.mermaid("Door").splitlines()
    assert lines[:4] == ["---", "title: Door", "---", "stateDiagram-v2"]
    arrows = [line.strip() for line in lines if ": " in line and "-->" in line]
    assert len(arrows) == len(DOOR_MOVES.table)
    assert "    locked: Locked up" in lines
    assert "    gone --> [*]" in lines
    assert "shut --> locked: lock" in arrows


def _all_moves() -> list[tuple[str, Moves[State]]]:
    found = []
    for module in pkgutil.iter_modules(portal.domain.__path__):
        contents = vars(importlib.import_module(f"portal.domain.{module.name}"))
        found += [(name, value) for name, value in contents.items() if isinstance(value, Moves)]
    return found


@pytest.mark.parametrize(("name", "moves"), _all_moves())
def test_every_state_of_every_noun_is_part_of_its_life(name: str, moves: Moves[State]) -> None:
    used = {state for state, _ in moves.table} | set(moves.table.values())
    assert used == set(moves.states), f"{name} forgets {set(moves.states) - used}"
    assert moves.mermaid(name).count("-->") >= len(moves.table)

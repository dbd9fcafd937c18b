"""The life of a rule set: written, asked for, approved by a second person, never changed after."""

from portal.domain.states import Moves, State


class RuleSetState(State):
    """How far a version of an agreement has come."""

    DRAFT = "draft", "Draft"
    REQUESTED = "requested", "Waits for approval"
    ACTIVE = "active", "Active"
    RETIRED = "retired", "Retired"


RULE_SET_MOVES = Moves(
    {
        (RuleSetState.DRAFT, "request"): RuleSetState.REQUESTED,
        (RuleSetState.DRAFT, "discard"): RuleSetState.RETIRED,
        (RuleSetState.REQUESTED, "approve"): RuleSetState.ACTIVE,
        (RuleSetState.REQUESTED, "decline"): RuleSetState.DRAFT,
        (RuleSetState.ACTIVE, "retire"): RuleSetState.RETIRED,
    },
    records={
        "request": "requested",
        "discard": "discarded",
        "approve": "activated",
        "decline": "declined",
        "retire": "retired",
    },
)

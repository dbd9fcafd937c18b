"""The life of an emergency brake: pulled for a while, then released or run out."""

from portal.domain.states import Moves, State

REASON_CHARACTERS_MAX = 500
HOLD_SECONDS_MIN = 60
HOLD_SECONDS_MAX = 31 * 86_400


class BrakeState(State):
    """Whether a brake holds."""

    ACTIVE = "active", "Holds"
    RELEASED = "released", "Released"
    EXPIRED = "expired", "Ran out"


BRAKE_MOVES = Moves(
    {
        (BrakeState.ACTIVE, "release"): BrakeState.RELEASED,
        (BrakeState.ACTIVE, "expire"): BrakeState.EXPIRED,
    },
    records={"release": "released", "expire": "expired"},
)

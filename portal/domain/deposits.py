"""The life of a deposit: money of the payer that the organisation holds as a liability."""

from portal.domain.states import Moves, State


class DepositState(State):
    """How far a deposit has come."""

    EXPECTED = "expected", "Expected"
    RECEIVED = "received", "Received"
    HELD = "held", "Held"
    PARTIALLY_APPLIED = "partially_applied", "Partly applied"
    APPLIED = "applied", "Applied"
    RELEASE_REQUESTED = "release_requested", "Release requested"
    RELEASED = "released", "Released"
    FORFEITED = "forfeited", "Forfeited"


DEPOSIT_MOVES = Moves(
    {
        (DepositState.EXPECTED, "receive"): DepositState.HELD,
        (DepositState.RECEIVED, "hold"): DepositState.HELD,
        (DepositState.HELD, "apply_part"): DepositState.PARTIALLY_APPLIED,
        (DepositState.HELD, "apply"): DepositState.APPLIED,
        (DepositState.PARTIALLY_APPLIED, "apply_part"): DepositState.PARTIALLY_APPLIED,
        (DepositState.PARTIALLY_APPLIED, "apply"): DepositState.APPLIED,
        (DepositState.HELD, "request_release"): DepositState.RELEASE_REQUESTED,
        (DepositState.PARTIALLY_APPLIED, "request_release"): DepositState.RELEASE_REQUESTED,
        (DepositState.RELEASE_REQUESTED, "release"): DepositState.RELEASED,
        (DepositState.HELD, "forfeit"): DepositState.FORFEITED,
        (DepositState.PARTIALLY_APPLIED, "forfeit"): DepositState.FORFEITED,
    }
)

USABLE_DEPOSIT_STATES = (DepositState.HELD, DepositState.PARTIALLY_APPLIED)

"""Rehearsals: what a version of the rules would change, tried on many documents."""

from portal.domain.states import State

REHEARSAL_JOB = "rule_rehearsal"


class RehearsalChange(State):
    """What becomes of a document that a rehearsed version treats differently."""

    DIFFERS = "differs", "Differs"
    NEWLY_BLOCKED = "newly_blocked", "Newly stopped"
    NO_LONGER_BLOCKED = "no_longer_blocked", "No longer stopped"

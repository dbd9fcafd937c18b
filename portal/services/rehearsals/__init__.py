"""Rehearsals: a version of the rules tried on many documents by a run that changes none."""

from portal.services.rehearsals._start import (
    RehearsalEmpty,
    RehearsalInvalid,
    RehearsalWish,
    start_rehearsal,
)
from portal.services.rehearsals._work import rehearse_documents

__all__ = [
    "RehearsalEmpty",
    "RehearsalInvalid",
    "RehearsalWish",
    "rehearse_documents",
    "start_rehearsal",
]

"""Rule sets: what an organisation agreed, as data, in versions."""

from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, Integer, UniqueConstraint
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from portal.domain.rulesets import RuleSetState
from portal.models.base import (
    Base,
    CreatedMixin,
    IdMixin,
    OrganisationMixin,
    live_index,
    organisation_key,
    state_check,
)


class RuleSet(OrganisationMixin, IdMixin, CreatedMixin, Base):
    """One version of an organisation's agreement; in force from `starts_on` until the next one.

    The database refuses to change what a version says once it is no draft any more.
    """

    __tablename__ = "rule_sets"
    __table_args__ = (
        organisation_key(),
        UniqueConstraint("organisation_id", "version"),
        state_check("state", RuleSetState),
        live_index(
            "uq_rule_sets_start",
            "organisation_id",
            "starts_on",
            where="state = 'active'",
            unique=True,
        ),
        CheckConstraint(
            "starts_on IS NOT NULL OR state IN ('draft', 'retired')", name="start_known"
        ),
        CheckConstraint("approved_by_id <> requested_by_id", name="approved_by_another"),
        CheckConstraint(
            "(requested_by IS NULL) = (requested_at IS NULL)"
            " AND (requested_at IS NOT NULL OR state <> 'requested')",
            name="request_whole",
        ),
        CheckConstraint(
            "(approved_by IS NULL) = (approved_at IS NULL)"
            " AND (approved_by_id IS NULL) = (approved_at IS NULL)",
            name="approval_whole",
        ),
        CheckConstraint(
            "state <> 'active' OR requested_at IS NULL OR approved_at IS NOT NULL",
            name="approved_before_active",
        ),
    )

    version: Mapped[int] = mapped_column(Integer)
    state: Mapped[str]
    starts_on: Mapped[date | None]
    # Whole, whatever it was built on, so that nobody who applies it looks anywhere else.
    definition: Mapped[dict[str, Any]] = mapped_column(JSONB)
    definition_hash: Mapped[str]
    # As it was written, where it builds on another; empty otherwise.
    source: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    based_on: Mapped[int | None] = mapped_column(Integer)
    note: Mapped[str | None]
    requested_by: Mapped[str | None]
    requested_by_id: Mapped[UUID | None]
    requested_at: Mapped[datetime | None]
    approved_by: Mapped[str | None]
    approved_by_id: Mapped[UUID | None]
    approved_at: Mapped[datetime | None]

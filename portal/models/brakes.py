"""Emergency brakes: what is not begun for a while, who wants it so, and why."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from portal.domain.brakes import REASON_CHARACTERS_MAX, BrakeState
from portal.models.base import (
    Base,
    IdMixin,
    Instant,
    OrganisationMixin,
    key_to,
    organisation_key,
    state_check,
)


class Brake(OrganisationMixin, IdMixin, Base):
    """A brake on a whole organisation, or on one gateway account or one job of it."""

    __tablename__ = "brakes"
    __table_args__ = (
        organisation_key(),
        key_to("gateway_accounts", "gateway_account_id"),
        # Of one scope only one brake is active; no account and no job are a scope, too.
        Index(
            "uq_brakes_active",
            "organisation_id",
            "gateway_account_id",
            "job",
            unique=True,
            postgresql_where=text("state = 'active'"),
            postgresql_nulls_not_distinct=True,
        ),
        CheckConstraint("gateway_account_id IS NULL OR job IS NULL", name="one_scope"),
        CheckConstraint(
            f"length(reason) BETWEEN 1 AND {REASON_CHARACTERS_MAX}", name="reason_given"
        ),
        CheckConstraint("expires_at > pulled_at", name="expires_later"),
        CheckConstraint(
            "(state = 'active') = (released_at IS NULL)"
            " AND (released_at IS NULL) = (released_by IS NULL)",
            name="end_whole",
        ),
        state_check("state", BrakeState),
    )

    gateway_account_id: Mapped[UUID | None]
    job: Mapped[str | None]
    reason: Mapped[str]
    state: Mapped[str] = mapped_column(server_default=text("'active'"))
    pulled_by: Mapped[str]
    pulled_at: Mapped[Instant]
    expires_at: Mapped[Instant]
    released_by: Mapped[str | None]
    released_at: Mapped[datetime | None]

"""Rule sets: what an organisation agreed, as data, in versions."""

from datetime import date
from typing import Any

from sqlalchemy import CheckConstraint, Integer, UniqueConstraint
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from portal.models.base import (
    Base,
    CreatedMixin,
    IdMixin,
    OrganisationMixin,
    live_index,
    organisation_key,
)


class RuleSet(OrganisationMixin, IdMixin, CreatedMixin, Base):
    """One version of an organisation's agreement; in force from `starts_on`."""

    __tablename__ = "rule_sets"
    __table_args__ = (
        organisation_key(),
        UniqueConstraint("organisation_id", "version"),
        CheckConstraint("state IN ('draft', 'active', 'retired')", name="state_known"),
        live_index(
            "uq_rule_sets_start",
            "organisation_id",
            "starts_on",
            where="state = 'active'",
            unique=True,
        ),
    )

    version: Mapped[int] = mapped_column(Integer)
    state: Mapped[str]
    starts_on: Mapped[date]
    definition: Mapped[dict[str, Any]] = mapped_column(JSONB)
    definition_hash: Mapped[str]

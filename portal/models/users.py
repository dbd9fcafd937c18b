"""People who sign in, what they may do where, their sessions; keys of external systems."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ARRAY, CheckConstraint, ForeignKey, LargeBinary, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from portal.domain.users import Role
from portal.models.base import (
    Base,
    CreatedMixin,
    IdMixin,
    OrganisationMixin,
    organisation_key,
    state_check,
)


class User(IdMixin, CreatedMixin, Base):
    """A person who signs in."""

    __tablename__ = "users"
    __table_args__ = (
        UniqueConstraint("email"),
        CheckConstraint("email = lower(email)", name="email_lower"),
    )

    email: Mapped[str]
    name: Mapped[str]
    password_hash: Mapped[str]
    is_active: Mapped[bool] = mapped_column(server_default=text("true"))


class Membership(OrganisationMixin, CreatedMixin, Base):
    """What a user may do in one organisation."""

    __tablename__ = "memberships"
    __table_args__ = (organisation_key(), state_check("role", Role))

    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"), primary_key=True, index=True)
    role: Mapped[str]


class UserSession(CreatedMixin, Base):
    """A signed-in browser; known by the hash of its token, ended by deleting the row."""

    __tablename__ = "user_sessions"

    token_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"), index=True)
    organisation_id: Mapped[UUID | None] = mapped_column(ForeignKey("organisations.id"))
    last_seen_at: Mapped[datetime]
    expires_at: Mapped[datetime]


class ApiKey(OrganisationMixin, IdMixin, CreatedMixin, Base):
    """A key of an external system; only its hash is kept."""

    __tablename__ = "api_keys"
    __table_args__ = (organisation_key(), UniqueConstraint("key_hash"))

    name: Mapped[str]
    prefix: Mapped[str]
    key_hash: Mapped[bytes] = mapped_column(LargeBinary)
    scopes: Mapped[list[str]] = mapped_column(ARRAY(Text))
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]

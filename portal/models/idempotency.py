"""What was answered to requests that may be sent again: one reply per key, for some days."""

from typing import Any

from sqlalchemy import CheckConstraint, Index, LargeBinary, SmallInteger, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from portal.models.base import Base, Instant, OrganisationMixin, organisation_key


class IdempotencyKey(OrganisationMixin, Base):
    """A key that a sender chose, what was asked with it, and the reply to it."""

    __tablename__ = "idempotency_keys"
    __table_args__ = (
        organisation_key(),
        CheckConstraint("length(key) BETWEEN 1 AND 255", name="key_length"),
        CheckConstraint(
            "(status IS NULL) = (headers IS NULL) AND (status IS NULL) = (body IS NULL)",
            name="reply_whole",
        ),
        Index("ix_idempotency_keys_age", "organisation_id", "created_at"),
    )

    key: Mapped[str] = mapped_column(Text, primary_key=True)
    request_hash: Mapped[bytes] = mapped_column(LargeBinary)
    # Empty only inside the transaction that does the work; nobody else sees it so.
    status: Mapped[int | None] = mapped_column(SmallInteger)
    headers: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    body: Mapped[bytes | None] = mapped_column(LargeBinary)
    created_at: Mapped[Instant]

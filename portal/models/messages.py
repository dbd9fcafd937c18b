"""Messages that leave (with each try to deliver them) and messages that arrived."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Index, Integer, LargeBinary, SmallInteger, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from portal.domain.messages import InboxState, MessageKind, MessageState
from portal.models.base import (
    Base,
    CreatedMixin,
    IdMixin,
    Instant,
    OrganisationMixin,
    key_to,
    live_index,
    organisation_key,
    state_check,
)


class Message(OrganisationMixin, IdMixin, CreatedMixin, Base):
    """A message that leaves; while it is ready, `next_at` in the future is its lease."""

    __tablename__ = "messages"
    __table_args__ = (
        organisation_key(),
        key_to("gateway_accounts", "gateway_account_id"),
        UniqueConstraint("organisation_id", "aggregate_id", "sequence"),
        live_index(
            "ix_messages_due",
            "organisation_id",
            "gateway_account_id",
            "next_at",
            where="state = 'ready'",
        ),
        live_index("ix_messages_parked", "organisation_id", "next_at", where="state = 'parked'"),
        live_index(
            "ix_messages_errands",
            "organisation_id",
            "gateway_account_id",
            "kind",
            "created_at",
            where="kind IN ('gateway.close_day', 'gateway.list_events')",
        ),
        state_check("kind", MessageKind),
        state_check("state", MessageState),
    )

    aggregate_id: Mapped[UUID]
    sequence: Mapped[int] = mapped_column(SmallInteger)
    kind: Mapped[str]
    gateway_account_id: Mapped[UUID]
    payload: Mapped[dict[str, Any]] = mapped_column(JSONB)
    payload_version: Mapped[int] = mapped_column(SmallInteger, server_default=text("1"))
    state: Mapped[str] = mapped_column(server_default=text("'ready'"))
    next_at: Mapped[Instant] = mapped_column(server_default=text("now()"))
    tries: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    # What had been tried when a person last sent it again: those tries no longer park it.
    tries_before: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    lease_token: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    last_error: Mapped[str | None]
    done_at: Mapped[datetime | None]


class MessageDelivery(OrganisationMixin, Base):
    """One try to deliver a message and what came of it; append-only."""

    __tablename__ = "message_deliveries"
    __table_args__ = (
        key_to("messages", "message_id"),
        Index("ix_message_deliveries_day", "organisation_id", "tried_at"),
    )

    message_id: Mapped[UUID] = mapped_column(primary_key=True)
    try_number: Mapped[int] = mapped_column(Integer, primary_key=True)
    tried_at: Mapped[Instant]
    outcome: Mapped[str]
    http_status: Mapped[int | None] = mapped_column(SmallInteger)
    error: Mapped[str | None]


class InboxMessage(OrganisationMixin, Base):
    """A message that arrived, as its raw bytes; the event id makes a repeat harmless."""

    __tablename__ = "inbox_messages"
    __table_args__ = (
        organisation_key(),
        key_to("gateway_accounts", "gateway_account_id"),
        UniqueConstraint("organisation_id", "id"),
        Index("ix_inbox_messages_received", "organisation_id", "received_at", "id"),
        live_index(
            "ix_inbox_messages_due",
            "organisation_id",
            "gateway_account_id",
            "next_at",
            where="state = 'ready'",
        ),
        live_index(
            "ix_inbox_messages_parked", "organisation_id", "next_at", where="state = 'parked'"
        ),
        state_check("state", InboxState),
    )

    gateway_account_id: Mapped[UUID] = mapped_column(primary_key=True)
    event_ref: Mapped[str] = mapped_column(primary_key=True)
    # Its name in addresses; what the gateway calls it is no safe part of one.
    id: Mapped[UUID] = mapped_column(server_default=text("gen_random_uuid()"))
    kind: Mapped[str]
    content: Mapped[dict[str, Any]] = mapped_column(JSONB)
    raw: Mapped[bytes] = mapped_column(LargeBinary)
    received_at: Mapped[Instant]
    state: Mapped[str] = mapped_column(server_default=text("'ready'"))
    next_at: Mapped[Instant] = mapped_column(server_default=text("now()"))
    tries: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    lease_token: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    last_error: Mapped[str | None]

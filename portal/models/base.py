"""What every table shares: naming of constraints, column types, organisation keys, stamps."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    DateTime,
    ForeignKeyConstraint,
    Index,
    MetaData,
    String,
    Text,
    Uuid,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from portal.domain.states import State

NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(referred_table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}

Minor = Annotated[int, mapped_column(BigInteger)]
MinorZero = Annotated[int, mapped_column(BigInteger, server_default=text("0"))]
Currency = Annotated[str, mapped_column(String(3))]
Instant = Annotated[datetime, mapped_column(DateTime(timezone=True))]
Words = Annotated[str, mapped_column(Text)]


class Base(DeclarativeBase):
    """The declarative base; tables are known by their metadata."""

    metadata = MetaData(naming_convention=NAMES)
    type_annotation_map = {  # noqa: RUF012 - read once by SQLAlchemy, at class creation
        str: Text(),
        UUID: Uuid(),
        datetime: DateTime(timezone=True),
    }


class IdMixin:
    """A key of its own: a UUIDv7 made by us before the first commit."""

    id: Mapped[UUID] = mapped_column(primary_key=True)


class OrganisationMixin:
    """A row of one organisation: the organisation leads the primary key."""

    organisation_id: Mapped[UUID] = mapped_column(primary_key=True, sort_order=-10)


class CreatedMixin:
    """When the row was written."""

    created_at: Mapped[Instant] = mapped_column(
        DateTime(timezone=True), server_default=text("now()"), sort_order=90
    )


def state_check(column: str, states: type[State]) -> CheckConstraint:
    """Allow only the values of a state enum in a column."""
    values = ", ".join(f"'{state.value}'" for state in states)
    return CheckConstraint(f"{column} IN ({values})", name=f"{column}_known")


def currency_check(column: str = "currency") -> CheckConstraint:
    """Allow only three capital letters as a currency."""
    return CheckConstraint(f"{column} ~ '^[A-Z]{{3}}$'", name=f"{column}_code")


def organisation_key() -> ForeignKeyConstraint:
    """Tie a row to its organisation."""
    return ForeignKeyConstraint(["organisation_id"], ["organisations.id"])


def key_to(table: str, *columns: str, remote: Sequence[str] | None = None) -> ForeignKeyConstraint:
    """Tie a row to another row of the same organisation.

    Shape: columns without the organisation; the first names the other row, `currency` goes along.
    """
    others = tuple(remote) if remote else ("id", *columns[1:])
    return ForeignKeyConstraint(
        ["organisation_id", *columns],
        [f"{table}.organisation_id", *(f"{table}.{other}" for other in others)],
    )


def live_index(name: str, *columns: Any, where: str, unique: bool = False) -> Index:
    """Index only the rows that still matter."""
    return Index(name, *columns, unique=unique, postgresql_where=text(where))

"""Organisations, their number series, calendars and gateway accounts."""

from datetime import date, datetime

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Double,
    Integer,
    SmallInteger,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from portal.domain.gateway_accounts import BURST_MAX, RATE_MAX, RATE_MIN, AccountPurpose
from portal.models.base import (
    Base,
    CreatedMixin,
    Currency,
    IdMixin,
    Instant,
    OrganisationMixin,
    currency_check,
    live_index,
    organisation_key,
    state_check,
)


class Organisation(IdMixin, CreatedMixin, Base):
    """A client whose invoices these are."""

    __tablename__ = "organisations"
    __table_args__ = (
        UniqueConstraint("code"),
        CheckConstraint("code ~ '^[a-z][a-z0-9_-]{1,31}$'", name="code_plain"),
        currency_check(),
    )

    code: Mapped[str]
    name: Mapped[str]
    currency: Mapped[Currency]
    zone: Mapped[str] = mapped_column(server_default=text("'Europe/London'"))
    locale: Mapped[str] = mapped_column(server_default=text("'en_GB'"))
    holiday_calendar: Mapped[str] = mapped_column(server_default=text("'ECB'"))
    # When it was last looked for what did not come: work, and money.
    watched_at: Mapped[datetime | None]
    books_watched_at: Mapped[datetime | None]


class NumberSeries(OrganisationMixin, Base):
    """The last document number given out, per series and year."""

    __tablename__ = "number_series"
    __table_args__ = (
        organisation_key(),
        CheckConstraint("last >= 0", name="last_not_negative"),
    )

    series: Mapped[str] = mapped_column(primary_key=True)
    year: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    last: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    last_issued_on: Mapped[date]


class GatewayAccount(OrganisationMixin, IdMixin, CreatedMixin, Base):
    """An account of the organisation at a gateway, with its circuit breaker and its rate.

    Shape: a token is one call; `tokens` is what was left at `refilled_at`, which lies in the future
    while the gateway wants to be left alone.
    """

    __tablename__ = "gateway_accounts"
    __table_args__ = (
        organisation_key(),
        UniqueConstraint("code"),
        UniqueConstraint("organisation_id", "id", "currency"),
        CheckConstraint(
            f"rate_per_second BETWEEN {RATE_MIN} AND {RATE_MAX}"
            f" AND burst BETWEEN 1 AND {BURST_MAX} AND tokens >= 0",
            name="rate_in_range",
        ),
        # Notices about one debt go out by one way.
        live_index(
            "uq_gateway_accounts_notices",
            "organisation_id",
            where="purpose = 'notices' AND is_active",
            unique=True,
        ),
        currency_check(),
        state_check("purpose", AccountPurpose),
    )

    code: Mapped[str]
    kind: Mapped[str]
    currency: Mapped[Currency]
    purpose: Mapped[str] = mapped_column(server_default=text("'payments'"))
    is_active: Mapped[bool] = mapped_column(server_default=text("true"))
    troubles_in_a_row: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    open_until: Mapped[datetime | None]
    events_cursor: Mapped[str | None]
    # As generous as no gateway is: who knows the real limit sets it.
    rate_per_second: Mapped[float] = mapped_column(Double, server_default=text("1000"))
    burst: Mapped[int] = mapped_column(Integer, server_default=text("2000"))
    tokens: Mapped[float] = mapped_column(Double, server_default=text("2000"))
    refilled_at: Mapped[Instant] = mapped_column(server_default=text("now()"))
    # When its own record was last compared with ours.
    compared_at: Mapped[datetime | None]


class BankAccount(OrganisationMixin, IdMixin, CreatedMixin, Base):
    """A bank account of the organisation."""

    __tablename__ = "bank_accounts"
    __table_args__ = (
        organisation_key(),
        UniqueConstraint("organisation_id", "id", "currency"),
        UniqueConstraint("organisation_id", "iban"),
        currency_check(),
    )

    iban: Mapped[str]
    name: Mapped[str]
    currency: Mapped[Currency]

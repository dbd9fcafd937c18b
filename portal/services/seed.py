"""A believable small world invented from a seed: organisations, payers, mandates, documents."""

import random
from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import NamedTuple
from uuid import UUID

from portal.db import transaction
from portal.domain.gateway_accounts import AccountPurpose
from portal.domain.invoices import InvoiceKind
from portal.domain.users import PORTAL
from portal.services.deposits import record_deposit
from portal.services.gateway_accounts import add_gateway_account
from portal.services.invoices import NewInvoice, NewLine, draft_invoices
from portal.services.organisations import add_organisation
from portal.services.payers import NewMandate, NewPayer, add_mandates, add_payers
from portal.services.schedules import ScheduleWish, add_schedule
from portal.sql import fetch
from rules.definitions import load_definition

DRAFTS_AT_ONCE = 1000
MANDATE_SHARE = 0.85
CREDIT_NOTE_SHARE = 0.06
DEPOSIT_SHARE = 0.08
SET_OFF_SHARE = 0.8
FAULTY_SHARE = 1 / 60
INVOICES_PER_PAYER = 4

FIRST_NAMES = (
    "Ada Bela Carys Dov Edda Femi Goran Hana Ivo Jun Kofi Lena Mira Nils Ona Pia Rasa Sol Tariq"
    " Uma Vito Wanda Yara Zeno"
)
LAST_NAMES = (
    "Abendroth Brisket Castellan Dunmore Ekwall Farrow Gantry Holloway Inwood Jarrow Kestrel"
    " Lindqvist Marlow Northam Ostrava Pemberton Quarles Rookwood Saltash Thornbury Underhill"
    " Vesterby Wexford Yarrow"
)
COMPANY_WORDS = "Anchor Beacon Cobalt Drift Ember Fathom Granite Heron Ivory Juniper"
COMPANY_ENDS = "Bakery Chandlers Foundry Freight Gardens Laundry Optics Printers Repairs Stores"
PUBLIC_BODIES = (
    "Fire Service,Harbour School,Library Trust,Museum,Parks Department,Port Authority,"
    "Swimming Baths,Theatre"
)

# Paused: in an invented world people decide when something happens.
SCHEDULES = (
    ScheduleWish("Collect every morning", "payment_collection", "30 6 * * 1-5"),
    ScheduleWish("Issue at the end of the month", "invoice_issuing", "0 22 LW * *"),
)


class Service(NamedTuple):
    """Something that is billed."""

    description: str
    revenue_code: str
    tax_code: str
    price_from: Decimal
    price_to: Decimal


class Sample(NamedTuple):
    """An organisation of the sample world."""

    code: str
    name: str
    currency: str
    zone: str
    locale: str
    holiday_calendar: str
    country: str
    services: Sequence[Service]


class SeededOrganisation(NamedTuple):
    """What was made of one organisation."""

    id: UUID
    code: str
    name: str
    drafts_count: int


SAMPLES = (
    Sample(
        "harbour",
        "Harbour City",
        "EUR",
        "Europe/Berlin",
        "de_DE",
        "ECB",
        "DE",
        (
            Service("Berth fee, per metre", "berths", "S", Decimal("4.10"), Decimal("19.90")),
            Service("Waste collection", "waste", "S", Decimal("12.35"), Decimal("58.40")),
            Service("Drinking water, m³", "water", "R", Decimal("1.873"), Decimal("2.415")),
            Service("Library card", "library", "E", Decimal("18.00"), Decimal("24.00")),
            Service("Market stall, per day", "markets", "S", Decimal("9.75"), Decimal("31.50")),
        ),
    ),
    Sample(
        "rivertown",
        "Rivertown Utilities",
        "GBP",
        "Europe/London",
        "en_GB",
        "GB",
        "GB",
        (
            Service("Water supply, m³", "water", "Z", Decimal("1.512"), Decimal("1.998")),
            Service("Waste water, m³", "sewerage", "Z", Decimal("1.204"), Decimal("1.777")),
            Service("Green bin, yearly", "waste", "S", Decimal("42.00"), Decimal("65.00")),
            Service("Meter rent", "meters", "S", Decimal("3.33"), Decimal("11.10")),
            Service("Insulation survey", "energy", "R", Decimal("55.00"), Decimal("140.00")),
        ),
    ),
)


def seed_world(
    *, invoices_count: int, seed: int, on: date, now: datetime
) -> list[SeededOrganisation]:
    """Invent two organisations and share a number of invoices among them.

    Shape: the same seed invents the same names, amounts and dates.
    """
    shares = (invoices_count - invoices_count // 2, invoices_count // 2)
    return [
        _seed_organisation(sample, share, _chance(seed, sample), on, now)
        for sample, share in zip(SAMPLES, shares, strict=True)
    ]


def _seed_organisation(
    sample: Sample, invoices_count: int, chance: random.Random, on: date, now: datetime
) -> SeededOrganisation:
    organisation_id = add_organisation(
        code=sample.code,
        name=sample.name,
        currency=sample.currency,
        zone=sample.zone,
        locale=sample.locale,
        holiday_calendar=sample.holiday_calendar,
        rule_definition=load_definition(_rules_of(sample.code)),
        actor=PORTAL,
        now=now,
    )
    with transaction(organisation_id):
        add_gateway_account(
            code=f"{sample.code}-notices",
            purpose=AccountPurpose.NOTICES,
            currency=sample.currency,
            actor=PORTAL,
            now=now,
        )
        payers = list(_invent_payers(sample, max(3, invoices_count // INVOICES_PER_PAYER), chance))
        add_payers(payers, actor=PORTAL, now=now)
        add_mandates(_invent_mandates(sample, payers, chance, on), actor=PORTAL, now=now)
        ids = {row.external_ref: row for row in fetch("SELECT id, external_ref, kind FROM payers")}
        rows = [ids[payer.external_ref] for payer in payers]
        _record_deposits(sample, rows, chance, on, now)
        for wish in SCHEDULES:
            add_schedule(wish=wish, is_active=False, actor=PORTAL, now=now)
    drafted = 0
    while drafted < invoices_count:
        count = min(DRAFTS_AT_ONCE, invoices_count - drafted)
        with transaction(organisation_id):
            draft_invoices(
                invoices=_invent_invoices(sample, rows, drafted, count, chance, on),
                on=on,
                actor=PORTAL,
                now=now,
            )
        drafted += count
    return SeededOrganisation(organisation_id, sample.code, sample.name, drafted)


def _chance(seed: int, sample: Sample) -> random.Random:
    """Draw the same world for the same seed; nothing in it is secret."""
    return random.Random(f"{seed}/{sample.code}")  # noqa: S311


def _rules_of(code: str) -> str:
    from portal.paths import RULE_SAMPLES

    return (RULE_SAMPLES / f"{code}.toml").read_text(encoding="utf-8")


def _invent_payers(sample: Sample, count: int, chance: random.Random) -> Iterator[NewPayer]:
    first_names, last_names = FIRST_NAMES.split(), LAST_NAMES.split()
    for number in range(1, count + 1):
        kind = chance.choices(["person", "company", "public_body"], [70, 24, 6])[0]
        if kind == "person":
            name = f"{chance.choice(first_names)} {chance.choice(last_names)}"
        elif kind == "company":
            name = (
                f"{chance.choice(COMPANY_WORDS.split())} {chance.choice(COMPANY_ENDS.split())}"
                f" {chance.choice(last_names)}"
            )
        else:
            name = f"{sample.name} {chance.choice(PUBLIC_BODIES.split(','))} {number}"
        yield NewPayer(
            external_ref=f"{sample.code[0].upper()}{number:06d}",
            name=name,
            kind=kind,
            email=f"payer{number}@example.org",
            country=sample.country,
        )


def _invent_mandates(
    sample: Sample, payers: Sequence[NewPayer], chance: random.Random, on: date
) -> Iterator[NewMandate]:
    for payer in payers:
        if chance.random() < MANDATE_SHARE:
            yield NewMandate(
                payer_ref=payer.external_ref,
                reference=f"M-{payer.external_ref}",
                token=f"tok_{chance.getrandbits(64):016x}",
                # A few are older than the 36 months after which an unused mandate lapses.
                signed_on=on - timedelta(days=chance.randint(20, 1130)),
                currency=sample.currency,
            )


def _record_deposits(
    sample: Sample, payers: Sequence[object], chance: random.Random, on: date, now: datetime
) -> None:
    for row in payers:
        if chance.random() < DEPOSIT_SHARE:
            record_deposit(
                payer_id=row.id,  # type: ignore[attr-defined]
                amount_minor=chance.randint(20, 250) * 100,
                currency=sample.currency,
                purpose="security",
                received_on=on - timedelta(days=chance.randint(1, 15)),
                bank_ref=f"DEP-{row.external_ref}",  # type: ignore[attr-defined]
                may_set_off=chance.random() < SET_OFF_SHARE,
                due_back_on=on + timedelta(days=365),
                actor=PORTAL,
                now=now,
            )


def _invent_invoices(
    sample: Sample,
    payers: Sequence[object],
    first: int,
    count: int,
    chance: random.Random,
    on: date,
) -> Iterator[NewInvoice]:
    for number in range(first + 1, first + count + 1):
        payer = chance.choice(payers)
        is_credit = chance.random() < CREDIT_NOTE_SHARE
        # One in sixty forgets its order number or comes to nothing: the rules shall refuse it.
        is_faulty = chance.random() < FAULTY_SHARE
        lines = [_invent_line(sample, chance) for _ in range(chance.randint(1, 5))]
        if is_faulty and chance.choice((True, False)):
            lines = [line._replace(unit_price=Decimal(0)) for line in lines]
        yield NewInvoice(
            payer_id=payer.id,  # type: ignore[attr-defined]
            currency=sample.currency,
            lines=lines[:1] if is_credit else lines,
            kind=InvoiceKind.CREDIT_NOTE if is_credit else InvoiceKind.INVOICE,
            external_ref=f"{sample.code.upper()}-{on:%y%m}-{number:06d}",
            purchase_order_ref=None if is_faulty else f"PO-{chance.randint(10000, 99999)}",
            document_on=on - timedelta(days=chance.randint(0, 3)),
        )


def _invent_line(sample: Sample, chance: random.Random) -> NewLine:
    service = chance.choice(sample.services)
    thousandths = chance.randint(int(service.price_from * 1000), int(service.price_to * 1000))
    return NewLine(
        description=service.description,
        quantity=Decimal(chance.randint(1, 12)),
        unit_price=Decimal(thousandths) / 1000,
        revenue_code=service.revenue_code,
        tax_code=service.tax_code,
    )

"""Figures as text: by the organisation's language and zone, exact to the last digit."""

from __future__ import annotations

import re
from copy import copy
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace

import pytest
from babel import Locale
from flask import Flask, g

from portal.domain.batches import ItemOutcome, RunState
from portal.domain.brakes import BrakeState
from portal.domain.cases import CaseState
from portal.domain.money import (
    AmountMalformed,
    AmountTooLarge,
    NumberMalformed,
    currency_exponent,
)
from portal.domain.payers import MandateState
from portal.domain.payments import PaymentState
from portal.domain.states import State
from portal.paths import STATIC
from portal.web import assets, formats, tones

PAIR = re.compile(r"--([a-z-]+): light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\)")


@pytest.fixture
def plain() -> Flask:
    return Flask("plain")


def visitor(locale: str, zone: str) -> SimpleNamespace:
    return SimpleNamespace(organisation=SimpleNamespace(locale=locale, zone=zone))


@pytest.mark.parametrize(
    ("amount_minor", "currency", "locale", "shown"),
    [
        (190_420, "GBP", "en_GB", "£1,904.20"),
        (190_420, "EUR", "de_DE", "1.904,20 €"),
        (-5, "EUR", "en_GB", "-€0.05"),
        (1_904, "JPY", "en_GB", "JP¥1,904"),
        (1_230, "KWD", "en_GB", "KWD 1.230"),
        (9_000_000_000_000_000, "GBP", "en_GB", "£90,000,000,000,000.00"),
        (100, "GBP", "nowhere", "£1.00"),
    ],
)
def test_money_has_the_digits_of_its_currency(
    plain: Flask, amount_minor: int, currency: str, locale: str, shown: str
) -> None:
    with plain.app_context():
        g.visitor = visitor(locale, "UTC")
        assert formats.money(amount_minor, currency).replace("\xa0", " ") == shown


@pytest.mark.parametrize("locale", ["en_GB", "de_DE", "de_CH", "fr_FR", "hi_IN", "sv_SE", "ar_EG"])
@pytest.mark.parametrize("currency", ["EUR", "GBP", "JPY", "KWD", "INR"])
def test_money_is_written_as_the_locale_writes_it(plain: Flask, locale: str, currency: str) -> None:
    exponent = currency_exponent(currency)
    pattern = copy(Locale.parse(locale).currency_formats["standard"])
    pattern.frac_prec = (exponent, exponent)
    with plain.app_context():
        g.visitor = visitor(locale, "UTC")
        for amount_minor in (0, 7, -7, 99, -100, 123_456, 1_234_567, -98_765_432_101):
            wanted = pattern.apply(
                Decimal(amount_minor).scaleb(-exponent), locale, currency=currency,
                currency_digits=False,
            )  # fmt: skip
            found = formats.money(amount_minor, currency)
            assert found.replace("\xa0", "") == wanted.replace("\xa0", "")


@pytest.mark.parametrize(
    ("locale", "text", "number"),
    [
        ("en_GB", "1,250.5", "1250.5"),
        ("en_GB", "1250.5", "1250.5"),
        ("en_GB", " 3 ", "3"),
        ("en_GB", "-0.125", "-0.125"),
        ("de_DE", "1.250,5", "1250.5"),
        ("de_DE", "1250,5", "1250.5"),
        ("de_DE", "12.50", "12.50"),
        ("de_DE", "0.5", "0.5"),
        ("de_DE", "1.2345", "1.2345"),
        ("de_DE", "1.250", "1250"),
        ("de_DE", "-2,5", "-2.5"),
        ("fr_FR", "1 250,5", "1250.5"),
        ("fr_FR", "1\u202f250,5", "1250.5"),
        ("sv_SE", "1\u00a0250,5", "1250.5"),
        ("de_CH", "1’250.5", "1250.5"),
        ("de_CH", "1'250.5", "1250.5"),
    ],
)
def test_a_number_is_read_as_people_of_the_organisation_write_it(
    plain: Flask, locale: str, text: str, number: str
) -> None:
    with plain.app_context():
        g.visitor = visitor(locale, "UTC")
        assert formats.read_decimal(text) == Decimal(number)


@pytest.mark.parametrize("locale", ["en_GB", "de_DE", "fr_FR"])
@pytest.mark.parametrize(
    "text",
    ["", " ", "x", "1,2,3", "1.2.3", "12,34,5", "1e3", "NaN", "٣", "--1", "1 2", "€5", "9" * 16,
     "1" * 41, "0." + "1" * 9],
)  # fmt: skip
def test_what_is_no_number_is_refused(plain: Flask, locale: str, text: str) -> None:
    with plain.app_context():
        g.visitor = visitor(locale, "UTC")
        with pytest.raises(NumberMalformed):
            formats.read_decimal(text)


@pytest.mark.parametrize(
    ("locale", "currency", "text", "amount_minor"),
    [
        ("de_DE", "EUR", "1.904,20", 190_420),
        ("de_DE", "EUR", "119", 11_900),
        ("de_DE", "EUR", "119.00", 11_900),
        ("de_DE", "EUR", "1.190", 119_000),
        ("en_GB", "GBP", "1,904.20", 190_420),
        ("en_GB", "GBP", "0.5", 50),
        ("en_GB", "JPY", "1,904", 1_904),
        ("de_DE", "KWD", "1,230", 1_230),
    ],
)
def test_an_amount_is_read_in_the_decimals_of_its_currency(
    plain: Flask, locale: str, currency: str, text: str, amount_minor: int
) -> None:
    with plain.app_context():
        g.visitor = visitor(locale, "UTC")
        assert formats.read_amount(text, currency) == amount_minor


def test_an_amount_with_too_many_decimals_or_digits_is_refused(plain: Flask) -> None:
    with plain.app_context():
        g.visitor = visitor("de_DE", "UTC")
        for text, currency in (("1,234", "EUR"), ("12.345", "USD"), ("1,5", "JPY")):
            if currency == "USD":
                assert formats.read_amount(text, currency) == 1_234_500, "a point groups here"
                continue
            with pytest.raises(AmountMalformed):
                formats.read_amount(text, currency)
        with pytest.raises(AmountTooLarge):
            formats.read_amount("9" * 17, "EUR")


LOCALES = (
    "en_GB", "de_DE", "de_AT", "de_CH", "fr_FR", "sv_SE", "pl_PL", "es_ES", "en_IN", "ar_EG"
)  # fmt: skip


@pytest.mark.parametrize("locale", LOCALES)
def test_what_a_field_is_filled_with_reads_back(plain: Flask, locale: str) -> None:
    with plain.app_context():
        g.visitor = visitor(locale, "UTC")
        for currency in ("EUR", "JPY", "KWD"):
            for amount_minor in (0, 5, 11_900, 190_420, 1_234_567_890, 10**15):
                shown = formats.typed_amount(amount_minor, currency)
                assert formats.read_amount(shown, currency) == amount_minor
        for text in ("1", "2.5", "1250", "1234567.125", "-0.000001", "1.250", "100"):
            number = Decimal(text)
            assert formats.read_decimal(formats.plain_decimal(number)) == number


@pytest.mark.parametrize("locale", [one for one in LOCALES if one != "en_IN"])
def test_an_amount_that_a_page_shows_can_be_typed_in_again(plain: Flask, locale: str) -> None:
    with plain.app_context():
        g.visitor = visitor(locale, "UTC")
        for amount_minor in (5, 190_420, 1_234_567_890):
            assert formats.read_amount(formats.amount(amount_minor, "EUR"), "EUR") == amount_minor


def test_an_instant_is_shown_in_the_organisations_zone(plain: Flask) -> None:
    with plain.app_context():
        g.visitor = visitor("en_GB", "Europe/Berlin")
        shown = formats.instant(datetime(2026, 7, 1, 22, 30, tzinfo=UTC))
        assert ">2 Jul 2026, 00:30 CEST<" in shown
        assert 'datetime="2026-07-01T22:30:00+00:00"' in shown
        assert formats.day(date(2026, 7, 1)) == '<time datetime="2026-07-01">1 Jul 2026</time>'


@pytest.mark.parametrize(
    ("part", "total", "shown"),
    [(0, 0, "0%"), (0, 9, "0%"), (1, 10_000, "1%"), (9_999, 10_000, "99%"), (5, 5, "100%")],
)
def test_a_share_is_whole_only_when_nothing_is_left(
    plain: Flask, part: int, total: int, shown: str
) -> None:
    with plain.app_context():
        assert formats.percent(part, total) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0, "0 s"), (0.2, "under 1 s"), (59.6, "1 min"), (134, "2 min 14 s"),
     (3 * 3600 + 61, "3 h 1 min"), (90_000, "1 d 1 h"), (-4, "0 s")],
)  # fmt: skip
def test_a_span_names_its_two_largest_units(seconds: float, shown: str) -> None:
    assert formats.duration(seconds) == shown


@pytest.mark.parametrize("states", [RunState, ItemOutcome, PaymentState])
def test_every_state_has_a_tone_and_a_picture_that_is_drawn(states: type[State]) -> None:
    drawn = set(re.findall(r'<symbol id="([a-z]+)"', (STATIC / "icons.svg").read_text("utf-8")))
    for state in states:
        assert state in tones.TONES
        assert tones.tone_of(state)[1] in drawn


def test_a_word_that_several_nouns_store_looks_as_each_of_them_says() -> None:
    assert tones.tone_of(RunState.STARTED) == tones.INFO
    assert tones.tone_of(MandateState.ACTIVE) == tones.OK
    assert tones.tone_of(BrakeState.ACTIVE) == tones.BAD
    assert tones.tone_of(CaseState.OPEN) == tones.WARN


def test_the_colours_can_be_read_in_light_and_dark() -> None:
    tokens = {
        name: pair
        for name, *pair in PAIR.findall((STATIC / "css" / "tokens.css").read_text("utf-8"))
    }
    grounds = ("bg", "surface", "sunken")
    wanted = [(name, ground, 4.5) for name in ("text", "muted", "link") for ground in grounds]
    tones = ("ok", "warn", "bad", "info", "idle", "hold")
    wanted += [(tone, f"{tone}-tint", 4.5) for tone in tones]
    wanted += [(tone, "bg", 4.5) for tone in ("ok", "warn", "bad", "idle", "danger")]
    wanted += [("on-brand", "brand", 4.5), ("on-danger", "danger", 4.5)]
    wanted += [(name, ground, 3.0) for name in ("focus", "input-line") for ground in grounds]
    wanted += [(f"fill-{tone}", "bg", 3.0) for tone in ("ok", "info", "idle", "bad", "hold")]
    for name, ground, least in wanted:
        for scheme in (0, 1):
            found = contrast(tokens[name][scheme], tokens[ground][scheme])
            assert found >= least, (name, ground, ("light", "dark")[scheme], round(found, 2))


def contrast(one: str, other: str) -> float:
    """Source: WCAG 2.2, relative luminance and contrast ratio."""
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def luminance(colour: str) -> float:
    channels = (int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5))
    red, green, blue = (
        channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4
        for channel in channels
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_the_style_sheet_has_all_layers_and_nothing_from_elsewhere() -> None:
    files = sorted(path.stem for path in (STATIC / "css").glob("*.css"))
    assert files == sorted(assets.LAYERS)
    for path in sorted((STATIC / "css").glob("*.css")):
        words = path.read_text("utf-8")
        assert f"@layer {path.stem} {{" in words
        assert "url(" not in words
        assert "@import" not in words


def test_the_script_is_small_and_evaluates_nothing() -> None:
    words = Path(STATIC / "portal.js").read_text("utf-8")
    assert len(words) < 8_000
    assert not re.search(r"\beval\b|new Function|innerHTML|document\.write|\.style\b", words)

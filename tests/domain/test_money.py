"""Money: exact, strict, and never a unit lost or made."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.domain.errors import Invalid
from portal.domain.money import (
    AMOUNT_MINOR_MAX,
    CURRENCY_EXPONENTS,
    AmountMalformed,
    AmountTooLarge,
    CurrencyMismatch,
    CurrencyUnknown,
    Money,
    NumberMalformed,
    Rounding,
    apply_rate,
    check_currency,
    currency_exponent,
    format_amount,
    parse_amount,
    parse_decimal,
    round_minor,
    round_ratio,
    split,
    split_minor,
)

AMOUNTS = st.integers(-AMOUNT_MINOR_MAX, AMOUNT_MINOR_MAX)
CURRENCIES = st.sampled_from(["EUR", "JPY", "KWD", "CLF"])


@pytest.mark.parametrize(
    ("currency", "exponent"),
    [
        ("EUR", 2),
        ("GBP", 2),
        ("JPY", 0),
        ("ISK", 0),
        ("UGX", 0),
        ("KWD", 3),
        ("TND", 3),
        ("CLF", 4),
    ],
)
def test_exponents_follow_iso_4217(currency: str, exponent: int) -> None:
    assert currency_exponent(currency) == exponent


def test_the_table_has_the_currencies_in_use_and_no_others() -> None:
    assert len(CURRENCY_EXPONENTS) == 165
    assert all(len(code) == 3 and code.isascii() and code.isupper() for code in CURRENCY_EXPONENTS)
    assert not {"DEM", "HRK", "BGN", "ZWL", "XAU", "XXX"} & CURRENCY_EXPONENTS.keys()


@pytest.mark.parametrize("currency", ["", "eur", "EURO", "XYZ", "ＥＵＲ"])
def test_an_unknown_currency_is_refused(currency: str) -> None:
    with pytest.raises(CurrencyUnknown):
        check_currency(currency)


def test_money_keeps_to_its_currency() -> None:
    five, three = Money(500, "EUR"), Money(300, "EUR")
    assert (five + three, five - three, -five) == (
        Money(800, "EUR"),
        Money(200, "EUR"),
        Money(-500, "EUR"),
    )
    assert three < five
    assert three <= Money(300, "EUR")
    assert not Money(0, "EUR")
    assert str(Money(-5, "EUR")) == "-0.05 EUR"
    for combine in (Money.__add__, Money.__sub__, Money.__lt__, Money.__le__):
        with pytest.raises(CurrencyMismatch):
            combine(five, Money(1, "GBP"))


def test_money_is_a_whole_number_that_can_be_booked() -> None:
    for wrong in (1.0, True, Decimal(1), "1"):
        with pytest.raises(TypeError):
            Money(wrong, "EUR")  # type: ignore[arg-type]
    with pytest.raises(AmountTooLarge):
        Money(AMOUNT_MINOR_MAX + 1, "EUR")
    with pytest.raises(AmountTooLarge):
        Money(AMOUNT_MINOR_MAX, "EUR") + Money(1, "EUR")


@pytest.mark.parametrize(
    ("total", "weights", "parts"),
    [
        (100, [1, 1, 1], (34, 33, 33)),
        (100, [1] * 7, (15, 15, 14, 14, 14, 14, 14)),
        (-100, [1, 1, 1], (-34, -33, -33)),
        (5, [3, 7], (2, 3)),
        (10, [1, 2, 0], (3, 7, 0)),
        (0, [4, 5], (0, 0)),
    ],
)
def test_spare_units_go_to_the_largest_remainder(
    total: int, weights: list[int], parts: tuple[int, ...]
) -> None:
    assert split_minor(total, weights) == parts
    assert split(Money(total, "EUR"), weights) == tuple(Money(part, "EUR") for part in parts)


@given(AMOUNTS, st.lists(st.integers(0, 10**9), min_size=1, max_size=20).filter(any))
def test_parts_always_add_up_and_stay_within_one_unit(total: int, weights: list[int]) -> None:
    parts = split_minor(total, weights)
    assert sum(parts) == total
    whole = sum(weights)
    for part, weight in zip(parts, weights, strict=True):
        assert abs(part - Fraction(total * weight, whole)) < 1


@pytest.mark.parametrize("weights", [[], [0, 0], [1, -1], [3, -1]])
def test_weights_that_cannot_divide_are_refused(weights: list[int]) -> None:
    with pytest.raises(ValueError, match="weights must not"):
        split_minor(100, weights)


@pytest.mark.parametrize(
    ("halves", "half_up", "half_even", "down", "up"),
    [(1, 1, 0, 0, 1), (3, 2, 2, 1, 2), (5, 3, 2, 2, 3), (-1, -1, 0, 0, -1), (-5, -3, -2, -2, -3)],
)
def test_halves_round_by_their_mode_alike_on_both_sides_of_zero(
    halves: int, half_up: int, half_even: int, down: int, up: int
) -> None:
    rounded = [round_ratio(halves, 2, mode) for mode in ("half_up", "half_even", "down", "up")]  # type: ignore[arg-type]
    assert rounded == [half_up, half_even, down, up]


@given(st.integers(), st.integers(1, 10**12), st.sampled_from(Rounding))
def test_rounding_stays_within_one_unit_and_keeps_whole_numbers(
    numerator: int, denominator: int, rounding: Rounding
) -> None:
    distance = abs(round_ratio(numerator, denominator, rounding) - Fraction(numerator, denominator))
    assert distance < 1
    if rounding in (Rounding.HALF_UP, Rounding.HALF_EVEN):
        assert distance <= Fraction(1, 2)
    assert round_ratio(numerator * denominator, denominator, rounding) == numerator


def test_a_rate_may_have_parts_of_a_basis_point() -> None:
    assert apply_rate(1000, 1900, Rounding.HALF_UP) == 190
    assert apply_rate(10_000, Decimal("812.5"), Rounding.HALF_UP) == 813
    assert apply_rate(10_000, Decimal("812.5"), Rounding.DOWN) == 812
    assert apply_rate(-250, 1000, Rounding.HALF_EVEN) == -25
    assert apply_rate(25, 1000, Rounding.HALF_EVEN) == 2


def test_exact_amounts_are_rounded_once() -> None:
    assert round_minor(Decimal("0.005"), "EUR", Rounding.HALF_UP) == 1
    assert round_minor(Decimal("0.005"), "EUR", Rounding.HALF_EVEN) == 0
    assert round_minor(Decimal("0.5"), "JPY", Rounding.UP) == 1
    # More digits than the context of Decimal holds: a rounding on the way would make this 1.
    assert round_minor(Decimal("0.004" + "9" * 40), "EUR", Rounding.HALF_UP) == 0


@pytest.mark.parametrize("amount", ["NaN", "Infinity", "1E+999999", "90000000000000.01"])
def test_amounts_that_cannot_be_booked_are_refused(amount: str) -> None:
    with pytest.raises(AmountTooLarge):
        round_minor(Decimal(amount), "EUR", Rounding.HALF_UP)


@pytest.mark.parametrize(
    ("text", "currency", "decimal", "group", "minor"),
    [
        ("12.30", "EUR", ".", "", 1230),
        ("12.3", "EUR", ".", "", 1230),
        ("12", "EUR", ".", "", 1200),
        ("-0.05", "EUR", ".", "", -5),
        ("1,234,567.89", "GBP", ".", ",", 123456789),
        ("1.234,50", "EUR", ",", ".", 123450),
        ("1234,50", "EUR", ",", ".", 123450),
        ("1\u202f234,50", "EUR", ",", "\u202f", 123450),
        ("1500", "JPY", ".", "", 1500),
        ("1.234", "KWD", ".", "", 1234),
        ("90000000000000.00", "EUR", ".", "", AMOUNT_MINOR_MAX),
    ],
)
def test_well_written_amounts_are_read(
    text: str, currency: str, decimal: str, group: str, minor: int
) -> None:
    assert parse_amount(text, currency, decimal=decimal, group=group) == minor


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "\t",
        "1_000",
        "１２",
        "٣",
        "NaN",
        "Infinity",
        "1e5",
        "0x10",
        "+1",
        "--1",
        "1-",
        "- 1",
        " 1",
        "1 ",
        "1\n",
        "1.",
        ".5",
        "1..2",
        "1.2.3",
        "1.234",
        "1,000",
        "1 000",
        "€5",
        "5 EUR",
        "1\u00002",
        "9" * 41,
    ],
)
def test_anything_else_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(AmountMalformed) as caught:
        parse_amount(text, "EUR")
    assert isinstance(caught.value, Invalid)
    assert "Nothing was saved; write it as 1234.56." in caught.value.message


@pytest.mark.parametrize("text", ["1,00", "12,34,567", ",123", "1234,567", "1,234,56.00"])
def test_groups_have_three_digits(text: str) -> None:
    with pytest.raises(AmountMalformed):
        parse_amount(text, "EUR", group=",")


def test_too_many_decimals_and_too_many_digits_say_so() -> None:
    with pytest.raises(AmountMalformed, match="JPY has no decimals"):
        parse_amount("1.5", "JPY")
    with pytest.raises(AmountMalformed, match="EUR has 2 decimals"):
        parse_amount("1.500", "EUR")
    for text in ("90000000000000.01", "9" * 30):
        with pytest.raises(AmountTooLarge):
            parse_amount(text, "EUR")


@pytest.mark.parametrize(
    ("decimal", "group"), [("", ""), (".", "."), ("1", ""), (".", "ab"), ("-", "")]
)
def test_impossible_marks_are_a_programming_error(decimal: str, group: str) -> None:
    with pytest.raises(ValueError, match="impossible marks"):
        parse_amount("1", "EUR", decimal=decimal, group=group)


@given(AMOUNTS, CURRENCIES)
def test_what_is_written_is_read_back(amount_minor: int, currency: str) -> None:
    assert parse_amount(format_amount(amount_minor, currency), currency) == amount_minor


@given(st.text(max_size=12), CURRENCIES)
def test_no_text_is_read_as_anything_but_plain_digits(text: str, currency: str) -> None:
    try:
        amount_minor = parse_amount(text, currency)
    except AmountMalformed:
        return
    scale = 10 ** currency_exponent(currency)
    assert text.isascii()
    assert Decimal(text) * scale == amount_minor


def test_amounts_are_written_plainly() -> None:
    assert [format_amount(minor, "EUR") for minor in (0, 5, -5, 1230)] == [
        "0.00",
        "0.05",
        "-0.05",
        "12.30",
    ]
    assert (format_amount(7, "JPY"), format_amount(7, "KWD")) == ("7", "0.007")


def test_quantities_and_prices_are_read_exactly() -> None:
    assert str(parse_decimal("3.50")) == "3.50"
    assert parse_decimal("-1.234,00000001", ",", ".") == Decimal("-1234.00000001")
    for text in ("1_0", "１", "NaN", "1e2", "", "0.000000001", "1" * 16):
        with pytest.raises(NumberMalformed):
            parse_decimal(text)

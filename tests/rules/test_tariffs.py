"""Tariffs and additions C301 to C307: by table with bounds, and by their properties."""

from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.domain.money import Rounding
from rules.calculation import (
    c301_quantity_has_a_unit_price,
    c302_quantity_is_priced_in_tiers,
    c303_quantity_is_priced_by_its_block,
    c304_base_charge_is_added,
    c305_minimum_charge_is_reached,
    c306_surcharge_is_added,
    c307_discount_is_taken_off,
)
from rules.types import InvoiceFacts, LineFacts, MeteredLine, PricedLine

HALF_UP = Rounding.HALF_UP
TIERS: dict[str, Any] = {
    "revenue_codes": ("water",),
    "up_to": (10, 30),
    "prices_micro": (1_500_000, 2_000_000, 3_250_000),
    "rounding": HALF_UP,
}
FACTS = InvoiceFacts(
    "1", "invoice", "EUR", "person", "P-1", False, None, None, None, date(2026, 4, 2), False,
    (LineFacts(1, 1_000, "water", "R"), LineFacts(2, 333, "waste", "S"),
     LineFacts(3, -10, "waste", "R")),
    period_from=date(2026, 1, 1), period_to=date(2026, 1, 10),
)  # fmt: skip
QUANTITIES = st.decimals(min_value=0, max_value=10**6, places=6)


def _water(quantity: Decimal | str, days: int | None = None, scale: int = 100) -> MeteredLine:
    return MeteredLine("water", Decimal(quantity), scale, days)


@pytest.mark.parametrize(
    ("quantity", "scale", "expected"),
    [
        ("0", 100, 0),
        ("12.5", 100, 1_543),  # 12.5 × 1.2344 = 15.43
        ("0.001", 100, 0),
        ("-12.5", 100, -1_543),
        ("3", 1, 4),  # 3.7032 yen, up to 4
        ("1", 1_000, 1_234),
    ],
)
def test_a_unit_price(quantity: str, scale: int, expected: int) -> None:
    asked: dict[str, Any] = {"revenue_codes": ("water",), "price_micro": 1_234_400}
    line = _water(quantity, scale=scale)
    assert c301_quantity_has_a_unit_price(line, **asked, rounding=HALF_UP) == expected
    waste = line._replace(revenue_code="waste")
    assert c301_quantity_has_a_unit_price(waste, **asked, rounding=HALF_UP) is None


@pytest.mark.parametrize(
    ("quantity", "tiers", "block"),
    [
        ("0", 0, 0),
        ("9.999999", 1_500, 1_500),
        ("10", 1_500, 1_500),
        ("10.01", 1_502, 2_002),  # 15.00 + 0.01 × 2.00
        ("30", 5_500, 6_000),  # 10 × 1.50 + 20 × 2.00
        ("30.4", 5_630, 9_880),  # 55.00 + 0.4 × 3.25
        ("1000", 320_750, 325_000),
        ("-30.4", -5_630, -9_880),
    ],
)
def test_tiers_and_blocks_at_their_bounds(quantity: str, tiers: int, block: int) -> None:
    assert c302_quantity_is_priced_in_tiers(_water(quantity), **TIERS) == tiers
    assert c303_quantity_is_priced_by_its_block(_water(quantity), **TIERS) == block
    waste = _water(quantity)._replace(revenue_code="waste")
    assert c302_quantity_is_priced_in_tiers(waste, **TIERS) is None
    assert c303_quantity_is_priced_by_its_block(waste, **TIERS) is None


@pytest.mark.parametrize(
    ("days", "expected"),
    [
        (30, 1_500 + 4_000 + 130),  # as agreed: 10, 20 and 0.4
        (15, 750 + 2_000 + 5_005),  # half the limits: 5, 10 and 15.4
        (None, 1_500 + 4_000 + 130),  # not known: as if it were the agreed period
    ],
)
def test_limits_follow_the_days_of_the_period(days: int | None, expected: int) -> None:
    line = _water("30.4", days)
    assert c302_quantity_is_priced_in_tiers(line, **TIERS, per_days=30) == expected


def test_a_block_follows_the_days_as_well() -> None:
    line = _water("10", days=15)
    assert c303_quantity_is_priced_by_its_block(line, **TIERS, per_days=30) == 2_000


@given(one=QUANTITIES, other=QUANTITIES, days=st.none() | st.integers(1, 400))
def test_tiers_never_fall_and_are_whole(one: Decimal, other: Decimal, days: int | None) -> None:
    small, large = sorted((one, other))
    less = c302_quantity_is_priced_in_tiers(_water(small, days), **TIERS, per_days=30)
    more = c302_quantity_is_priced_in_tiers(_water(large, days), **TIERS, per_days=30)
    assert type(less) is type(more) is int
    assert less <= more


@given(quantity=QUANTITIES)
def test_tiers_of_one_price_are_that_unit_price(quantity: Decimal) -> None:
    same = {**TIERS, "prices_micro": (1_234_400,) * 3}
    plain = c301_quantity_has_a_unit_price(
        _water(quantity), revenue_codes=("water",), price_micro=1_234_400, rounding=HALF_UP
    )
    assert c302_quantity_is_priced_in_tiers(_water(quantity), **same) == plain
    assert c303_quantity_is_priced_by_its_block(_water(quantity), **same) == plain


def _added(found: list[PricedLine]) -> list[tuple[int, int, str, str, str | None]]:
    return [(each.position, *each[1:4], each.description) for each in found]


BASE = {"revenue_code": "base", "tax_code": "R", "rounding": HALF_UP}
ADDED: list[tuple[Callable[..., list[PricedLine]], dict[str, Any], list[Any]]] = [
    (c304_base_charge_is_added, {"amount_minor": 600, **BASE}, [(4, 600, "base", "R")]),
    # Ten of thirty days are 200 of 600; 205 / 30 × 10 = 68.33.
    (c304_base_charge_is_added, {"amount_minor": 600, "per_days": 30, **BASE},
     [(4, 200, "base", "R")]),
    (c304_base_charge_is_added, {"amount_minor": 205, "per_days": 30, **BASE},
     [(4, 68, "base", "R")]),
    (c304_base_charge_is_added, {"amount_minor": 0, **BASE}, []),
    (c304_base_charge_is_added, {"amount_minor": 600, "revenue_codes": ("gas",), **BASE}, []),
    # The lines come to 1,323.
    (c305_minimum_charge_is_reached, {"minimum_minor": 1_323, **BASE}, []),
    (c305_minimum_charge_is_reached, {"minimum_minor": 1_324, **BASE}, [(4, 1, "base", "R")]),
    (c305_minimum_charge_is_reached,
     {"minimum_minor": 3_000, "per_days": 30, "revenue_codes": ("waste",), **BASE},
     [(4, 677, "base", "R")]),
    (c305_minimum_charge_is_reached,
     {"minimum_minor": 3_000, "revenue_codes": ("gas",), **BASE}, []),
    # 2.5 % of 990 taxed R are 24.75, of 333 taxed S 8.325.
    (c306_surcharge_is_added, {"rate_bps": 250, "revenue_code": "extra", "rounding": HALF_UP},
     [(4, 25, "extra", "R"), (5, 8, "extra", "S")]),
    (c306_surcharge_is_added,
     {"rate_bps": 10_000, "revenue_code": "extra", "revenue_codes": ("waste",),
      "rounding": HALF_UP}, [(4, -10, "extra", "R"), (5, 333, "extra", "S")]),
    (c306_surcharge_is_added, {"rate_bps": 0, "revenue_code": "extra", "rounding": HALF_UP}, []),
    (c307_discount_is_taken_off, {"rate_bps": 250, "revenue_code": "less", "rounding": HALF_UP},
     [(4, -25, "less", "R"), (5, -8, "less", "S")]),
    (c307_discount_is_taken_off, {"rate_bps": 0, "revenue_code": "less", "rounding": HALF_UP}, []),
]  # fmt: skip


@pytest.mark.parametrize(("add", "asked", "expected"), ADDED)
def test_what_is_added(add: Any, asked: dict[str, Any], expected: list[Any]) -> None:
    found = add(FACTS, **asked, text="As agreed")
    assert _added(found) == [(*each, "As agreed") for each in expected]
    assert add(FACTS._replace(lines=()), **asked) == []


@given(
    nets=st.lists(st.integers(-(10**9), 10**9), min_size=1, max_size=6),
    rate_bps=st.integers(0, 10_000),
    turned=st.randoms(use_true_random=False),
)
def test_a_share_is_independent_of_the_order_of_lines(
    nets: list[int], rate_bps: int, turned: Any
) -> None:
    lines = [LineFacts(place, net, "x", "RS"[place % 2]) for place, net in enumerate(nets, 1)]
    asked: dict[str, Any] = {"rate_bps": rate_bps, "revenue_code": "y", "rounding": HALF_UP}
    there = c306_surcharge_is_added(FACTS._replace(lines=tuple(lines)), **asked)
    turned.shuffle(lines)
    back = c307_discount_is_taken_off(FACTS._replace(lines=tuple(lines)), **asked)
    assert [each[1] for each in there] == [-each[1] for each in back]
    assert all(type(each.net_minor) is int for each in there)

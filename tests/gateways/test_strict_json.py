"""JSON of strangers is read strictly, and what is fine is not refused."""

from decimal import Decimal

import pytest

from portal.gateways.strict_json import DEPTH_MAX, Unreadable, day_of, instant_of, read_json


def nested(depth: int) -> bytes:
    """Write an object that many levels deep, itself the first."""
    return b'{"a":' * depth + b"1" + b"}" * depth


def test_what_is_fine_is_read() -> None:
    raw = '{"text":"[[{{[[{{[[{{[[{{[[{{[[{{ \\" [[{{", "ü":1.10, "list":[{},{},{}]}'.encode()
    found = read_json(raw)
    assert found["text"] == '[[{{[[{{[[{{[[{{[[{{[[{{ " [[{{'
    assert found["ü"] == Decimal("1.10")
    assert found["list"] == [{}, {}, {}]


def test_many_objects_side_by_side_are_not_deep() -> None:
    assert len(read_json(b'{"rows":[' + b'{"a":"\\u00e9"},' * 999 + b"{}]}")["rows"]) == 1_000


def test_depth_has_a_limit() -> None:
    assert read_json(nested(DEPTH_MAX))
    with pytest.raises(Unreadable, match="deeply"):
        read_json(nested(DEPTH_MAX + 1))


@pytest.mark.parametrize(
    "raw", [b"", b"1", b"null", b"[]", b'{"a":1} x', b'{"a":Infinity}', b'{"a":-NaN}', b"{'a':1}"]
)
def test_what_is_no_object_is_refused(raw: bytes) -> None:
    with pytest.raises(Unreadable):
        read_json(raw)


def test_a_refusal_quotes_nothing_of_what_was_sent() -> None:
    for raw in (b'{"secret-of-ours"', b'{"a":secret-of-ours}', b'{"secret-of-ours":NaN}'):
        with pytest.raises(Unreadable) as refused:
            read_json(raw)
        assert "secret" not in str(refused.value)


@pytest.mark.parametrize("text", ["20261120", "2026-W47-5", "2026-11-31", "2026-11-2", "", 1])
def test_a_day_is_written_one_way(text: object) -> None:
    with pytest.raises(Unreadable):
        day_of({"day": text}, "day")


@pytest.mark.parametrize("text", ["2026-11-20", "2026-11-20T10:00:00", "now", None])
def test_an_instant_tells_its_offset(text: object) -> None:
    with pytest.raises(Unreadable):
        instant_of({"at": text}, "at")

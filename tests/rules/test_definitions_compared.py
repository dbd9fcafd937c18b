"""Definitions against each other: what differs in sentences, and what a base hands down."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.definitions import list_samples, load_sample
from rules.differences import compare_definitions
from rules.inheritance import (
    BASES_MAX,
    BaseInvalid,
    list_own_codes,
    resolve_definition,
    write_overrides,
)

PERSON = {"field": "payer_kind", "op": "eq", "value": "person"}
BASE: dict[str, Any] = {
    "title": "Base",
    "clause": [
        {"code": "C101", "parameters": {"rates": {"S": 1900}}},
        {"code": "C104", "parameters": {"days": 30}, "when": PERSON},
        {"code": "C104", "parameters": {"days": 14}},
        {"code": "V102"},
        {"code": "C201", "parameters": {"rate_bps": 75, "grace_days": 14}},
    ],
}


def changed(place: int, **changes: Any) -> dict[str, Any]:
    clauses = [dict(entry) for entry in BASE["clause"]]
    clauses[place] |= changes
    return {**BASE, "clause": clauses}


def resolve(definition: dict[str, Any]) -> dict[str, Any]:
    return resolve_definition(definition, lambda _: BASE)


def test_a_definition_and_itself_do_not_differ() -> None:
    assert compare_definitions(BASE, BASE) == ()
    # What is said and what is left to the catalogue is the same when it is the same.
    said = changed(4, parameters={"rate_bps": 75, "grace_days": 14})
    assert compare_definitions(BASE, said) == ()


@pytest.mark.parametrize(
    ("after", "kind", "code", "sentence"),
    [
        (changed(4, parameters={"rate_bps": 125, "grace_days": 14}), "changed", "C201",
         "Rate was 0.75 % and is 1.25 % now."),
        (changed(4, parameters={"rate_bps": 75}), "changed", "C201",
         "Grace days was 14 days and is 0 days now."),
        (changed(0, parameters={"rates": {"S": 2000}}), "changed", "C101",
         "Rates was S 19.00 % and is S 20.00 % now."),
        (changed(3, severity="warn"), "changed", "V102", "The severity was block and is warn now."),
        (changed(3, note="By law"), "changed", "V102", "The note is new: By law."),
        (changed(4, when=PERSON), "changed", "C201",
         "The condition is new: payer kind is “person”."),
        ({**BASE, "title": "Other"}, "changed", "", "The title was Base and is Other now."),
        ({**BASE, "clause": [*BASE["clause"], {"code": "V103"}]}, "added", "V103",
         "Refuse a document with a negative total"),
        ({**BASE, "clause": BASE["clause"][:-1]}, "removed", "C201", "Charge 0.75 %"),
        ({**BASE, "clause": BASE["clause"][::-1]}, "changed", "", "The order of the clauses"),
    ],
)  # fmt: skip
def test_each_difference_is_a_sentence(
    after: dict[str, Any], kind: str, code: str, sentence: str
) -> None:
    (found,) = compare_definitions(BASE, after)
    assert (found.kind, found.code) == (kind, code)
    assert sentence in found.sentences[0]


def test_clauses_of_one_code_are_matched_by_their_conditions() -> None:
    (found,) = compare_definitions(BASE, changed(2, parameters={"days": 21}))
    assert found.sentences == ("Days was 14 days and is 21 days now.",)


def test_a_clause_that_is_known_no_more_does_not_break_the_page() -> None:
    (found,) = compare_definitions({"clause": [{"code": "V999"}]}, {"clause": []})
    assert (found.kind, found.title) == ("removed", "A clause that is known no more")


def test_what_is_not_said_comes_from_the_base() -> None:
    own = {"base": "x", "title": "Own", "clause": [
        {"code": "C104", "parameters": {"days": 7}}, {"code": "V102", "remove": True},
        {"code": "V103"},
    ]}  # fmt: skip
    whole = resolve(own)
    assert "base" not in whole
    assert whole["title"] == "Own"
    assert [entry["code"] for entry in whole["clause"]] == ["C101", "C104", "C201", "V103"]
    assert list_own_codes(own) == {"C104", "V102", "V103"}


def test_impossible_bases_are_refused() -> None:
    def endless(name: str) -> dict[str, Any]:
        return {"base": name}

    with pytest.raises(BaseInvalid, match=f"more than {BASES_MAX} bases"):
        resolve_definition({"base": "x"}, endless)
    for definition, words in (
        ({"base": 5}, "is a text"),
        ({"base": "x", "clause": [{"code": "V109", "remove": True}]}, "no V109"),
    ):
        with pytest.raises(BaseInvalid, match=words):
            resolve(definition)


SAMPLE = load_sample(list_samples()[0]) or {}


@given(st.data())
def test_overrides_say_any_change_of_a_base(data: st.DataObject) -> None:
    """Resolved again they are the same clauses, those of each code in the same order."""
    wanted = data.draw(st.lists(st.sampled_from(SAMPLE["clause"]), max_size=12))
    wanted = [entry for at, entry in enumerate(wanted) if entry not in wanted[:at]]
    whole = {**SAMPLE, "clause": wanted}
    own = {"base": "x", **write_overrides(SAMPLE, whole)}
    again = resolve_definition(own, lambda _: SAMPLE)["clause"]
    for code in {entry["code"] for entry in [*wanted, *again]}:
        assert [one for one in again if one["code"] == code] == [
            one for one in wanted if one["code"] == code
        ]

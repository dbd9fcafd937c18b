"""Rule sets: what is refused, what the samples agree, and that definitions survive the way."""

from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import rules
from portal.domain.money import AMOUNT_MINOR_MAX, AmountTooLarge, Rounding
from rules.calculation import TaxCodeUnknown
from rules.definitions import DefinitionUnreadable
from rules.ruleset import (
    CompiledRuleSet,
    RuleSetInvalid,
    compile_rule_set,
    definition_hash,
    dump_definition,
    load_definition,
)
from rules.types import (
    InvoiceFacts,
    LineFacts,
    OpenInvoiceFacts,
    PaymentFacts,
    Severity,
    SourceFacts,
    Stage,
)

SAMPLES = Path(rules.__file__).with_name("samples")
CODES = ("harbour", "rivertown", "retail")
TODAY = date(2026, 3, 20)
EASTER = frozenset({date(2026, 4, 3), date(2026, 4, 6)})
MINIMAL: list[dict[str, Any]] = [
    {"code": "C101", "parameters": {"rates": {"S": 1900}}},
    {"code": "C104", "parameters": {"days": 14}},
]
FACTS = InvoiceFacts(
    invoice_id="1",
    kind="invoice",
    currency="EUR",
    payer_kind="company",
    payer_ref="P-1",
    has_default_payer=False,
    external_ref="A-1",
    purchase_order_ref="4500",
    document_on=TODAY,
    business_date=TODAY,
    is_duplicate=False,
    lines=(
        LineFacts(1, 13, "WATER", "S"),
        LineFacts(2, 13, "WATER", "S"),
        LineFacts(3, 13, "WASTE", "S"),
    ),
)
PAYMENT = PaymentFacts("1", 5000, "EUR", 1, "AM04", "return", TODAY, TODAY)


def _definition(code: str) -> dict[str, Any]:
    return load_definition((SAMPLES / f"{code}.toml").read_text(encoding="utf-8"))


def _sample(code: str) -> CompiledRuleSet:
    return compile_rule_set(_definition(code), holidays=EASTER)


def _compile(*clauses: Any, **head: Any) -> CompiledRuleSet:
    return compile_rule_set({"clause": [*MINIMAL, *clauses], **head}, holidays=EASTER)


def _problems(definition: dict[str, Any]) -> list[str]:
    with pytest.raises(RuleSetInvalid) as caught:
        compile_rule_set(definition, holidays=EASTER)
    assert "Nothing was saved" in caught.value.message
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("V101", "must be a table"),
        ({}, "no clause with this code"),
        ({"code": "V999"}, "no clause with this code"),
        ({"code": "V102", "stage": "collect"}, "one or more of import, draft, issue"),
        ({"code": "V102", "stage": "lunch"}, "its stage must be"),
        ({"code": "V102", "stage": []}, "its stage must be"),
        ({"code": "V102", "stage": ["issue", "issue"]}, "its stage must be"),
        ({"code": "V102", "severity": "fatal"}, "its severity must be block or warn or inform"),
        ({"code": "C202", "severity": "warn", "parameters": {"amount_minor": 5}}, "no severity"),
        ({"code": "V102", "parameters": {"x": 1}}, "no parameter “x”"),
        ({"code": "V102", "parameters": [1]}, "parameters must be a table"),
        ({"code": "V101"}, "“minimum_minor” is missing"),
        ({"code": "V101", "parameters": {"minimum_minor": "5"}}, "must be a whole number"),
        ({"code": "V102", "colour": "red"}, "unknown key “colour”"),
        ({"code": "V102", "note": 5}, "note must be a text"),
        ({"code": "V102", "when": {"field": "x"}}, "its condition is wrong: there is no field “x”"),
        ({"code": "C103", "parameters": {"mode": "up"}, "when": {}}, "cannot have a condition"),
        ({"code": "C102", "parameters": {"rates": {"S": 1}}}, "says twice how tax is rounded"),
        ({"code": "C104", "parameters": {"days": 5}}, "already takes every case"),
    ],
)
def test_a_wrong_clause_is_named_with_its_place(entry: Any, words: str) -> None:
    (problem,) = _problems({"clause": [*MINIMAL, entry]})
    assert problem.startswith("clause 3 (")
    assert words in problem


@pytest.mark.parametrize(
    ("definition", "words"),
    [
        ({}, "1 to 200 clauses"),
        ({"clause": []}, "1 to 200 clauses"),
        ({"clause": [{"code": "V102"}] * 201}, "1 to 200 clauses"),
        ({"clause": MINIMAL, "clauses": []}, "unknown key “clauses”"),
        ({"clause": MINIMAL, "title": 5}, "“title” must be a text"),
        ({"clause": MINIMAL[1:]}, "does not say how tax is rounded"),
        ({"clause": MINIMAL[:1]}, "does not say when every other document is due"),
    ],
)
def test_a_wrong_whole_is_refused(definition: dict[str, Any], words: str) -> None:
    assert any(words in problem for problem in _problems(definition))


def test_a_due_clause_with_a_condition_needs_one_without() -> None:
    when = {"field": "payer_kind", "op": "eq", "value": "person"}
    entry = {"code": "C104", "parameters": {"days": 5}, "when": when}
    assert "when every other document" in _problems({"clause": [MINIMAL[0], entry]})[0]
    compile_rule_set({"clause": [MINIMAL[0], entry, MINIMAL[1]]}, holidays=EASTER)


def test_all_mistakes_are_told_at_once() -> None:
    wrong = [{"code": "V999"}, {"code": "V101"}, {"code": "V102", "severity": "x"}]
    problems = _problems({"clause": [*MINIMAL, *wrong]})
    assert [problem.split(" (")[0] for problem in problems] == ["clause 3", "clause 4", "clause 5"]


def test_tax_is_one_amount_per_code_by_line_or_by_total() -> None:
    harbour, rivertown = _sample("harbour").price(FACTS), _sample("rivertown").price(FACTS)
    # 19 % of 0.39 is 0.0741 on the total; 20 % of 0.13 is 0.026 on each line.
    assert (harbour.net_minor, harbour.tax_minor, harbour.total_minor) == (39, 7, 46)
    assert (rivertown.tax_minor, len(rivertown.taxes)) == (9, 1)
    assert harbour.revenues == (("WASTE", 13), ("WATER", 26))
    assert (harbour.due_on, rivertown.due_on) == (date(2026, 4, 7), date(2026, 4, 19))
    public = _sample("harbour").price(FACTS._replace(payer_kind="public_body"))
    assert public.due_on == date(2026, 4, 20), "thirty days, moved from a Sunday"


def test_a_credit_note_is_priced_like_an_invoice() -> None:
    for code in CODES:
        lines = (LineFacts(1, 1999, "WATER", _sample(code).tax_codes[0]),)
        invoice = _sample(code).price(FACTS._replace(lines=lines))
        assert _sample(code).price(FACTS._replace(lines=lines, kind="credit_note")) == invoice


@given(
    st.lists(
        st.tuples(
            st.integers(-(10**8), 10**10),
            st.sampled_from(["A", "B", "C"]),
            st.sampled_from(["S", "R", "E"]),
        ),
        max_size=10,
    )
)
def test_a_price_adds_up(parts: list[tuple[int, str, str]]) -> None:
    lines = tuple(LineFacts(n, *part) for n, part in enumerate(parts, start=1))
    price = HARBOUR.price(FACTS._replace(lines=lines))
    assert price.net_minor == sum(line.net_minor for line in lines)
    assert price.net_minor == sum(minor for _, minor in price.revenues)
    assert price.net_minor == sum(tax.net_minor for tax in price.taxes)
    assert price.tax_minor == sum(tax.tax_minor for tax in price.taxes)
    assert price.total_minor == price.net_minor + price.tax_minor


HARBOUR = _sample("harbour")


def test_checks_belong_to_their_stage_and_keep_their_severity() -> None:
    rule_set = _compile(
        {"code": "V105", "stage": "issue", "severity": "warn"},
        {"code": "V107"},
        {"code": "P104", "parameters": {"minimum_minor": 100}},
    )
    facts = FACTS._replace(external_ref=None, is_duplicate=True, open_minor=99)
    assert [(f.code, f.severity, f.field) for f in rule_set.validate("issue", facts)] == [
        ("V105", Severity.WARN, "external_ref"),
        ("V107", Severity.BLOCK, "external_ref"),
    ]
    assert [f.code for f in rule_set.validate(Stage.IMPORT, facts)] == ["V107"]
    assert [f.code for f in rule_set.collect_findings(facts)] == ["P104"]
    assert rule_set.validate(Stage.REMIND, facts) == ()
    assert rule_set.stages == (Stage.IMPORT, Stage.ISSUE, Stage.COLLECT)


def test_a_clause_applies_only_when_its_condition_holds() -> None:
    when = {"field": "total_minor", "op": "gt", "value": 100}
    rule_set = _compile({"code": "V107", "when": when})
    facts = FACTS._replace(is_duplicate=True)
    assert rule_set.validate("issue", facts._replace(total_minor=100)) == ()
    assert len(rule_set.validate("issue", facts._replace(total_minor=101))) == 1


def test_an_unknown_tax_code_is_a_finding_and_has_no_price() -> None:
    facts = FACTS._replace(lines=(LineFacts(4, 100, "WATER", "X"),))
    for stage in (Stage.IMPORT, Stage.ISSUE):
        finding = HARBOUR.validate(stage, facts)[0]
        assert (finding.code, finding.severity) == ("C102", Severity.BLOCK)
        assert "Line 4 has the tax code “X”" in finding.message
        assessment = HARBOUR.assess(stage, facts)
        assert assessment.price is None
        assert assessment.findings == (finding,)
    assert HARBOUR.validate(Stage.COLLECT, facts._replace(open_minor=500, due_on=TODAY)) == ()
    with pytest.raises(TaxCodeUnknown):
        HARBOUR.price(facts)
    with pytest.raises(TaxCodeUnknown):
        HARBOUR.tax_rate_bps("X")
    assert HARBOUR.tax_rate_bps("R") == 700


def test_assessing_prices_before_it_checks() -> None:
    price, findings = HARBOUR.assess("issue", FACTS)
    assert price is not None
    assert price.total_minor == 46
    assert [finding.code for finding in findings] == ["V101"], "45 cents are below five euro"
    enough = FACTS._replace(lines=(LineFacts(1, 1000, "WATER", "S"),))
    assert HARBOUR.assess("issue", enough).findings == ()
    stated = HARBOUR.assess("issue", enough._replace(due_on=date(2026, 4, 3)))
    assert [finding.code for finding in stated.findings] == ["V104"]


def test_a_total_that_cannot_be_booked_is_a_finding() -> None:
    facts = FACTS._replace(lines=(LineFacts(1, AMOUNT_MINOR_MAX, "WATER", "S"),))
    assessment = HARBOUR.assess("issue", facts)
    assert assessment.price is None
    assert [finding.severity for finding in assessment.findings] == [Severity.BLOCK]


def test_lines_are_multiplied_exactly_and_rounded_once() -> None:
    up, even = _sample("rivertown"), HARBOUR
    assert (up.rounding, even.rounding) == (Rounding.HALF_UP, Rounding.HALF_EVEN)
    half = (Decimal("0.5"), Decimal("0.01"), "EUR")
    assert (up.line_net_minor(*half), even.line_net_minor(*half)) == (1, 0)
    assert up.line_net_minor(Decimal(-3), Decimal("33.333"), "EUR") == -10000
    assert up.line_net_minor(Decimal("1.5"), Decimal(3), "JPY") == 5
    # The product has more digits than the context of Decimal: it would round up to 0.005 there.
    long = Decimal("0.0049999999999999999999999999999")
    assert up.line_net_minor(Decimal(1), long, "EUR") == 0
    for quantity in (Decimal("NaN"), Decimal("Infinity"), Decimal("1E+400000"), Decimal(10**15)):
        with pytest.raises(AmountTooLarge):
            up.line_net_minor(quantity, Decimal(100), "EUR")


def test_rounding_is_half_up_unless_agreed() -> None:
    assert _compile().rounding is Rounding.HALF_UP


def test_retries_follow_the_first_clause_that_applies() -> None:
    returned, declined = PAYMENT, PAYMENT._replace(reason_kind="decline", reason_code="51")
    assert HARBOUR.decide_retry(returned).next_on == date(2026, 3, 25)
    assert HARBOUR.decide_retry(declined).next_on == date(2026, 3, 23)
    assert HARBOUR.decide_retry(returned._replace(attempt_number=2)).action == "fail"
    assert HARBOUR.decide_retry(declined._replace(attempt_number=2)).action == "retry"
    assert _sample("rivertown").decide_retry(declined).next_on == date(2026, 3, 27)


@pytest.mark.parametrize("code", CODES)
def test_no_sample_retries_without_mandate_or_on_a_closed_account(code: str) -> None:
    for reason in ("MD01", "AC04"):
        decision = _sample(code).decide_retry(PAYMENT._replace(reason_code=reason))
        assert (decision.action, decision.worklist) == ("fail", "hard_decline")


def test_without_an_agreement_nothing_is_tried_again() -> None:
    rule_set = _compile()
    assert rule_set.decide_retry(PAYMENT).worklist == "retries_exhausted"
    assert rule_set.decide_retry(PAYMENT._replace(reason_code="54")).worklist == "needs_payer"


def test_deposits_need_the_agreement_and_the_consent() -> None:
    invoices = [OpenInvoiceFacts("a", 100, TODAY, TODAY, 100)]
    deposit = SourceFacts("deposit", "d", 500, TODAY, True)
    (allocation,) = HARBOUR.allocate([deposit], invoices)
    assert (allocation.source_id, allocation.amount_minor) == ("d", 100)
    assert HARBOUR.allocate([deposit._replace(may_set_off=False)], invoices) == ()
    assert _sample("rivertown").allocate([deposit], invoices) == ()
    assert _compile().allocate([deposit], invoices) == ()


def test_the_samples_take_credits_in_their_own_order() -> None:
    sources = [
        SourceFacts("payer_credit", "p", 60, TODAY, False),
        SourceFacts("credit_note", "c", 60, TODAY, False),
    ]
    invoices = [
        OpenInvoiceFacts("old", 100, TODAY, TODAY, 100),
        OpenInvoiceFacts("small", 50, TODAY + timedelta(days=9), TODAY, 50),
    ]
    harbour = [tuple(each[1:]) for each in HARBOUR.allocate(sources, invoices)]
    assert harbour == [("c", "old", 60), ("p", "old", 40), ("p", "small", 20)]
    rivertown = [tuple(each[1:]) for each in _sample("rivertown").allocate(sources, invoices)]
    assert rivertown == [("p", "small", 50), ("p", "old", 10), ("c", "old", 60)]


def test_late_fees_are_those_of_the_agreement() -> None:
    late = FACTS._replace(open_minor=10_000, total_minor=10_000, due_on=TODAY - timedelta(days=73))
    assert [tuple(fee[:2]) for fee in HARBOUR.late_fee(late)] == [("C201", 75)]
    assert HARBOUR.late_fee(late._replace(payer_kind="public_body")) == ()
    assert HARBOUR.late_fee(late._replace(open_minor=5000)) == ()
    rivertown = _sample("rivertown").late_fee(late)
    assert [tuple(fee[:2]) for fee in rivertown] == [("C202", 1000), ("C203", 160)]
    assert _sample("retail").late_fee(late) == ()


def test_an_agreement_explains_itself_one_sentence_per_clause() -> None:
    for code in CODES:
        sentences = _sample(code).explain()
        assert len(sentences) == len(_definition(code)["clause"])
        assert all(sentence.endswith(".") and "{" not in sentence for sentence in sentences)
    assert HARBOUR.explain()[-1] == (
        "C201 at remind: Charge 0.75 % of what is still open once 14 days of grace are over. "
        "Applies when open amount is above 5000 minor units and it is not so that payer kind is "
        "“public_body”."
    )
    assert "V101 at issue blocks: Refuse an invoice whose total" in "\n".join(HARBOUR.explain())


@pytest.mark.parametrize("code", CODES)
def test_a_sample_survives_the_way_through_toml(code: str) -> None:
    definition = _definition(code)
    again = load_definition(dump_definition(definition))
    assert again == definition
    assert definition_hash(again) == definition_hash(definition)


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
VALUES = st.recursive(
    st.booleans() | st.integers(-(2**63), 2**63 - 1) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


@given(TEXTS, st.dictionaries(TEXTS, VALUES, max_size=4))
def test_any_definition_survives_the_way_through_toml(
    title: str, parameters: dict[str, Any]
) -> None:
    definition = {"title": title, "clause": [{"code": "V101", "parameters": parameters}]}
    assert load_definition(dump_definition(definition)) == definition


def test_the_hash_minds_the_order_of_clauses_and_not_of_keys() -> None:
    first = {"title": "A", "clause": [{"code": "V102", "stage": "issue"}, {"code": "V103"}]}
    turned = {"clause": [{"stage": "issue", "code": "V102"}, {"code": "V103"}], "title": "A"}
    swapped = {"title": "A", "clause": [{"code": "V103"}, {"code": "V102", "stage": "issue"}]}
    assert definition_hash(first) == definition_hash(turned) != definition_hash(swapped)
    assert len(definition_hash(first)) == 64


def test_days_become_texts_so_that_definitions_can_be_kept_as_json() -> None:
    text = '[[clause]]\ncode = "V107"\nwhen = {field = "due_on", op = "lt", value = 2026-05-01}\n'
    (entry,) = load_definition(text)["clause"]
    assert entry["when"]["value"] == "2026-05-01"
    rule_set = _compile(entry)
    facts = FACTS._replace(is_duplicate=True, due_on=date(2026, 4, 30))
    assert [finding.code for finding in rule_set.validate("issue", facts)] == ["V107"]


@pytest.mark.parametrize("text", ["title = ", "[[clause]", "a = 1\na = 2", "x" * 200_001, "\x00"])
def test_unreadable_toml_is_refused_with_a_reason(text: str) -> None:
    with pytest.raises(DefinitionUnreadable, match="Nothing was saved"):
        load_definition(text)


@pytest.mark.parametrize("code", CODES)
def test_a_priced_document_of_a_sample_passes_its_checks(code: str) -> None:
    rule_set = _sample(code)
    currency = "EUR" if code == "harbour" else "GBP"
    lines = tuple(
        LineFacts(n, 1000 * n, "WATER", tax_code)
        for n, tax_code in enumerate(rule_set.tax_codes, start=1)
    )
    facts = FACTS._replace(currency=currency, lines=lines)
    for stage in (Stage.IMPORT, Stage.ISSUE):
        assert rule_set.assess(stage, facts).findings == ()
    wrong = rule_set.assess(Stage.ISSUE, facts._replace(currency="USD")).findings
    assert [finding.code for finding in wrong] == ["V108"]


def test_what_a_tariff_prices_does_not_narrow_what_may_be_billed() -> None:
    tiers = {"revenue_codes": ["metered_water"], "up_to": [10], "prices_micro": [1, 2]}
    clauses = [*MINIMAL, {"code": "C302", "parameters": tiers}]
    rule_set = compile_rule_set({"clause": clauses}, holidays=EASTER)
    assert rule_set.revenue_codes == ()
    assert rule_set.is_revenue_code_agreed("berths")

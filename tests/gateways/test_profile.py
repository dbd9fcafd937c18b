"""What the sandbox decides: the same for the same seed, in the shares that are promised."""

from collections import Counter

from portal.gateways.sandbox import profile
from portal.gateways.sandbox.profile import (
    HARD_REASONS,
    MAGIC_OUTCOMES,
    REASONS,
    RETURN_REASONS,
    SOFT_REASONS,
    FaultLevel,
    Outcome,
    decide,
)

REFERENCES = [f"attempt-{number}" for number in range(20_000)]


def drawn(seed: str, faults: FaultLevel) -> list[Outcome]:
    """Decide about many charges of an ordinary amount."""
    return [
        decide(seed=seed, merchant_ref=ref, amount_minor=4_200, faults=faults) for ref in REFERENCES
    ]


def share(outcomes: list[Outcome], codes: tuple[tuple[str, int], ...]) -> float:
    """Count what was declined for one of the reasons."""
    names = {code for code, _ in codes}
    return sum(outcome.declined_code in names for outcome in outcomes) / len(outcomes)


def test_outcomes_come_in_their_shares() -> None:
    outcomes = drawn("seed", FaultLevel.NONE)
    assert 0.045 < share(outcomes, SOFT_REASONS) < 0.055
    assert 0.016 < share(outcomes, HARD_REASONS) < 0.024
    returned = [outcome for outcome in outcomes if outcome.return_code]
    assert 0.016 < len(returned) / len(outcomes) < 0.024
    assert {outcome.return_after for outcome in returned} == {1, 2, 3}
    assert all(outcome.declined_code is None for outcome in returned)
    assert {outcome.charge_fault for outcome in outcomes} == {None}
    assert {outcome.event_fault for outcome in outcomes} == {None}


def test_the_seed_decides_and_the_level_of_faults_changes_no_outcome() -> None:
    plain, rough = drawn("seed", FaultLevel.NONE), drawn("seed", FaultLevel.ROUGH)
    assert plain == drawn("seed", FaultLevel.NONE)
    assert plain != drawn("another seed", FaultLevel.NONE)
    codes = [(outcome.declined_code, outcome.return_code) for outcome in plain]
    assert codes == [(outcome.declined_code, outcome.return_code) for outcome in rough]


def test_rough_means_twelve_percent_on_the_wire() -> None:
    rough = drawn("seed", FaultLevel.ROUGH)
    faults = Counter(outcome.charge_fault for outcome in rough)
    assert 0.11 < 1 - faults[None] / len(rough) < 0.13
    events = Counter(outcome.event_fault for outcome in rough)
    assert 0.11 < 1 - events[None] / len(rough) < 0.13


def test_every_magic_amount_is_documented_and_works_at_every_level() -> None:
    for ending, outcome in MAGIC_OUTCOMES.items():
        assert f"    {ending}  " in (profile.__doc__ or "")
        for level in FaultLevel:
            for amount in (ending, 3_000_000 + ending):
                decided = decide(seed="s", merchant_ref="r", amount_minor=amount, faults=level)
                assert decided == outcome


def test_every_reason_has_its_sentence() -> None:
    for code, _ in SOFT_REASONS + HARD_REASONS + RETURN_REASONS:
        assert REASONS[code]

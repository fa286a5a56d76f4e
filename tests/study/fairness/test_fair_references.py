"""Which constraints fairlearn has a mitigation for, and how they are handed to it."""

from __future__ import annotations

import pytest

from losssearch.evaluation.fairness import gaps_for, parse_constraint
from losssearch.study.budget import Budget, Timekeeper
from losssearch.study.fairness.references import rule_of
from losssearch.training import default_plan
from losssearch.training.mitigations import Rule

KNOWN = {
    "demographic_parity_difference <= 0.1": Rule("demographic_parity", difference=0.05),
    "demographic_parity_ratio >= 0.8": Rule("demographic_parity", ratio=0.9),
    "equalized_odds_difference <= 0.1": Rule("equalized_odds", difference=0.05),
    "equalized_odds_ratio >= 0.8": Rule("equalized_odds", ratio=0.9),
    "equal_opportunity_difference <= 0.1": Rule("true_positive_rate_parity", difference=0.05),
    "predictive_equality_difference <= 0.1": Rule("false_positive_rate_parity", difference=0.05),
    "accuracy_difference <= 0.1": Rule("error_rate_parity", difference=0.05),
}


@pytest.mark.parametrize("text", KNOWN)
def test_a_constraint_is_put_into_fairlearns_terms(text: str) -> None:
    found = rule_of(parse_constraint(text, "binary"), 0.5)
    assert found is not None
    assert found.parity == KNOWN[text].parity
    assert found.difference == pytest.approx(KNOWN[text].difference)
    assert found.ratio == pytest.approx(KNOWN[text].ratio)


def test_no_other_gap_has_one() -> None:
    known = {text.split()[0] for text in KNOWN}
    for name in gaps_for("binary"):
        if name not in known:
            sign = parse_sign(name)
            assert rule_of(parse_constraint(f"{name} {sign} 0.5", "binary")) is None, name


def parse_sign(name: str) -> str:
    from losssearch.evaluation.fairness import get_gap

    return get_gap(name, "binary").operator


def test_what_is_reserved_of_a_time_budget_trains_nothing() -> None:
    keeper = Timekeeper(Budget(0.0, 100.0, clock=lambda: 0.0), default_plan(1_000), workers=1, seeds=5, menu=8)
    left = keeper.left
    keeper.reserved = 7.0
    assert keeper.left == left - 7
    assert keeper.end == keeper.budget.deadline - keeper.closing

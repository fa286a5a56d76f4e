"""How losses stand to constraints: marks, order, columns and words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from losssearch.evaluation.fairness.gaps import meaning
from losssearch.report.fairness import price, promise, warnings
from losssearch.report.leaderboard import as_records, leaderboard
from losssearch.report.standing import Standing, excess, standings

Maker = Callable[..., dict[str, Any]]


def test_losses_that_keep_the_limits_come_first(make_fair_result: Maker) -> None:
    rows = leaderboard(make_fair_result())
    # plain cross-entropy is best on test, at a gap of 0.19 where 0.05 is the limit
    assert rows[0].name == "searched"
    assert rows[-1].name == "cross_entropy"
    assert [held.mark for held in rows[0].constraints] == ["✓"]
    assert [held.mark for held in rows[-1].constraints] == ["✗"]
    kept = [row.test for row in rows[:-1]]
    assert kept == sorted(kept, reverse=True)


def test_where_none_keeps_the_limit_the_closest_comes_first(make_fair_result: Maker) -> None:
    rows = leaderboard(make_fair_result(limit=0.01))
    gaps = [row.constraints[0].test for row in rows]
    assert gaps == sorted(gaps)
    assert gaps[0] == 0.021


def test_each_constraint_has_two_columns(make_fair_result: Maker) -> None:
    first, *_, last = as_records(leaderboard(make_fair_result()))
    assert (first["demographic_parity_difference"], first["demographic_parity_difference_met"]) == (0.021, True)
    assert (last["demographic_parity_difference"], last["demographic_parity_difference_met"]) == (0.19, False)
    assert "constraints" not in first


@pytest.mark.parametrize(
    ("op", "limit", "test", "expected"),
    [("<=", 0.05, 0.06, 0.2), ("<=", 0.05, 0.05, 0.0), (">=", 0.8, 0.6, 0.25), ("<=", 0.0, 0.02, 2.0)],
)
def test_excess_is_in_units_of_the_limit(op: str, limit: float, test: float, expected: float) -> None:
    held = Standing("gap", op, limit, test=test)
    assert held.excess == pytest.approx(expected)
    assert held.met == (expected <= 0)


def test_what_was_not_measured_counts_for_nothing() -> None:
    held = standings({"constraints": [{"name": "gap", "limit": 0.1, "test": None}]})
    assert not held[0].met
    assert excess(held) == 0.0
    assert standings({}) == ()


def test_a_limit_below_the_noise_floor_is_warned_of(make_fair_result: Maker) -> None:
    assert warnings(make_fair_result()) == []
    (line,) = warnings(make_fair_result(floor=0.08))
    assert "cannot be verified" in line
    assert "up to 0.08" in line


def test_a_limit_that_cannot_be_certified_is_warned_of(make_fair_result: Maker) -> None:
    result = make_fair_result()
    result["best"]["constraints"][0]["confirmation"]["status"] = "not certifiable"
    (line,) = warnings(result)
    assert "not even of a perfectly fair model" in line


def test_a_decision_that_is_alike_for_everybody_is_warned_of(make_fair_result: Maker) -> None:
    result = make_fair_result()
    for row in result["best"]["groups"]["test"]:
        row["selection_rate"] = {"value": 0.004, "low": 0.0, "high": 0.01}
    (line,) = warnings(result)
    assert "decides almost alike for everybody (0.4% positive, where 25.0% are)" in line
    assert "the smallest has 400 test rows" in line


def test_the_price_is_against_the_best_baseline_whatever_its_gap(make_fair_result: Maker) -> None:
    found = price(make_fair_result())
    assert found is not None
    assert (found.name, found.kept, found.better) == ("cross_entropy", False, False)
    assert found.difference == pytest.approx(0.713 - 0.76)


def test_no_price_without_constraints(make_result: Maker) -> None:
    assert price(make_result()) is None


def test_the_promise_names_decision_confidence_and_sight(make_fair_result: Maker) -> None:
    result = make_fair_result()
    shown = " ".join(promise(result)[0])
    for words in ("one for all groups", "9,769 confirmation rows", "95% confidence bound is 0.041", "does not see sex"):
        assert words in shown
    result["data"]["sensitive_as_feature"] = True
    result["best"]["constraints"][0]["confirmation"] |= {"status": "not certifiable", "rows": 39_000}
    result["best"]["constraints"][0]["promise"] = {"kept": False}
    shown = " ".join(promise(result)[0])
    assert "on 39,000 rows, each decided by a model and a threshold that it did not train or tune" in shown
    assert "It is not promised" in shown
    assert "could not certify" in shown
    assert "every prediction needs it" in shown


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (
            "demographic_parity_ratio",
            "smallest ratio between two groups in the share of rows that are decided positive",
        ),
        ("worst_group_roc_auc", "roc auc of the group"),
        ("bounded_group_loss", "mean loss"),
        ("mean_error_difference", "largest difference"),
    ],
)
def test_gaps_have_words(name: str, words: str) -> None:
    assert words in meaning(name)

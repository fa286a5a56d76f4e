"""Constrained thresholds and fronts are what trying every threshold finds."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from losssearch.errors import OptionError
from losssearch.evaluation import Metric, get_metric
from losssearch.evaluation.fairness import (
    Constraint,
    bound,
    fit_group_thresholds,
    frontier,
    hypervolume,
    pareto,
    parse_constraint,
    parse_constraints,
    value,
)
from losssearch.evaluation.fairness import cuts as cuts_module
from losssearch.evaluation.fairness.threshold import SACRIFICE, fit_fair_threshold
from losssearch.evaluation.metrics.thresholded import accuracy, quality_of

Make = Callable[..., Any]
CONSTRAINTS = [
    ["demographic_parity_difference <= 0.3"],
    ["demographic_parity_ratio >= 0.5"],
    ["equalized_odds_difference <= 0.35"],
    ["equalized_odds_ratio >= 0.2"],
    ["predictive_parity_difference <= 0.3"],
    ["accuracy_difference <= 0.2"],
    ["worst_group_accuracy >= 0.55"],
    ["worst_group_f1 >= 0.3"],
    ["worst_group_cost(fp=1,fn=2) <= 0.6"],
    ["equal_opportunity_difference <= 0.4", "predictive_equality_difference <= 0.3"],
    ["demographic_parity_difference <= 0.0"],
    ["worst_group_accuracy >= 0.99"],
]


def _fit(metric: Metric, constraints: tuple[Constraint, ...], data: Any, z: float) -> Tensor:
    quality = quality_of(metric)
    assert quality is not None
    lead = data.outputs.shape
    return fit_fair_threshold(
        data.outputs,
        data.target.expand(lead),
        data.group.expand(lead),
        groups=data.groups,
        constraints=constraints,
        quality=quality,
        sign=1.0 if metric.direction == "maximize" else -1.0,
        z=z,
    )


def _tried(metric: Metric, constraints: tuple[Constraint, ...], data: Any, k: int, z: float) -> Tensor:
    """Utility and excess ``[T, 2]`` of every threshold between two distinct scores of member ``k``."""
    distinct = data.outputs[k].unique()
    decided = data.outputs[k][None] - ((distinct[1:] + distinct[:-1]) / 2)[:, None]
    utility = metric.utility(metric(decided, data.target))
    excess = [c.excess(bound(c, decided, data.target, data.group, data.groups, z=z)) for c in constraints]
    return torch.stack((utility, torch.stack(excess).amax(0)), -1)


def _sensible(metric: Metric, data: Any, tried: Tensor) -> Tensor:
    """Those of ``tried`` that are hardly worse than the better way to decide all rows alike; all where none is."""
    alike = torch.tensor([[-1.0], [1.0]]).expand(2, data.target.shape[-1])
    worse, better = metric.utility(metric(alike, data.target.expand(2, -1))).sort().values
    found = tried[tried[:, 0] >= better - SACRIFICE * (better - worse)]
    return found if len(found) else tried


@pytest.mark.parametrize("z", [0.0, 1.0])
@pytest.mark.parametrize("name", ["accuracy", "f1", "cost(fp=1,fn=5)"])
@pytest.mark.parametrize("texts", CONSTRAINTS, ids=lambda texts: texts[0].split()[0] + str(len(texts)))
def test_a_constrained_threshold_is_the_best_of_all(texts: list[str], name: str, z: float, grouped: Make) -> None:
    data, metric = grouped("binary", rows=70), get_metric(name, "binary")
    constraints = parse_constraints(texts, "binary")
    thresholds = _fit(metric, constraints, data, z)
    decided = data.outputs - thresholds[:, None].float()
    reached = metric.utility(metric(decided, data.target))
    excess = torch.stack(
        [c.excess(bound(c, decided, data.target, data.group, data.groups, z=z)) for c in constraints]
    ).amax(0)
    for k in range(3):
        tried = _sensible(metric, data, _tried(metric, constraints, data, k, z))
        kept = tried[tried[:, 1] <= 0]
        if len(kept):
            assert excess[k] <= 0
            assert reached[k].item() == pytest.approx(kept[:, 0].max().item(), abs=1e-12)
        else:
            assert excess[k].item() == pytest.approx(tried[:, 1].min().item(), abs=1e-12)
        assert 0 < (decided[k] > 0).sum() < 70


def test_the_cases_above_hold_both_kept_and_broken_constraints(grouped: Make) -> None:
    data, metric = grouped("binary", rows=70), get_metric("accuracy", "binary")
    feasible = [
        bool((_tried(metric, parse_constraints(texts, "binary"), data, 0, 1.0)[:, 1] <= 0).any())
        for texts in CONSTRAINTS
    ]
    assert sum(feasible) >= 6
    assert not all(feasible)


def test_no_limit_is_kept_at_the_wrong_end_of_the_scores(grouped: Make) -> None:
    data, metric = grouped("binary", rows=200), get_metric("accuracy", "binary")
    data.target[:] = (torch.arange(200) % 10 > 0).to(data.target.dtype)  # nine in ten are positive
    data.group[:] = torch.arange(200) % 2  # whose lowest scores would all be rejected at no gap
    constraints = parse_constraints(["demographic_parity_difference <= 0.0"], "binary")
    decided = data.outputs - _fit(metric, constraints, data, 2.0)[:, None].float()
    assert metric(decided, data.target.expand(3, -1)).min() >= 0.9 - SACRIFICE * 0.8


def test_small_chunks_change_nothing(grouped: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    data, metric = grouped("binary", members=5), get_metric("f1", "binary")
    constraints = parse_constraints(["demographic_parity_difference <= 0.2"], "binary")
    plain = _fit(metric, constraints, data, 1.0)
    monkeypatch.setattr(cuts_module, "CHUNK", 1)
    torch.testing.assert_close(_fit(metric, constraints, data, 1.0), plain, rtol=0, atol=0)


@pytest.mark.parametrize("scale", [1e-42, 1e30])
def test_scores_of_any_size_are_parted(scale: float, grouped: Make) -> None:
    data, metric = grouped("binary", rows=50), get_metric("accuracy", "binary")
    constraints = parse_constraints(["demographic_parity_difference <= 0.3"], "binary")
    plain = data.outputs - _fit(metric, constraints, data, 1.0)[:, None].float()
    data.outputs *= scale
    scaled = data.outputs - _fit(metric, constraints, data, 1.0)[:, None].float()
    assert torch.equal(plain > 0, scaled > 0)


@pytest.mark.parametrize("z", [0.0, 1.0])
@pytest.mark.parametrize("text", ["demographic_parity_difference <= 1", "demographic_parity_ratio >= 0.1"])
def test_a_front_has_the_best_metric_at_each_limit(text: str, z: float, grouped: Make) -> None:
    data, metric = grouped("binary", rows=70), get_metric("accuracy", "binary")
    constraint = parse_constraint(text, "binary")
    limits = [0.0, 0.1, 0.25, 0.5, 1.0]
    data.outputs[2, 0] = math.nan
    front = frontier(
        constraint, data.outputs, data.target, data.group, 3, quality=accuracy, sign=1.0, limits=limits, z=z
    )
    assert front.utility.shape == front.gap.shape == front.threshold.shape == (3, 5)
    assert front.utility[2].isnan().all()
    for k, (place, limit) in itertools.product(range(2), enumerate(limits)):
        distinct = data.outputs[k].unique()
        decided = data.outputs[k][None] - ((distinct[1:] + distinct[:-1]) / 2)[:, None]
        reached = bound(constraint, decided, data.target, data.group, 3, z=z)
        kept = reached <= limit if constraint.op == "<=" else reached >= limit
        best = metric(decided, data.target)[kept]
        found = front.utility[k, place].item()
        if not len(best):
            assert found == -math.inf
            assert front.threshold[k, place].isnan()
            assert front.gap[k, place].isnan()
            continue
        assert found == pytest.approx(best.max().item(), abs=1e-12)
        at = data.outputs[k] - front.threshold[k, place].float()
        assert metric(at, data.target[0]).item() == pytest.approx(found, abs=1e-12)
        torch.testing.assert_close(value(constraint, at, data.target[0], data.group[0], 3), front.gap[k, place])


def test_a_front_needs_a_gap_of_decisions(grouped: Make) -> None:
    data = grouped("binary")
    constraint = parse_constraint("calibration_difference <= 0.1", "binary")
    with pytest.raises(OptionError, match="gap of decisions"):
        frontier(constraint, data.outputs, data.target, data.group, 3, quality=accuracy, sign=1.0, limits=[1.0], z=0.0)


def test_a_pareto_front_holds_what_nothing_beats() -> None:
    points = torch.tensor([[0.8, 0.1], [0.9, 0.2], [0.85, 0.2], [0.7, 0.05], [0.9, 0.2], [math.nan, 0.0], [0.6, 0.3]])
    assert pareto(points).tolist() == [True, True, False, True, False, False, False]


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        ([[1.0, 0.0]], 1.0),
        ([[0.5, 0.1]], 0.25),
        ([[0.5, 0.1], [0.25, 0.0]], 0.25 + 0.25 * 0.5),
        ([[0.5, 0.1], [0.4, 0.15]], 0.25),
        ([[2.0, -1.0]], 1.0),
        ([[0.5, 0.2], [-1.0, 0.0]], 0.0),
        ([], 0.0),
    ],
)
def test_hypervolume_is_the_area_dominated(points: list[list[float]], expected: float) -> None:
    assert hypervolume(torch.tensor(points).reshape(-1, 2), (0.0, 1.0, 0.2)) == pytest.approx(expected, abs=1e-6)
    with pytest.raises(OptionError, match="low < high"):
        hypervolume(torch.zeros(1, 2), (1.0, 1.0, 0.2))


def _all_pairs(data: Any, constraints: tuple[Constraint, ...], metric: Metric, k: int, z: float) -> Tensor:
    """Accuracy and excess of every choice of one threshold a group, by brute force."""
    each = (data.outputs[k][data.group[0] == g].unique() for g in range(data.groups))
    levels = [torch.cat((s - 1, s[-1:] + 1)) for s in each]
    choices = torch.cartesian_prod(*levels)
    decided = data.outputs[k][None] - (choices[:, data.group[0]] + 1 - 1 / 64)
    decided = decided[((decided > 0).any(1)) & ((decided <= 0).any(1))]
    excess = [c.excess(bound(c, decided, data.target, data.group, data.groups, z=z)) for c in constraints]
    return torch.stack((metric(decided, data.target), torch.stack(excess).amax(0)), -1)


@pytest.mark.parametrize("z", [0.0, 1.0])
@pytest.mark.parametrize(
    "text", ["demographic_parity_difference <= 0.2", "equalized_odds_difference <= 0.2", "worst_group_f1 >= 0.99"]
)
def test_one_threshold_a_group_is_the_best_pair_of_two_groups(text: str, z: float, grouped: Make) -> None:
    data, metric = grouped("binary", rows=80, groups=2), get_metric("accuracy", "binary")
    constraints = parse_constraints([text], "binary")
    found = fit_group_thresholds(
        data.outputs, data.target, data.group, 2, constraints=constraints, quality=accuracy, sign=1.0, z=z
    )
    decided = found.apply(data.outputs, data.group)
    excess = constraints[0].excess(bound(constraints[0], decided, data.target, data.group, 2, z=z))
    for k in range(3):
        tried = _all_pairs(data, constraints, metric, k, z)
        kept = tried[tried[:, 1] <= 0]
        if len(kept):
            assert excess[k] <= 1e-12
            assert metric(decided, data.target)[k].item() == pytest.approx(kept[:, 0].max().item(), abs=1e-12)
        else:
            assert excess[k].item() == pytest.approx(tried[:, 1].min().item(), abs=1e-9)


@pytest.mark.parametrize(
    "text", ["demographic_parity_difference <= 0.2", "equalized_odds_difference <= 0.3", "accuracy_difference <= 0.1"]
)
def test_one_threshold_a_group_is_near_the_best_choice_for_three(text: str, grouped: Make) -> None:
    data, metric = grouped("binary", rows=54), get_metric("accuracy", "binary")
    constraints = parse_constraints([text], "binary")
    found = fit_group_thresholds(
        data.outputs, data.target, data.group, 3, constraints=constraints, quality=accuracy, sign=1.0, z=0.0
    )
    decided = found.apply(data.outputs, data.group)
    reached = metric(decided, data.target)
    assert (value(constraints[0], decided, data.target, data.group, 3) <= constraints[0].limit + 1e-12).all()
    for k in range(3):
        tried = _all_pairs(data, constraints, metric, k, 0.0)
        best = tried[tried[:, 1] <= 0, 0].max()
        assert best - 0.02 <= reached[k] <= best + 1e-12


@pytest.mark.parametrize("groups", [2, 4])
def test_one_threshold_a_group_is_no_worse_than_one_for_all(groups: int, grouped: Make) -> None:
    data, metric = grouped("binary", rows=2000, groups=groups), get_metric("accuracy", "binary")
    for text in ("demographic_parity_difference <= 0.1", "equalized_odds_difference <= 0.15"):
        constraints = parse_constraints([text], "binary")
        shared = data.outputs - _fit(metric, constraints, data, 0.0)[:, None].float()
        found = fit_group_thresholds(
            data.outputs, data.target, data.group, groups, constraints=constraints, quality=accuracy, sign=1.0, z=0.0
        )
        own = found.apply(data.outputs, data.group)
        assert (value(constraints[0], own, data.target, data.group, groups) <= constraints[0].limit + 1e-12).all()
        assert (metric(own, data.target) >= metric(shared, data.target) - 0.002).all()
    # Groups differ in their base rates, so that one threshold for all must give up more for parity.
    parity = parse_constraints(["demographic_parity_difference <= 0.02"], "binary")
    shared = data.outputs - _fit(metric, parity, data, 0.0)[:, None].float()
    found = fit_group_thresholds(
        data.outputs, data.target, data.group, groups, constraints=parity, quality=accuracy, sign=1.0, z=0.0
    )
    own = found.apply(data.outputs, data.group)
    assert (metric(own, data.target) > metric(shared, data.target) + 0.005).all()


def test_group_thresholds_of_empty_groups_and_broken_members(grouped: Make) -> None:
    data = grouped("binary", rows=60)
    data.outputs[1, 0] = math.inf
    parity = parse_constraints(["demographic_parity_difference <= 0.2"], "binary")
    found = fit_group_thresholds(
        data.outputs, data.target, data.group, 5, constraints=parity, quality=accuracy, sign=1.0, z=1.0
    )
    assert found.parameter.shape == (3, 5)
    assert found.parameter.isfinite().all()
    scores = parse_constraints(["calibration_difference <= 0.2"], "binary")
    with pytest.raises(OptionError, match="reads scores"):
        fit_group_thresholds(
            data.outputs, data.target, data.group, 3, constraints=scores, quality=accuracy, sign=1.0, z=1.0
        )

"""Bounds cover the true gap as often as they say, and a certificate says what fresh rows can tell."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import studentized_range
from torch import Tensor

from losssearch.errors import OptionError
from losssearch.evaluation import get_metric
from losssearch.evaluation.fairness import bound, certificate, parse_constraint, parse_constraints, value
from losssearch.evaluation.fairness.bootstrap import bootstrap_z
from losssearch.evaluation.fairness.bound import comparisons, promise_factor, z_value
from losssearch.evaluation.fairness.rates import rates

SAMPLES = 600
PARITY = parse_constraint("demographic_parity_difference <= 0.1", "binary")


def _sample(selected: list[float], rows: list[int], samples: int = SAMPLES, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Decisions ``[samples, N]`` at given selection rates, and groups ``[N]``."""
    generator = torch.Generator().manual_seed(seed)
    group = torch.repeat_interleave(torch.arange(len(rows)), torch.tensor(rows))
    chance = torch.tensor(selected)[group]
    return (torch.rand(samples, len(group), generator=generator) < chance).float() - 0.5, group


@pytest.mark.parametrize(
    ("selected", "rows"),
    [([0.3, 0.2], [400, 150]), ([0.2, 0.2], [300, 300]), ([0.05, 0.02, 0.04], [200, 80, 500]), ([0.5, 0.45], [40, 40])],
)
def test_the_bound_covers_the_true_gap(selected: list[float], rows: list[int]) -> None:
    decided, group = _sample(selected, rows)
    covered = bound(PARITY, decided, torch.zeros_like(group), group, len(rows), z=z_value(0.95))
    share = (covered >= max(selected) - min(selected) - 1e-9).double().mean().item()
    assert share >= 0.93
    # One standard error is not 95 %: a bound that is merely huge would pass the line above.
    if selected[0] != selected[1]:
        narrow = bound(PARITY, decided, torch.zeros_like(group), group, len(rows), z=0.0)
        assert (narrow >= max(selected) - min(selected) - 1e-9).double().mean().item() < 0.9


def test_the_bound_covers_the_true_ratio_and_the_true_difference_of_means() -> None:
    decided, group = _sample([0.4, 0.28], [300, 200])
    ratio = parse_constraint("demographic_parity_ratio >= 0.8", "binary")
    covered = bound(ratio, decided, torch.zeros_like(group), group, 2, z=z_value(0.95)) <= 0.7
    assert 0.93 <= covered.double().mean().item() < 1
    assert (bound(ratio, decided, torch.zeros_like(group), group, 2, z=0.0) <= 0.7).double().mean().item() < 0.7

    generator = torch.Generator().manual_seed(0)
    predicted = torch.randn(SAMPLES, 500, generator=generator) * (1 + group) + group
    means = parse_constraint("mean_prediction_difference <= 0.1", "regression")
    covered = bound(means, predicted, torch.zeros(500), group, 2, z=z_value(0.95)) >= 1
    assert 0.93 <= covered.double().mean().item() < 1


def test_a_promise_holds_for_the_gap_seen_on_new_rows() -> None:
    selected, rows = [0.3, 0.3, 0.25, 0.3], [300, 200, 250, 100]
    decided, group = _sample(selected, rows)
    new, new_group = _sample(selected, rows, seed=1)
    nothing = torch.zeros_like(group)
    seen = value(PARITY, new, nothing, new_group, 4)
    pairs = z_value(0.95, 6) * promise_factor(1000, 1000)
    drawn = bootstrap_z(PARITY.gap, decided[0], nothing, group, 4, level=0.95) * promise_factor(1000, 1000)
    assert z_value(0.95) < drawn / math.sqrt(2) < z_value(0.95, 12)
    for z in (pairs, drawn):
        promised = bound(PARITY, decided, nothing, group, 4, z=z)
        assert (promised >= seen).double().mean().item() >= 0.93
    assert (bound(PARITY, decided, nothing, group, 4, z=1.0) >= seen).double().mean().item() < 0.9


def test_the_mean_of_trainings_with_rows_of_their_own_needs_less_to_spare() -> None:
    selected, rows, trainings = [0.4, 0.3], [400, 600], 5
    decided, group = _sample(selected, rows, samples=1000 * trainings)
    new, _ = _sample(selected, rows, samples=1000, seed=1)
    nothing = torch.zeros_like(group)
    seen = value(PARITY, new, nothing, group, 2)

    def covered(own: float) -> float:
        z = z_value(0.95) * promise_factor(1000, 1000, own)
        promised = bound(PARITY, decided, nothing, group, 2, z=z).reshape(-1, trainings).mean(1)
        return (promised >= seen).double().mean().item()

    assert 0.93 <= covered(1 / trainings) < 0.97
    assert covered(1.0) > 0.97
    assert covered(0.0) < 0.93


def test_the_bound_of_two_groups_is_that_of_agresti_and_coull() -> None:
    decided = torch.tensor([1.0] * 3 + [-1.0] * 7 + [1.0] * 1 + [-1.0] * 4)
    group = torch.tensor([0] * 10 + [1] * 5)
    # (k + 2) / (n + 4): 5/14 and 3/9
    error = math.sqrt(5 / 14 * 9 / 14 / 14 + 3 / 9 * 6 / 9 / 9)
    found = bound(PARITY, decided, torch.zeros_like(group), group, 2, z=1.5)
    assert found.item() == pytest.approx(0.1 + 1.5 * error, abs=1e-12)


@pytest.mark.parametrize("groups", [2, 4, 6])
def test_the_bootstrap_of_equal_groups_finds_the_studentised_range(groups: int) -> None:
    decided, group = _sample([0.3] * groups, [800] * groups, samples=1)
    found = bootstrap_z(PARITY.gap, decided[0], torch.zeros_like(group), group, groups, level=0.95, resamples=4000)
    assert found == pytest.approx(studentized_range.ppf(0.95, groups, math.inf) / math.sqrt(2), rel=0.04)


@pytest.mark.parametrize("metric", ["balanced_accuracy", "f1", "mcc", "average_precision"])
def test_the_error_of_a_metric_of_a_group_is_that_of_a_bootstrap(metric: str, grouped: Callable[..., Any]) -> None:
    data = grouped("binary", members=1, rows=900, seed=2)
    gap = parse_constraint(f"worst_group_{metric} >= 0.1", "binary").gap
    found = rates(gap, data.outputs, data.target, data.group, 3)
    for g in range(3):
        rows = data.group[0] == g
        weights = np.random.default_rng(0).multinomial(int(rows.sum()), [1 / int(rows.sum())] * int(rows.sum()), 2000)
        drawn = get_metric(metric, "binary").function.resampled(data.outputs[0, rows], data.target[0, rows])
        expected = drawn(torch.from_numpy(weights.T.astype(float))).std().item()
        assert found.variance[0, g, 0].sqrt().item() == pytest.approx(expected, rel=0.35)


def test_more_comparisons_and_higher_levels_widen() -> None:
    assert z_value(0.95) == pytest.approx(1.6448536, abs=1e-6)
    assert z_value(0.95, 6) == pytest.approx(2.3939798, abs=1e-6)
    assert promise_factor(500, None) == 1.0
    assert promise_factor(500, 500) == pytest.approx(math.sqrt(2))
    for level in (0.4, 1.0, float("nan")):
        with pytest.raises(OptionError, match="confidence level"):
            z_value(level)


def test_comparisons_are_pairs_in_every_cell(grouped: Callable[..., Any]) -> None:
    data = grouped("binary")
    odds = parse_constraint("equalized_odds_difference <= 0.1", "binary").gap
    assert comparisons(odds, rates(odds, data.outputs, data.target, data.group, 3)) == 6
    assert comparisons(odds, rates(odds, data.outputs, data.target, data.group, 4)) == 6


@pytest.mark.parametrize(
    ("rows", "selected", "limit", "status"),
    [
        ([4000, 4000], [0.3, 0.3], 0.05, "met"),
        ([4000, 4000], [0.3, 0.5], 0.05, "not met"),
        ([60, 60], [0.3, 0.3], 0.05, "not certifiable"),
        ([60, 60], [0.1, 0.9], 0.05, "not met"),
        ([4000, 4000], [0.3, 0.34], 0.05, "not met"),
    ],
)
@pytest.mark.parametrize("method", ["pairs", "bootstrap"])
def test_a_certificate_says_met_not_met_or_not_certifiable(
    rows: list[int], selected: list[float], limit: float, status: str, method: Any
) -> None:
    group = torch.repeat_interleave(torch.arange(2), torch.tensor(rows))
    place = torch.cat([torch.arange(n) / n for n in rows])
    decided = (place < torch.tensor(selected)[group]).float() - 0.5
    constraint = parse_constraint(f"demographic_parity_difference <= {limit}", "binary")
    found = certificate([constraint], decided, torch.zeros_like(group), group, 2, new_rows=sum(rows), method=method)[0]
    assert found.status == status
    assert status in found.text
    assert found.rows == tuple(rows)
    assert found.value <= found.bound
    if method == "pairs":
        assert found.z == pytest.approx(1.6448536 * math.sqrt(2))
    # The rule: not certifiable below z sqrt(p (1 - p) (1 / n_a + 1 / n_b)).
    p = sum(n * s for n, s in zip(rows, selected, strict=True)) / sum(rows)
    assert found.smallest_limit == pytest.approx(found.z * math.sqrt(p * (1 - p) * sum(1 / n for n in rows)), rel=0.05)


@pytest.mark.parametrize("method", ["pairs", "bootstrap"])
@pytest.mark.parametrize(
    ("task", "texts"),
    [
        ("binary", ["equalized_odds_ratio >= 0.5", "worst_group_f1 >= 0.2", "calibration_difference <= 0.4"]),
        ("multiclass", ["equalized_odds_difference <= 0.5", "worst_group_accuracy >= 0.2"]),
        ("regression", ["mae_difference <= 2", "rmse_difference <= 3", "worst_group_r2 >= 0.1"]),
    ],
)
def test_every_kind_of_gap_gets_a_certificate(
    task: str, texts: list[str], method: Any, grouped: Callable[..., Any]
) -> None:
    data = grouped(task, rows=900)
    constraints = parse_constraints(texts, task)
    certificates = certificate(
        constraints, data.outputs[0], data.target[0], data.group[0], 3, new_rows=900, method=method
    )
    for constraint, found in zip(constraints, certificates, strict=True):
        assert found.constraint == constraint
        assert math.isfinite(found.bound)
        assert math.isfinite(found.smallest_limit)
        assert found.bound >= found.value if constraint.op == "<=" else found.bound <= found.value
        assert 1.5 < found.z < 8

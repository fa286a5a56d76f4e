"""Metrics of predicted quantiles: scikit-learn, the formulas of their papers, and a density that integrates to one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.integrate import trapezoid
from sklearn.metrics import mean_pinball_loss

from losssearch.evaluation import get_metric

LEVELS = np.arange(1, 20) / 20
DRAW = np.random.default_rng(4)
QUANTILES = np.sort(3 * DRAW.normal(size=(300, 19)), 1)
TARGET = 4 * DRAW.normal(size=300)


def value(name: str, quantiles: np.ndarray = QUANTILES, target: np.ndarray = TARGET) -> float:
    return float(get_metric(name, "distribution")(torch.from_numpy(quantiles), torch.from_numpy(target)))


def test_crps_is_twice_the_mean_pinball_loss_of_scikit_learn() -> None:
    each = [mean_pinball_loss(TARGET, QUANTILES[:, place], alpha=level) for place, level in enumerate(LEVELS)]
    assert value("crps") == pytest.approx(2 * np.mean(each))


def test_crps_of_close_quantiles_nears_that_of_a_normal_distribution() -> None:
    """Gneiting and Raftery 2007, eq. 21: at the centre of a standard normal it is (√2 - 1) / √π."""
    from scipy.stats import norm

    found = value("crps", norm.ppf(LEVELS)[None].repeat(2, 0), np.zeros(2))
    assert found == pytest.approx((np.sqrt(2) - 1) / np.sqrt(np.pi), rel=0.1)


@pytest.mark.parametrize(("level", "low", "high"), [(0.9, 0, 18), (0.5, 4, 14)])
def test_interval_score_is_equation_43_of_gneiting_and_raftery(level: float, low: int, high: int) -> None:
    lower, upper, alpha = QUANTILES[:, low], QUANTILES[:, high], 1 - level
    below, above = np.maximum(lower - TARGET, 0), np.maximum(TARGET - upper, 0)
    wanted = np.mean(upper - lower + 2 / alpha * (below + above))
    assert value(f"interval_score(level={level})") == pytest.approx(wanted)


def test_coverage_is_how_far_the_share_inside_is_off() -> None:
    inside = np.mean((QUANTILES[:, 0] <= TARGET) & (QUANTILES[:, 18] >= TARGET))
    assert value("coverage(level=0.9)") == pytest.approx(abs(inside - 0.9))


def test_the_density_of_nll_integrates_to_one_and_puts_its_share_between_quantiles() -> None:
    row = QUANTILES[0]
    for low, high, share in [
        (-200.0, 200.0, 1.0),
        (row[3], row[4], 0.05),
        (row[18], 200.0, 0.05),
        (-200, row[0], 0.05),
    ]:
        points = np.linspace(low, high, 200_001)[1:-1]
        quantiles = torch.from_numpy(row).expand(len(points), -1)
        (cost,) = get_metric("nll", "distribution").function.addends(quantiles, torch.from_numpy(points))
        assert trapezoid(np.exp(-cost.values.numpy()), points) == pytest.approx(share, rel=0.01)


@pytest.mark.parametrize("name", ["crps", "interval_score(level=0.9)", "coverage(level=0.9)", "nll"])
def test_resampled_rows_count_as_often_as_they_are_drawn(name: str) -> None:
    metric, often = get_metric(name, "distribution"), torch.from_numpy(DRAW.integers(0, 3, size=(300, 1))).double()
    rows = torch.repeat_interleave(torch.arange(300), often[:, 0].long())
    outputs, target = torch.from_numpy(QUANTILES), torch.from_numpy(TARGET)
    found = metric.function.resampled(outputs, target)(often)
    assert float(found[0]) == pytest.approx(float(metric(outputs[rows], target[rows])))

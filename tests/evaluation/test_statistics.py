"""Intervals cover the truth about as often as they say, and own up to few seeds."""

from __future__ import annotations

import math

import pytest
import torch
from scipy import stats
from torch import Tensor

from losssearch.errors import OptionError
from losssearch.evaluation import get_metric, mean_interval, metrics_for, paired_difference
from losssearch.evaluation.statistics import row_weights

ROWS, SEEDS = 300, 5


def _covered(name: str, *, seed_noise: float, row_noise: float, both_noise: float, fresh_rows: bool) -> float:
    """How often the 95 % interval of a mean difference of errors holds the truth, in 300 simulated studies."""
    metric = get_metric(name, "regression")
    generator = torch.Generator().manual_seed(17)
    hits, studies, truth = 0, 300, 0.3
    for study in range(studies):
        target = torch.zeros(SEEDS, ROWS)
        of_rows = torch.randn(SEEDS if fresh_rows else 1, ROWS, generator=generator) * row_noise
        of_seeds = torch.randn(SEEDS, 1, generator=generator) * seed_noise
        of_both = torch.randn(SEEDS, ROWS, generator=generator) * both_noise
        base = 20 + torch.rand(SEEDS, ROWS, generator=generator)
        worse = base + truth + of_rows + of_seeds + of_both
        low, high = paired_difference(metric, base, worse, target, resamples=100, seed=study).interval
        hits += low <= truth <= high
    return hits / studies


@pytest.mark.parametrize(
    ("seed_noise", "row_noise", "both_noise", "fresh_rows"),
    [
        (0.1, 0.0, 0.0, False),
        (0.0, 1.0, 0.0, False),
        (0.0, 0.0, 1.0, False),
        (0.05, 1.0, 1.0, False),
        (0.0, 1.0, 0.0, True),
    ],
    ids=["seeds", "rows", "both", "all", "fresh rows"],
)
def test_the_interval_covers_the_truth(
    seed_noise: float, row_noise: float, both_noise: float, fresh_rows: bool
) -> None:
    share = _covered("mae", seed_noise=seed_noise, row_noise=row_noise, both_noise=both_noise, fresh_rows=fresh_rows)
    assert 0.90 <= share <= 0.99


@pytest.mark.parametrize("name", ["balanced_accuracy", "average_precision"])
def test_the_interval_of_a_metric_of_counts_or_ranks_covers_the_truth(name: str) -> None:
    metric = get_metric(name, "binary")
    generator = torch.Generator().manual_seed(23)

    def draw(rows: int, seeds: int) -> tuple[Tensor, Tensor, Tensor]:
        target = (torch.rand(rows, generator=generator) < 0.3).long()
        shared = torch.randn(rows, generator=generator)
        a, b = (
            signal * (target - 0.5) + shared + 0.5 * torch.randn(seeds, rows, generator=generator)
            for signal in (2.0, 1.6)
        )
        return a, b, target

    a, b, target = draw(400_000, 1)
    truth = float(metric(a, target) - metric(b, target))
    studies, hits = 150, 0
    for study in range(studies):
        low, high = paired_difference(metric, *draw(ROWS, SEEDS), resamples=100, seed=study).interval
        hits += low <= truth <= high
    assert 0.90 <= hits / studies <= 0.99


def test_one_seed_gives_the_interval_of_a_paired_t_test() -> None:
    # oracle: scipy's paired t interval; the bootstrap differs by its own noise, about 3 %
    generator = torch.Generator().manual_seed(2)
    errors_a, errors_b = torch.rand(1, 500, generator=generator), torch.rand(1, 500, generator=generator) + 0.1
    found = paired_difference(
        get_metric("mae", "regression"), errors_a, errors_b, torch.zeros(500), resamples=2000, seed=0
    )
    expected = stats.ttest_rel(errors_b[0].double().numpy(), errors_a[0].double().numpy()).confidence_interval(0.95)
    assert found.difference == pytest.approx(float((errors_b - errors_a).double().mean()), abs=1e-9)
    assert found.interval[0] == pytest.approx(expected.low, abs=0.05 * (expected.high - expected.low))
    assert found.interval[1] == pytest.approx(expected.high, abs=0.05 * (expected.high - expected.low))


def test_seeds_alone_give_the_interval_of_a_t_test_over_seeds() -> None:
    by_seed = torch.tensor([0.1, 0.4, 0.2, 0.35, 0.3], dtype=torch.float64)
    better = torch.ones(SEEDS, 50, dtype=torch.float64)
    worse = better + by_seed[:, None]
    found = paired_difference(get_metric("mae", "regression"), better, worse, torch.zeros(50), seed=0)
    expected = stats.ttest_1samp(by_seed.numpy(), 0).confidence_interval(0.95)
    assert found.difference == pytest.approx(0.27)
    assert found.interval == pytest.approx((expected.low, expected.high))
    assert found.standard_error == pytest.approx(stats.sem(by_seed.numpy()))


def test_the_sign_says_which_is_better_and_the_level_how_wide() -> None:
    generator = torch.Generator().manual_seed(6)
    target = (torch.rand(ROWS, generator=generator) < 0.4).long()
    good = torch.randn(SEEDS, ROWS, generator=generator) + 2 * target - 1
    poor = torch.randn(SEEDS, ROWS, generator=generator)
    for name in ("f1", "log_loss"):
        metric = get_metric(name, "binary")
        found = paired_difference(metric, good, poor, target, seed=1)
        turned = paired_difference(metric, poor, good, target, seed=1)
        assert found.interval[0] > 0
        assert turned.difference == pytest.approx(-found.difference)
        assert turned.standard_error == pytest.approx(found.standard_error)
        wide = paired_difference(metric, good, poor, target, seed=1, level=0.99)
        assert wide.interval[0] < found.interval[0] < found.difference < found.interval[1] < wide.interval[1]
        assert paired_difference(metric, good, poor, target, seed=1) == found
        assert paired_difference(metric, good, poor, target, seed=2) != found
        assert found.test == "paired two-level bootstrap over seeds and rows"


def test_equal_models_differ_by_nothing() -> None:
    outputs = torch.randn(SEEDS, ROWS)
    found = paired_difference(get_metric("rmse", "regression"), outputs, outputs, torch.zeros(ROWS), seed=0)
    assert (found.difference, found.interval, found.standard_error) == (0.0, (0.0, 0.0), 0.0)


def test_multiclass_outputs_are_compared() -> None:
    generator = torch.Generator().manual_seed(0)
    target = torch.randint(3, (SEEDS, ROWS), generator=generator)
    poor = torch.randn(SEEDS, ROWS, 3, generator=generator)
    good = poor + torch.nn.functional.one_hot(target, 3)
    for name in ("macro_f1", "ece", "worst_class_recall"):
        found = paired_difference(get_metric(name, "multiclass"), good, poor, target, seed=0)
        assert math.isfinite(found.standard_error)
    assert paired_difference(get_metric("macro_f1", "multiclass"), good, poor, target, seed=0).interval[0] > 0


def test_where_the_metric_is_undefined_so_is_the_difference() -> None:
    outputs = torch.randn(2, 30)
    one_class = paired_difference(get_metric("roc_auc", "binary"), outputs, -outputs, torch.zeros(30), seed=0)
    diverged = outputs.clone()
    diverged[0, 0] = math.nan
    failed = paired_difference(get_metric("mae", "regression"), outputs, diverged, torch.zeros(30), seed=0)
    for found in (one_class, failed):
        assert all(math.isnan(x) for x in (found.difference, *found.interval, found.standard_error))


def test_resamples_without_a_positive_are_left_out() -> None:
    target = torch.zeros(20)
    target[3] = 1
    a, b = torch.arange(40.0).reshape(2, 20).sin(), torch.arange(40.0).reshape(2, 20).cos()
    found = paired_difference(get_metric("roc_auc", "binary"), a, b, target, seed=0)
    assert math.isfinite(found.standard_error)


def test_what_cannot_be_compared_is_refused() -> None:
    mae, good = get_metric("mae", "regression"), torch.zeros(2, 9)
    with pytest.raises(OptionError, match="one shape"):
        paired_difference(mae, good, torch.zeros(3, 9), good, seed=0)
    with pytest.raises(OptionError, match="one shape"):
        paired_difference(mae, good[0], good[0], good[0], seed=0)
    with pytest.raises(OptionError, match="resamples >= 2"):
        paired_difference(mae, good, good, good, resamples=1, seed=0)
    with pytest.raises(OptionError, match="0 < level < 1"):
        paired_difference(mae, good, good, good, level=95, seed=0)
    with pytest.raises(OptionError, match="0 < level < 1"):
        mean_interval(torch.ones(3), 1.0)
    with pytest.raises(OptionError, match="at least one"):
        mean_interval(torch.ones(0))


def test_the_interval_of_a_mean_is_that_of_scipy() -> None:
    values = torch.tensor([0.71, 0.74, 0.69, 0.75, 0.7])
    expected = stats.ttest_1samp(values.double().numpy(), 0).confidence_interval(0.9)
    assert mean_interval(values, 0.9) == pytest.approx((expected.low, expected.high))
    assert mean_interval(torch.tensor([0.5])) == (-math.inf, math.inf)


def test_whole_clusters_are_resampled() -> None:
    # 60 clusters of 25 equal rows tell as much as 60 rows, and rows as such would claim an interval of a fifth.
    generator = torch.Generator().manual_seed(0)
    few = torch.randn(2, 60, generator=generator)
    target = (torch.rand(60, generator=generator) < 0.5).long()
    metric = get_metric("accuracy", "binary")
    clusters = torch.arange(60).repeat_interleave(25) * 3 + 5
    many = few.repeat_interleave(25, 1)
    by_cluster = paired_difference(
        metric, many[:1], many[1:], target.repeat_interleave(25)[None], seed=0, clusters=clusters
    )
    by_row = paired_difference(metric, few[:1], few[1:], target[None], seed=0)
    assert by_cluster.difference == pytest.approx(by_row.difference)
    assert by_cluster.standard_error == pytest.approx(by_row.standard_error, rel=1e-6)
    assert by_cluster.interval == pytest.approx(by_row.interval, rel=1e-6)
    ignored = paired_difference(metric, many[:1], many[1:], target.repeat_interleave(25)[None], seed=0)
    assert ignored.standard_error < by_cluster.standard_error / 4


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_metrics_of_resampled_clusters_are_those_of_the_rows_they_hold(task: str) -> None:
    generator = torch.Generator().manual_seed(1)
    sizes = torch.randint(1, 6, (30,), generator=generator)
    units = torch.arange(30).repeat_interleave(sizes)
    rows = len(units)
    outputs = torch.randn((rows, 3) if task == "multiclass" else (rows,), generator=generator)
    target = torch.randint(3 if task == "multiclass" else 2, (rows,), generator=generator)
    if task == "regression":
        target = 5 + torch.randn(rows, generator=generator)
    weights = row_weights(rows, 8, generator, units)
    assert len(set(weights.sum(0).tolist())) > 1  # resamples of clusters have no common number of rows
    for name in metrics_for(task):
        metric = get_metric(name, task)
        found = metric.function.resampled(outputs, target)(weights)
        for drawn, value in zip(weights.T.long(), found, strict=True):
            index = torch.arange(rows).repeat_interleave(drawn)
            torch.testing.assert_close(value, metric(outputs[index], target[index]), rtol=1e-9, atol=1e-9, msg=name)

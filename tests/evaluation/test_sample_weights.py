"""Sample weights: a whole weight is as many equal rows, for every metric, whatever is tuned, and for intervals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from sklearn import metrics as sk
from torch import Tensor

from losssearch.errors import OptionError
from losssearch.evaluation import evaluate, fit_adjustment, get_metric, metrics_for, paired_difference

CASES = [
    (task, name)
    for task in ("binary", "multiclass", "regression")
    for name in metrics_for(task)
    if not name.startswith("worst_cell(") and not name.startswith("worst_group(")
]
MEMBERS, ROWS, CLASSES = 3, 61, 4


def rows_of(task: str, name: str, seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    if task == "multiclass":
        target = torch.randint(CLASSES, (1, ROWS), generator=generator)
        outputs = torch.randn(MEMBERS, ROWS, CLASSES, generator=generator) + torch.nn.functional.one_hot(
            target, CLASSES
        )
        return outputs.double(), target
    if task == "binary":
        target = (torch.rand(1, ROWS, generator=generator) < 0.3).long()
        outputs = ((torch.randn(MEMBERS, ROWS, generator=generator) + target - 1) * 3).round() / 2  # with ties
        return outputs.double(), target
    target = (torch.randn(1, ROWS, generator=generator) * 3 + 5).clamp(min=max(0.5, get_metric(name, task).lowest))
    return (target + torch.randn(MEMBERS, ROWS, generator=generator) + 0.8).double(), target.double()


@pytest.mark.parametrize(("task", "name"), CASES)
@pytest.mark.parametrize("seed", range(3))
def test_a_whole_weight_is_as_many_rows(task: str, name: str, seed: int) -> None:
    metric, (outputs, target) = get_metric(name, task), rows_of(task, name, seed)
    weight = torch.randint(1, 5, (1, ROWS), generator=torch.Generator().manual_seed(100 + seed))
    index = torch.arange(ROWS).repeat_interleave(weight[0])
    prior = torch.tensor([0.5, 0.2, 0.2, 0.1])
    found = metric(outputs, target, weight.double())
    torch.testing.assert_close(found, metric(outputs[:, index], target[:, index]), rtol=1e-9, atol=1e-12)
    ours = fit_adjustment(metric, outputs, target, facts={"class_prior": prior}, weight=weight.double())
    theirs = fit_adjustment(metric, outputs[:, index], target[:, index], facts={"class_prior": prior})
    torch.testing.assert_close(ours.parameter, theirs.parameter, rtol=1e-5, atol=1e-6)
    value, _ = evaluate(metric, outputs, target, tuned=True, facts={"class_prior": prior}, weight=weight.double())
    again, _ = evaluate(metric, outputs[:, index], target[:, index], tuned=True, facts={"class_prior": prior})
    torch.testing.assert_close(value, again, rtol=1e-6, atol=1e-9)
    # Only the weights' ratios matter.
    torch.testing.assert_close(metric(outputs, target, 0.37 * weight.double()), found, rtol=1e-9, atol=1e-12)
    assert not torch.allclose(metric(outputs, target), found)


@pytest.mark.parametrize(("task", "name"), CASES)
def test_equal_weights_change_nothing(task: str, name: str) -> None:
    metric, (outputs, target) = get_metric(name, task), rows_of(task, name, 0)
    same = torch.full((1, ROWS), 2.5, dtype=torch.float64)
    torch.testing.assert_close(metric(outputs, target, same), metric(outputs, target), rtol=1e-9, atol=1e-12)


def probability(outputs: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-outputs))


SKLEARN: dict[tuple[str, str], Callable[..., Any]] = {
    ("binary", "accuracy"): lambda o, t, w: sk.accuracy_score(t, o > 0, sample_weight=w),
    ("binary", "balanced_accuracy"): lambda o, t, w: sk.balanced_accuracy_score(t, o > 0, sample_weight=w),
    ("binary", "f1"): lambda o, t, w: sk.f1_score(t, o > 0, sample_weight=w),
    ("binary", "mcc"): lambda o, t, w: sk.matthews_corrcoef(t, o > 0, sample_weight=w),
    ("binary", "roc_auc"): lambda o, t, w: sk.roc_auc_score(t, o, sample_weight=w),
    ("binary", "average_precision"): lambda o, t, w: sk.average_precision_score(t, o, sample_weight=w),
    ("binary", "log_loss"): lambda o, t, w: sk.log_loss(t, probability(o), sample_weight=w),
    ("binary", "brier"): lambda o, t, w: sk.brier_score_loss(t, probability(o), sample_weight=w),
    ("multiclass", "accuracy"): lambda o, t, w: sk.accuracy_score(t, o.argmax(-1), sample_weight=w),
    ("multiclass", "balanced_accuracy"): lambda o, t, w: sk.balanced_accuracy_score(t, o.argmax(-1), sample_weight=w),
    ("multiclass", "macro_f1"): lambda o, t, w: sk.f1_score(t, o.argmax(-1), average="macro", sample_weight=w),
    ("multiclass", "worst_class_recall"): lambda o, t, w: sk.recall_score(
        t, o.argmax(-1), average=None, sample_weight=w
    ).min(),
    ("multiclass", "log_loss"): lambda o, t, w: sk.log_loss(
        t, np.exp(o) / np.exp(o).sum(-1, keepdims=True), sample_weight=w
    ),
    ("regression", "rmse"): lambda o, t, w: sk.root_mean_squared_error(t, o, sample_weight=w),
    ("regression", "mae"): lambda o, t, w: sk.mean_absolute_error(t, o, sample_weight=w),
    ("regression", "medae"): lambda o, t, w: sk.median_absolute_error(t, o, sample_weight=w),
    ("regression", "mape"): lambda o, t, w: sk.mean_absolute_percentage_error(t, o, sample_weight=w),
    ("regression", "r2"): lambda o, t, w: sk.r2_score(t, o, sample_weight=w),
    ("regression", "pinball(q=0.9)"): lambda o, t, w: sk.mean_pinball_loss(t, o, alpha=0.9, sample_weight=w),
    ("regression", "poisson_deviance"): lambda o, t, w: sk.mean_poisson_deviance(
        t, np.maximum(o, 1e-6), sample_weight=w
    ),
}


@pytest.mark.parametrize(("task", "name"), SKLEARN)
def test_weighted_metrics_are_scikit_learns(task: str, name: str) -> None:
    outputs, target = rows_of(task, name, 5)
    weight = torch.rand(ROWS, generator=torch.Generator().manual_seed(9), dtype=torch.float64) + 0.01
    found = get_metric(name, task)(outputs, target, weight)
    expected = [SKLEARN[task, name](one.numpy(), target[0].numpy(), weight.numpy()) for one in outputs]
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_intervals_weigh_rows() -> None:
    generator = torch.Generator().manual_seed(0)
    target = (torch.rand(400, generator=generator) < 0.5).long()
    a, b = torch.randn(2, 3, 400, generator=generator) + (2 * target - 1) * torch.tensor([[[1.0]], [[0.6]]])
    metric, weight = get_metric("accuracy", "binary"), torch.where(torch.arange(400) < 40, 20.0, 0.05).double()
    heavy = paired_difference(metric, a, b, target, seed=0, weight=weight)
    few = paired_difference(metric, a[:, :40], b[:, :40], target[:40], seed=0)
    whole = paired_difference(metric, a, b, target, seed=0)
    assert heavy.difference == pytest.approx(few.difference, abs=0.02)
    assert heavy.standard_error == pytest.approx(few.standard_error, rel=0.25)
    assert whole.standard_error < heavy.standard_error
    same = paired_difference(metric, a, b, target, seed=0, weight=torch.full((400,), 3.0).double())
    assert same.standard_error == pytest.approx(whole.standard_error, rel=1e-9)


def test_a_metric_that_cannot_be_weighted_says_so() -> None:
    from dataclasses import replace

    metric = replace(get_metric("f1", "binary"), fit=lambda outputs, target: outputs.mean(-1))
    with pytest.raises(OptionError, match="metric f1 cannot be tuned for weighted rows"):
        fit_adjustment(metric, torch.randn(5), torch.tensor([0, 1, 0, 1, 1]), weight=torch.ones(5))

"""Each metric equals the field's own library: scikit-learn 1.9, for ece torchmetrics 1.9."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.special import expit, log_softmax, softmax
from sklearn import metrics as sk
from torch import Tensor
from torchmetrics.functional.classification import binary_calibration_error, multiclass_calibration_error

from losssearch.evaluation import get_metric
from losssearch.evaluation.regression import LEAST_COUNT

Oracle = Callable[[np.ndarray, np.ndarray], float]


def _on_labels(function: Callable[..., float], **options: object) -> Oracle:
    return lambda logits, y: function(y, (logits > 0).astype(int), **options)


def _on_classes(function: Callable[..., float], **options: object) -> Oracle:
    return lambda logits, y: function(y, logits.argmax(-1), **options)


def _worst_recall(logits: np.ndarray, y: np.ndarray) -> float:
    return float(sk.recall_score(y, logits.argmax(-1), labels=np.unique(y), average=None).min())


def _cost(logits: np.ndarray, y: np.ndarray) -> float:
    (_, fp), (fn, _) = sk.confusion_matrix(y, logits > 0, labels=[0, 1])
    return float(2 * fp + 0.5 * fn) / len(y)


def _binary_log_loss(logits: np.ndarray, y: np.ndarray) -> float:
    return float(-log_softmax(np.stack([np.zeros_like(logits), logits], 1), 1)[np.arange(len(y)), y].mean())


def _multiclass_log_loss(logits: np.ndarray, y: np.ndarray) -> float:
    return float(-log_softmax(logits, 1)[np.arange(len(y)), y].mean())


def _binary_ece(logits: np.ndarray, y: np.ndarray) -> float:
    return float(binary_calibration_error(torch.tensor(expit(logits)), torch.tensor(y), n_bins=15, norm="l1"))


def _multiclass_ece(logits: np.ndarray, y: np.ndarray) -> float:
    probability = torch.tensor(softmax(logits, 1))
    return float(multiclass_calibration_error(probability, torch.tensor(y), logits.shape[1], n_bins=15, norm="l1"))


BINARY: dict[str, Oracle] = {
    "accuracy": _on_labels(sk.accuracy_score),
    "balanced_accuracy": _on_labels(sk.balanced_accuracy_score),
    "f1": _on_labels(sk.f1_score, zero_division=0),
    "mcc": _on_labels(sk.matthews_corrcoef),
    "roc_auc": lambda z, y: sk.roc_auc_score(y, z),
    "average_precision": lambda z, y: sk.average_precision_score(y, z),
    "log_loss": _binary_log_loss,
    "brier": lambda z, y: sk.brier_score_loss(y, expit(z), labels=[0, 1]),
    "ece": _binary_ece,
    "cost(fp=2,fn=0.5)": _cost,
}
MULTICLASS: dict[str, Oracle] = {
    "accuracy": _on_classes(sk.accuracy_score),
    "balanced_accuracy": _on_classes(sk.balanced_accuracy_score),
    "macro_f1": _on_classes(sk.f1_score, average="macro", zero_division=0),
    "worst_class_recall": _worst_recall,
    "log_loss": _multiclass_log_loss,
    "ece": _multiclass_ece,
}
REGRESSION: dict[str, Oracle] = {
    "rmse": lambda p, y: sk.root_mean_squared_error(y, p),
    "mae": lambda p, y: sk.mean_absolute_error(y, p),
    "medae": lambda p, y: sk.median_absolute_error(y, p),
    "mape": lambda p, y: sk.mean_absolute_percentage_error(y, p),
    "poisson_deviance": lambda p, y: sk.mean_poisson_deviance(y, np.maximum(p, LEAST_COUNT)),
    "r2": lambda p, y: sk.r2_score(y, p),
    "pinball(q=0.9)": lambda p, y: sk.mean_pinball_loss(y, p, alpha=0.9),
    "pinball(q=0.2)": lambda p, y: sk.mean_pinball_loss(y, p, alpha=0.2),
}
RANKING = ("roc_auc", "average_precision")

LOGITS: dict[str, Callable[[Tensor], Tensor]] = {
    "continuous": lambda z: z,
    "tied": lambda z: (2 * z).round() / 2,
    "constant": lambda z: torch.full_like(z, 0.3),
    "all negative": lambda z: -z.abs() - 0.1,
    "extreme": lambda z: 30 * z.sign() * z.abs().sqrt(),
}


def _agree(name: str, task: str, oracle: Oracle, outputs: Tensor, target: Tensor, tolerance: float = 1e-9) -> None:
    found = get_metric(name, task)(outputs, target)
    with warnings.catch_warnings():
        # scikit-learn warns of classes that occur only in the labels or only in the predictions
        warnings.simplefilter("ignore")
        expected = [oracle(z.numpy(), y.numpy()) for z, y in zip(outputs, target, strict=True)]
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("share", [0.5, 0.02], ids=["balanced", "rare"])
@pytest.mark.parametrize("shape", LOGITS)
@pytest.mark.parametrize("name", BINARY)
def test_binary_metric_equals_the_library(name: str, shape: str, share: float) -> None:
    generator = torch.Generator().manual_seed(11)
    logits = LOGITS[shape](torch.randn(5, 200, dtype=torch.float64, generator=generator))
    target = (torch.rand(5, 200, generator=generator) < share).long()
    target[:, 0], target[:, 1] = 0, 1
    _agree(name, "binary", BINARY[name], logits, target)


@pytest.mark.parametrize("label", [0, 1])
@pytest.mark.parametrize("name", sorted(set(BINARY) - set(RANKING)))
def test_binary_metric_of_one_class_equals_the_library(name: str, label: int) -> None:
    logits = torch.randn(3, 50, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    _agree(name, "binary", BINARY[name], logits, torch.full((3, 50), label))


@pytest.mark.parametrize("label", [0, 1])
@pytest.mark.parametrize("name", RANKING)
def test_a_ranking_of_one_class_has_no_value(name: str, label: int) -> None:
    value = get_metric(name, "binary")(torch.randn(30), torch.full((30,), label))
    assert math.isnan(value)


@pytest.mark.parametrize("present", [4, 2, 1])
@pytest.mark.parametrize("shape", LOGITS)
@pytest.mark.parametrize("name", MULTICLASS)
def test_multiclass_metric_equals_the_library(name: str, shape: str, present: int) -> None:
    generator = torch.Generator().manual_seed(5)
    target = torch.multinomial(torch.tensor([0.7, 0.2, 0.07, 0.03])[:present], 5 * 150, True, generator=generator)
    logits = torch.randn(5, 150, 4, dtype=torch.float64, generator=generator)
    # torchmetrics computes a multiclass ece in float32
    tolerance = 1e-6 if name == "ece" else 1e-9
    _agree(name, "multiclass", MULTICLASS[name], LOGITS[shape](logits), target.reshape(5, 150), tolerance)


@pytest.mark.parametrize("rows", [2, 40, 41])
@pytest.mark.parametrize("target", ["normal", "with zeros", "constant", "far from zero"])
@pytest.mark.parametrize("name", REGRESSION)
def test_regression_metric_equals_the_library(name: str, target: str, rows: int) -> None:
    generator = torch.Generator().manual_seed(9)
    y = torch.randn(4, rows, dtype=torch.float64, generator=generator)
    y = {"normal": y, "with zeros": y.round(), "constant": torch.full_like(y, 2.0), "far from zero": y + 1e4}[target]
    y = y.clamp(min=get_metric(name, "regression").lowest)
    predictions = y + torch.randn(4, rows, dtype=torch.float64, generator=generator)
    predictions[0] = y[0]
    _agree(name, "regression", REGRESSION[name], predictions, y)


@pytest.mark.parametrize(("name", "task"), [("log_loss", "binary"), ("log_loss", "multiclass"), ("brier", "binary")])
def test_a_probability_metric_is_finite_at_any_logit(name: str, task: str) -> None:
    logits = torch.tensor([3e4, -3e4, 0.0])
    if task == "multiclass":
        logits = torch.stack([-logits, logits], 1)
    value = get_metric(name, task)(logits, torch.tensor([0, 1, 1]))
    assert value.isfinite()
    assert value > 0.5


def test_a_count_that_rounding_left_below_zero_is_zero() -> None:
    metric, outputs = get_metric("poisson_deviance", "regression"), torch.tensor([0.5, 2.0])
    assert metric(outputs, torch.tensor([-1e-7, 3.0])) == metric(outputs, torch.tensor([0.0, 3.0]))


def test_float32_outputs_are_summed_exactly() -> None:
    errors = torch.full((200_001,), 0.1, dtype=torch.float32)
    value = get_metric("mae", "regression")(errors, torch.zeros(200_001))
    assert value.item() == pytest.approx(float(errors[0]), rel=1e-12)

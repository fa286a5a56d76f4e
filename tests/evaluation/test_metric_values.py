"""Each metric equals the function of the field's own library that its record names: scikit-learn 1.9, torch,
torchmetrics 1.9.
"""

from __future__ import annotations

import inspect
import math
import warnings
from collections.abc import Callable
from importlib import import_module

import numpy as np
import pytest
import torch
from sklearn import metrics as sk
from torch import Tensor

from losssearch.evaluation import get_metric, metrics_for
from losssearch.evaluation.declaring import MetricRecord, is_own, records
from losssearch.tasks import get_task

Function = Callable[[np.ndarray, np.ndarray], float]


def _worst_recall(logits: np.ndarray, y: np.ndarray) -> float:
    return float(sk.recall_score(y, logits.argmax(-1), labels=np.unique(y), average=None).min())


def _cost(logits: np.ndarray, y: np.ndarray) -> float:
    (_, fp), (fn, _) = sk.confusion_matrix(y, logits > 0, labels=[0, 1])
    return float(1 * fp + 5 * fn) / len(y)


OWN: dict[str, Function] = {"worst_class_recall": _worst_recall, "cost(fp=1,fn=5)": _cost}
"""Metrics that no library has as one function."""
ELSEWHERE = {"crps", "interval_score", "coverage", "nll", "concordance", "integrated_brier"}
"""Metrics of several columns, which tests of their own compare with other libraries or the formula."""
OF_COUNTS = {"poisson_deviance", "ranked_probability", "gini"}
"""Those of counts with their exposure, which have their tests in `tests/tasks/test_count.py`."""

BINARY, MULTICLASS, REGRESSION = (metrics_for(kind) for kind in ("binary", "multiclass", "regression"))
RANKING = ("roc_auc", "average_precision")

LOGITS: dict[str, Callable[[Tensor], Tensor]] = {
    "continuous": lambda z: z,
    "tied": lambda z: (2 * z).round() / 2,
    "constant": lambda z: torch.full_like(z, 0.3),
    "all negative": lambda z: -z.abs() - 0.1,
    "extreme": lambda z: 30 * z.sign() * z.abs().sqrt(),
}


def _record(name: str, kind: str) -> MetricRecord:
    """The declaration of a metric by its example, which has the default numbers."""
    return next(one for one in records() if one.example == name and one.fits(kind, get_task(kind).view))


def _library(record: MetricRecord, kind: str, outputs: Tensor, target: Tensor) -> float:
    """What the function that the record names says; the one above where it names none."""
    if record.oracle is None:
        return OWN[record.example](outputs.numpy(), target.numpy())
    oracle = record.oracle
    home, _, called = oracle.path.rpartition(".")
    function = getattr(import_module(home), called)
    read = get_task(kind).view.reads[oracle.reads](outputs)
    options = dict(oracle.options) | {key: record.numbers[own].default for key, own in oracle.numbers.items()}
    if home.startswith("torch"):
        if "num_classes" in inspect.signature(function).parameters:
            options["num_classes"] = outputs.shape[1]
        labels = target.to(read.dtype) if called.endswith("with_logits") else target
        return float(function(read, labels, **options))
    if grain := record.facts["grain"]:
        read = read.clamp(min=grain)
    return float(function(target.numpy(), read.numpy(), **options))


def _agree(name: str, kind: str, outputs: Tensor, target: Tensor) -> None:
    found, record = get_metric(name, kind)(outputs, target), _record(name, kind)
    with warnings.catch_warnings():
        # scikit-learn warns of classes that occur only in the labels or only in the predictions
        warnings.simplefilter("ignore")
        expected = [_library(record, kind, *one) for one in zip(outputs, target, strict=True)]
    tolerance = 1e-9 if record.oracle is None else record.oracle.tolerance
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("record", [one for one in records() if is_own(one.function)], ids=lambda one: one.example)
def test_a_metric_names_its_oracle_or_has_one_here(record: MetricRecord) -> None:
    elsewhere = OF_COUNTS if "rate" in record.tasks else ELSEWHERE
    assert (record.oracle is None) is (record.example in OWN or record.example.partition("(")[0] in elsewhere)


@pytest.mark.parametrize("share", [0.5, 0.02], ids=["balanced", "rare"])
@pytest.mark.parametrize("shape", LOGITS)
@pytest.mark.parametrize("name", BINARY)
def test_binary_metric_equals_the_library(name: str, shape: str, share: float) -> None:
    generator = torch.Generator().manual_seed(11)
    logits = LOGITS[shape](torch.randn(5, 200, dtype=torch.float64, generator=generator))
    target = (torch.rand(5, 200, generator=generator) < share).long()
    target[:, 0], target[:, 1] = 0, 1
    _agree(name, "binary", logits, target)


@pytest.mark.parametrize("label", [0, 1])
@pytest.mark.parametrize("name", sorted(set(BINARY) - set(RANKING)))
def test_binary_metric_of_one_class_equals_the_library(name: str, label: int) -> None:
    logits = torch.randn(3, 50, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    _agree(name, "binary", logits, torch.full((3, 50), label))


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
    _agree(name, "multiclass", LOGITS[shape](logits), target.reshape(5, 150))


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
    _agree(name, "regression", predictions, y)


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

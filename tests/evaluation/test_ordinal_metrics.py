"""Metrics of decided grades equal scikit-learn, and fitted cuts are the best that there are."""

from __future__ import annotations

import itertools

import pytest
import torch
from sklearn import metrics
from torch import Tensor

from losssearch.evaluation import evaluate, get_metric
from losssearch.evaluation.grade_cuts import expected_grade

GRADES, ROWS = 3, 24


def made(seed: int = 0) -> tuple[Tensor, Tensor]:
    source = torch.Generator().manual_seed(seed)
    target = torch.randint(GRADES, (ROWS,), generator=source)
    outputs = torch.randn(ROWS, GRADES, generator=source) + torch.nn.functional.one_hot(target, GRADES)
    return outputs.double(), target


@pytest.mark.parametrize("seed", [0, 1])
def test_values_are_those_of_sklearn(seed: int) -> None:
    outputs, target = made(seed)
    kappa = metrics.cohen_kappa_score(target, outputs.argmax(1), weights="quadratic")
    assert float(get_metric("quadratic_kappa", "ordinal")(outputs, target)) == pytest.approx(kappa)
    error = metrics.mean_absolute_error(target, outputs.argmax(1))
    assert float(get_metric("mae_grade", "ordinal")(outputs, target)) == pytest.approx(error)


@pytest.mark.parametrize("name", ["quadratic_kappa", "mae_grade"])
@pytest.mark.parametrize("seed", range(4))
def test_no_cuts_of_the_expected_grade_are_better(name: str, seed: int) -> None:
    metric = get_metric(name, "ordinal")
    outputs, target = made(seed)
    ordered = expected_grade(outputs).sort().values
    edges = [-1.0, *((ordered[1:] + ordered[:-1]) / 2).tolist(), 9.0]
    values = [float(metric(outputs, target))]
    for low, high in itertools.combinations_with_replacement(edges, 2):
        decided = (expected_grade(outputs)[:, None] > torch.tensor([low, high])).sum(1)
        values.append(float(metric(torch.nn.functional.one_hot(decided, GRADES).double(), target)))
    found, adjustment = evaluate(metric, outputs, target, tuned=True)
    assert float(found) == pytest.approx(max(values) if metric.direction == "maximize" else min(values))
    untouched, same = evaluate(metric, outputs, target, tuned=False)
    assert float(untouched) == values[0]
    torch.testing.assert_close(same.apply(outputs), outputs)
    assert adjustment.parameter.shape == (GRADES,)

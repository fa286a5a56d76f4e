"""The worst cell of label and group, and the worst group, as metrics."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn import metrics as sklearn

from losssearch.errors import OptionError
from losssearch.evaluation import evaluate, get_metric, paired_difference
from losssearch.evaluation.decision_tuning import tune_decision
from losssearch.evaluation.worst_cell import FEWEST, cells

ROWS, GROUPS, CLASSES = 300, 3, 4
GENERATOR = np.random.default_rng(5)
GROUP = GENERATOR.integers(GROUPS, size=ROWS)
BINARY = (GENERATOR.random(ROWS) < 0.3).astype(int)
SCORES = GENERATOR.normal(size=ROWS) + BINARY - 0.4 * GROUP
MANY = GENERATOR.integers(CLASSES, size=ROWS)
LOGITS = GENERATOR.normal(size=(ROWS, CLASSES)) + np.eye(CLASSES)[MANY]

ORACLES = {
    "worst_cell(accuracy)": None,
    "worst_cell(recall)": None,
    "worst_group(accuracy)": sklearn.accuracy_score,
    "worst_group(balanced_accuracy)": sklearn.balanced_accuracy_score,
    "worst_group(f1)": sklearn.f1_score,
    "worst_group(mcc)": sklearn.matthews_corrcoef,
    "worst_group(cost(fp=1,fn=5))": lambda y, d: float(np.mean(np.where(y == 1, 5 * (d == 0), 1 * (d == 1)))),
}
"""scikit-learn's value of one group; of a cell, whose rows have one label, the share of right answers."""


def coded(labels: np.ndarray, classes: int, group: np.ndarray = GROUP) -> torch.Tensor:
    return cells(torch.tensor(labels), torch.tensor(group), classes)


def by_hand(name: str, labels: np.ndarray, decided: np.ndarray) -> float:
    group_of = GROUP
    if name.startswith("worst_cell"):
        blocks = [(group_of == g) & (labels == c) for g in range(GROUPS) for c in np.unique(labels)]
        return min(float((decided[rows] == labels[rows]).mean()) for rows in blocks)
    found = [ORACLES[name](labels[group_of == g], decided[group_of == g]) for g in range(GROUPS)]
    return max(found) if "cost" in name else min(found)


@pytest.mark.parametrize("name", ORACLES)
def test_binary_values_are_those_of_the_worst(name: str) -> None:
    metric = get_metric(name, "binary")
    value = metric(torch.tensor(SCORES), coded(BINARY, 2))
    assert float(value) == pytest.approx(by_hand(name, BINARY, (SCORES > 0).astype(int)))
    assert metric.direction == ("minimize" if "cost" in name else "maximize")


@pytest.mark.parametrize("name", [name for name in ORACLES if "accuracy" in name or "recall" in name])
def test_multiclass_values_are_those_of_the_worst(name: str) -> None:
    value = get_metric(name, "multiclass")(torch.tensor(LOGITS), coded(MANY, CLASSES))
    assert float(value) == pytest.approx(by_hand(name, MANY, LOGITS.argmax(1)))


@pytest.mark.parametrize("name", ORACLES)
def test_the_threshold_is_the_best_of_all(name: str) -> None:
    metric, target = get_metric(name, "binary"), coded(BINARY, 2)
    value, _ = evaluate(metric, torch.tensor(SCORES), target, tuned=True)
    cuts = np.concatenate([[-9.0], np.sort(SCORES)])  # to accept a score is to be above the one below it
    every = [metric.utility(metric(torch.tensor(SCORES - cut), target)) for cut in cuts]
    assert float(metric.utility(value)) == pytest.approx(float(torch.stack(every).max()))


def test_the_prior_shift_is_the_best_of_its_grid() -> None:
    metric, target, prior = get_metric("worst_cell(accuracy)", "multiclass"), coded(MANY, CLASSES), [0.4, 0.3, 0.2, 0.1]
    shown = torch.tensor(LOGITS) + 2 * torch.tensor(prior).log()
    value, found = evaluate(metric, shown, target, tuned=True, facts={"class_prior": torch.tensor(prior)})
    grid = [metric(shown - tau * torch.tensor(prior).log(), target) for tau in np.arange(-0.5, 2.51, 0.025)]
    assert float(value) == pytest.approx(float(torch.stack(grid).max()))
    assert 1 < float(found.parameter) <= 2.5


@pytest.mark.parametrize("task", ["binary", "multiclass"])
@pytest.mark.parametrize("name", ["worst_cell(accuracy)", "worst_group(balanced_accuracy)"])
def test_a_row_of_weight_two_counts_as_two_equal_rows(name: str, task: str) -> None:
    outputs, labels, classes = (SCORES, BINARY, 2) if task == "binary" else (LOGITS, MANY, CLASSES)
    often = np.random.default_rng(1).integers(1, 4, size=ROWS)
    twice = np.repeat(np.arange(ROWS), often)
    metric, prior = get_metric(name, task), torch.tensor([0.4, 0.3, 0.2, 0.1])
    given = {"tuned": True, "facts": {"class_prior": prior} if task == "multiclass" else None}
    weights = torch.tensor(often).double()
    value, found = evaluate(metric, torch.tensor(outputs), coded(labels, classes), weight=weights, **given)
    target = coded(labels, classes)[twice]
    expected, same = evaluate(metric, torch.tensor(outputs)[twice], target, **given)
    assert float(value) == pytest.approx(float(expected))
    assert float(found.parameter) == pytest.approx(float(same.parameter), abs=0.05)


@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_a_cell_of_few_rows_is_left_out_and_an_absent_one_is_none(task: str) -> None:
    classes = 2 if task == "binary" else 3
    labels = np.repeat(np.arange(classes), 20)
    group = np.zeros(len(labels), dtype=int)
    group[: FEWEST - 1] = 2  # label 0 × group 2 has one row too few, group 1 has none, all others of group 2 are absent
    outputs = torch.eye(classes, dtype=torch.float64)[torch.tensor(labels)]
    wrong = torch.roll(outputs, 1, -1)
    outputs[: FEWEST - 1] = wrong[: FEWEST - 1]
    shown = outputs[:, 1] - outputs[:, 0] if task == "binary" else outputs
    for name in ("worst_cell(accuracy)", "worst_group(accuracy)"):
        assert float(get_metric(name, task)(shown, coded(labels, classes, group))) == 1.0
    group[FEWEST - 1] = 2
    outputs[FEWEST - 1] = wrong[FEWEST - 1]
    shown = outputs[:, 1] - outputs[:, 0] if task == "binary" else outputs
    for name in ("worst_cell(accuracy)", "worst_group(accuracy)"):
        assert float(get_metric(name, task)(shown, coded(labels, classes, group))) == 0.0


def test_without_a_cell_of_enough_rows_there_is_no_value() -> None:
    target = coded(np.array([0, 1, 0, 1]), 2, np.zeros(4, dtype=int))
    metric = get_metric("worst_cell(accuracy)", "binary")
    assert math.isnan(float(metric(torch.zeros(4), target)))
    assert bool(evaluate(metric, torch.zeros(4), target, tuned=True)[1].parameter.isfinite())


def test_a_difference_comes_with_an_interval_over_rows() -> None:
    target, worse = coded(BINARY, 2), torch.tensor(SCORES) * torch.where(torch.tensor(GROUP == 1), -1.0, 1.0)
    metric = get_metric("worst_cell(accuracy)", "binary")
    found = paired_difference(metric, torch.tensor(SCORES)[None], worse[None], target, resamples=200, seed=0)
    assert found.difference == pytest.approx(float(metric(torch.tensor(SCORES), target) - metric(worse, target)))
    assert found.interval[0] < found.difference < found.interval[1]
    assert found.standard_error > 0


def test_a_decision_of_ones_own_is_tuned_for_the_worst_cell() -> None:
    decision = tune_decision(SCORES, BINARY, metric="worst_cell(accuracy)", group=np.array(["a", "b", "c"])[GROUP])
    decided = decision.decide(SCORES).numpy()
    assert by_hand("worst_cell(accuracy)", BINARY, decided) == pytest.approx(decision.value)
    assert decision.value > by_hand("worst_cell(accuracy)", BINARY, (SCORES > 0).astype(int))
    counting = GENERATOR.random(ROWS) < 0.9
    weighted, left = (
        tune_decision(SCORES[rows], BINARY[rows], metric="worst_cell(accuracy)", group=GROUP[rows], weight=weight)
        for rows, weight in ((slice(None), counting.astype(float)), (counting, None))
    )
    assert weighted == left
    with pytest.raises(OptionError, match="needs the group of each of the 300 rows"):
        tune_decision(SCORES, BINARY, metric="worst_cell(accuracy)")


@pytest.mark.parametrize(
    ("name", "task", "said"),
    [
        ("worst_cell", "binary", "is written as a call, such as worst_cell"),
        ("worst_group()", "binary", "is written as a call, such as worst_group"),
        ("worst_cell(f1)", "binary", "worst_cell takes accuracy: the rows of a cell have one label"),
        ("worst_group(log_loss)", "binary", "accuracy, balanced_accuracy, f1, mcc or cost"),
        ("worst_group(macro_f1)", "multiclass", "takes a metric of decisions, accuracy, balanced_accuracy; got macro"),
        ("worst_group(worst_cell(accuracy))", "binary", "takes a metric of decisions"),
        ("worst_group(rmse)", "regression", "fits binary and multiclass and ordinal, not regression"),
    ],
)
def test_what_makes_no_sense_is_refused(name: str, task: str, said: str) -> None:
    with pytest.raises(OptionError, match=said.replace("(", r"\(")):
        get_metric(name, task)

"""The table of groups: its figures are scikit-learn's, its intervals those of Wilson and of the mean."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import pytest
import sklearn.metrics as sk
import torch
from scipy.stats import binomtest

from losssearch.evaluation.fairness import group_table

NAMES = ["a", "b", "c"]


@pytest.mark.parametrize("k", [0, 1])
def test_binary_figures_are_those_of_scikit_learn(k: int, grouped: Callable[..., Any]) -> None:
    data = grouped("binary")
    table = group_table(data.outputs[k], data.target[0], data.group[0], NAMES, "binary")
    assert [row["group"] for row in table] == NAMES
    for g, row in enumerate(table):
        rows = data.group[0] == g
        truth, decided = data.target[0, rows].numpy(), (data.outputs[k, rows] > 0).long().numpy()
        assert row["rows"] == len(truth)
        expected = {
            "base_rate": truth.mean(),
            "selection_rate": decided.mean(),
            "true_positive_rate": sk.recall_score(truth, decided),
            "false_positive_rate": 1 - sk.recall_score(truth, decided, pos_label=0),
            "precision": sk.precision_score(truth, decided),
            "accuracy": sk.accuracy_score(truth, decided),
            "calibration": data.outputs[k, rows].sigmoid().mean().item() - truth.mean(),
        }
        for name, figure in expected.items():
            assert row[name]["value"] == pytest.approx(figure, abs=1e-6), name
            assert row[name]["low"] < row[name]["value"] < row[name]["high"]
        oracle = binomtest(int(decided.sum()), len(decided)).proportion_ci(0.95, method="wilson")
        assert (row["selection_rate"]["low"], row["selection_rate"]["high"]) == pytest.approx(oracle)
    json.dumps(table, allow_nan=False)


def test_seeds_are_averaged_and_intervals_speak_of_rows(grouped: Callable[..., Any]) -> None:
    data = grouped("binary")
    table = group_table(data.outputs, data.target[0], data.group[0], NAMES, "binary")
    each = [group_table(outputs, data.target[0], data.group[0], NAMES, "binary") for outputs in data.outputs]
    for g, row in enumerate(table):
        mean = sum(one[g]["accuracy"]["value"] for one in each) / 3
        assert row["accuracy"]["value"] == pytest.approx(mean)
        width = row["accuracy"]["high"] - row["accuracy"]["low"]
        assert width == pytest.approx(each[0][g]["accuracy"]["high"] - each[0][g]["accuracy"]["low"], rel=0.1)


def test_probabilities_are_read_from_scores(grouped: Callable[..., Any]) -> None:
    data = grouped("binary")
    arguments = (data.target[0], data.group[0], NAMES, "binary")
    table = group_table(data.outputs[0] - 3, *arguments, scores=data.outputs[0])
    plain = group_table(data.outputs[0], *arguments)
    assert [row["calibration"] for row in table] == [row["calibration"] for row in plain]
    assert [row["accuracy"] for row in table] != [row["accuracy"] for row in plain]


def test_a_group_without_rows_has_no_figures(grouped: Callable[..., Any]) -> None:
    for task in ("binary", "multiclass", "regression"):
        data = grouped(task)
        table = group_table(data.outputs[0], data.target[0], data.group[0], [*NAMES, "none"], task)
        text = json.dumps(table[3], allow_nan=False)
        assert table[3]["rows"] == 0
        assert "null" in text
        assert "0." not in text


def test_multiclass_figures_are_by_class(grouped: Callable[..., Any]) -> None:
    data = grouped("multiclass")
    table = group_table(
        data.outputs[0], data.target[0], data.group[0], NAMES, "multiclass", classes=["red", "green", "blue"]
    )
    for g, row in enumerate(table):
        rows = data.group[0] == g
        truth, decided = data.target[0, rows].numpy(), data.outputs[0, rows].argmax(-1).numpy()
        assert row["accuracy"]["value"] == pytest.approx(sk.accuracy_score(truth, decided))
        recalls = sk.recall_score(truth, decided, average=None)
        assert [row["recall"][c]["value"] for c in ("red", "green", "blue")] == pytest.approx(list(recalls))
        assert sum(entry["value"] for entry in row["selection_rate"].values()) == pytest.approx(1)


def test_regression_figures_are_means_with_their_errors(grouped: Callable[..., Any]) -> None:
    data = grouped("regression")
    table = group_table(data.outputs[0], data.target[0], data.group[0], NAMES, "regression")
    for g, row in enumerate(table):
        rows = data.group[0] == g
        error = data.outputs[0, rows] - data.target[0, rows]
        assert row["mean_error"]["value"] == pytest.approx(error.mean().item(), abs=1e-6)
        assert row["mae"]["value"] == pytest.approx(error.abs().mean().item(), abs=1e-6)
        assert row["rmse"]["value"] == pytest.approx(error.square().mean().sqrt().item(), abs=1e-6)
        half = 1.96 * error.std().item() / math.sqrt(len(error))
        assert row["mean_error"]["high"] - row["mean_error"]["value"] == pytest.approx(half, rel=0.05)
        assert row["mean_target"]["value"] == pytest.approx(data.target[0, rows].mean().item(), abs=1e-6)
    assert torch.isfinite(torch.tensor([row["rmse"]["low"] for row in table])).all()

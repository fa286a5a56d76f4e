"""A decision tuned for a model of one's own is the one that a study would take."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
from fairlearn.metrics import demographic_parity_difference
from sklearn.metrics import f1_score, log_loss

from losssearch.errors import DataError, InputError
from losssearch.evaluation import get_metric
from losssearch.evaluation.decision import Decision
from losssearch.evaluation.decision_tuning import tune_decision

ROWS = 3000
PARITY = "demographic_parity_difference <= 0.05"


@pytest.fixture(scope="module")
def rows() -> dict[str, Any]:
    random = np.random.default_rng(0)
    group = random.integers(0, 2, ROWS)
    target = (random.random(ROWS) < 0.2 + 0.2 * group).astype(int)
    logits = random.normal(size=ROWS) + 1.5 * target + 0.5 * group - 2
    scores = random.normal(size=(ROWS, 3))
    classes = random.choice(3, ROWS, p=[0.7, 0.2, 0.1])
    scores[np.arange(ROWS), classes] += 1
    names = np.array(["women", "men"])[group]
    return {"group": names, "target": target, "logits": logits, "scores": scores, "classes": classes}


def test_no_other_threshold_is_better_for_the_metric(rows: dict[str, Any]) -> None:
    found = tune_decision(rows["logits"], rows["target"], metric="f1")
    tried = [f1_score(rows["target"], rows["logits"] > cut) for cut in np.sort(rows["logits"])[1::7]]
    assert f1_score(rows["target"], found.decide(rows["logits"])) == pytest.approx(found.value)
    assert found.value >= max(tried)
    assert found.value > f1_score(rows["target"], rows["logits"] > 0) + 0.02


def test_a_limit_is_kept_with_its_bound_and_on_new_rows(rows: dict[str, Any]) -> None:
    half = ROWS // 2
    found = tune_decision(
        rows["logits"][:half],
        rows["target"][:half],
        metric="accuracy",
        group=rows["group"][:half],
        constraints=["demographic_parity_difference <= 0.12"],
        new_rows=half,
    )
    decided = found.decide(rows["logits"]).numpy()
    gap = demographic_parity_difference(rows["target"][:half], decided[:half], sensitive_features=rows["group"][:half])
    assert found.kept
    assert found.limits[0].gap == pytest.approx(gap)
    assert gap < found.limits[0].bound <= 0.12
    new = demographic_parity_difference(rows["target"][half:], decided[half:], sensitive_features=rows["group"][half:])
    assert new <= 0.12


def test_more_confidence_leaves_more_to_spare(rows: dict[str, Any]) -> None:
    given = {"metric": "accuracy", "group": rows["group"], "constraints": [PARITY]}
    gaps = [
        tune_decision(rows["logits"], rows["target"], confidence=level, **given).limits[0].gap for level in (0.5, 0.95)
    ]
    assert gaps[1] < gaps[0] <= 0.05


def test_probabilities_get_a_temperature_and_decisions_stay(rows: dict[str, Any]) -> None:
    found = tune_decision(3 * rows["scores"], rows["classes"], metric="log_loss")
    warmed = torch.softmax(found.apply(3 * rows["scores"]), -1)
    assert found.value == pytest.approx(log_loss(rows["classes"], warmed))
    assert found.value < log_loss(rows["classes"], torch.softmax(torch.tensor(3 * rows["scores"]), -1))
    assert found.decide(rows["scores"]).tolist() == rows["scores"].argmax(-1).tolist()


@pytest.mark.parametrize("metric", ["macro_f1", "accuracy", "mae", "rmse", "f1", "brier"])
def test_the_value_is_that_of_the_adjusted_outputs(metric: str, rows: dict[str, Any]) -> None:
    outputs, target = {
        "macro_f1": (rows["scores"], rows["classes"]),
        "mae": (rows["logits"], rows["logits"] + rows["target"]),
        "rmse": (rows["logits"], rows["logits"] + rows["target"]),
    }.get(metric, (rows["logits"], rows["target"]))
    found = tune_decision(outputs, target, metric=metric)
    judged = get_metric(metric, found.task)
    labels = torch.tensor(target)
    assert float(judged(found.apply(outputs), labels)) == pytest.approx(found.value)
    untouched = float(judged(torch.tensor(outputs), labels))
    assert judged.utility(found.value) >= judged.utility(untouched) - 1e-9


def test_a_decision_is_kept_as_json(rows: dict[str, Any]) -> None:
    for given in (
        {"outputs": rows["logits"], "target": rows["target"], "group": rows["group"], "constraints": [PARITY]},
        {"outputs": rows["scores"], "target": rows["classes"], "metric": "macro_f1"},
    ):
        found = tune_decision(**({"metric": "f1"} | given))
        assert Decision.from_json(json.loads(json.dumps(found.to_json()))) == found


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"metric": "f2"}, "did you mean"),
        ({"metric": "f1", "constraints": [PARITY]}, "need the group of each of the 3000 rows, got none"),
        ({"metric": "f1", "constraints": [PARITY], "group": [1, 2]}, "got those of 2"),
        ({"metric": "f1", "constraints": [PARITY], "group": np.ones(ROWS)}, "at least two; got 1"),
        ({"metric": "mae", "task": "binary"}, "fits regression, not binary"),
        ({"metric": "f1", "outputs": np.zeros(3)}, "must have their N rows"),
        ({"metric": "f1", "outputs": np.full(ROWS, np.nan)}, "must be finite"),
        ({"metric": "f1", "target": np.full(ROWS, "yes")}, "must be numbers"),
        ({"metric": "f1", "target": np.full(ROWS, 2)}, "from 0 to 1, got 2"),
        ({"metric": "macro_f1", "outputs": np.zeros((ROWS, 3)), "target": np.full(ROWS, -1)}, "from 0 to 2, got -1"),
        ({"metric": "mae", "target": np.full(ROWS, np.nan)}, "must be finite"),
        ({"metric": "f1", "group": [1] * ROWS, "constraints": [PARITY], "confidence": 2.0}, r"must lie in \[0.5, 1\)"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(change: dict[str, Any], message: str, rows: dict[str, Any]) -> None:
    given = {"outputs": rows["logits"], "target": rows["target"]} | change
    with pytest.raises(InputError, match=message) as caught:
        tune_decision(**given)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "change", [{"limits": 3}, {"value": "much"}, {"score": {"kind": "magic", "parameter": 1.0, "log_prior": []}}]
)
def test_what_was_no_decision_is_refused(change: dict[str, Any], rows: dict[str, Any]) -> None:
    data = tune_decision(rows["logits"], rows["target"], metric="f1").to_json() | change
    with pytest.raises(DataError, match="a decision"):
        Decision.from_json(data)
    with pytest.raises(DataError, match="KeyError"):
        Decision.from_json({})

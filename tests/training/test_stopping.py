"""Early stopping, what counts of a training, and what is held of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from losssearch.data import draws, load, make_replicas, partition
from losssearch.data.replicas import Replicas
from losssearch.evaluation import evaluate, get_metric
from losssearch.judging.metric import MetricJudge
from losssearch.losses.spec import LossSpec
from losssearch.models import build_model
from losssearch.training import Candidate, Outcome, TrainingPlan, train_population

SQUARED = Candidate(LossSpec.from_json({"parts": [{"term": "squared"}], "decision": "fixed"}), (1e-2,))


def train(
    replicas: Replicas, judge: Any, *, epochs: int = 8, patience: int = 8, members: int = 1, hold: bool = False
) -> list[Outcome]:
    plan = TrainingPlan(epochs=epochs, batch_size=32, patience=patience)
    model = build_model("linear", replicas.width, 1)
    return train_population(model, [SQUARED] * members, replicas, plan, judge, hold=hold)


def test_the_best_epoch_counts_with_its_outputs(replicas: Replicas, by_epoch: Callable[..., Any]) -> None:
    judge = by_epoch([1, 3, 7, 2, 6, 5, 7, 0, 0])
    (outcome,) = train(replicas, judge, hold=True)
    assert (outcome.state, outcome.utilities, outcome.epochs) == ("completed", (7.0, 7.0), 3)
    at_best = judge.outputs[2][:, 0] + 100  # the scripted adjustment
    np.testing.assert_allclose(outcome.held["same"], at_best, rtol=1e-6)
    assert np.abs(outcome.held["same"] - (judge.outputs[6][:, 0] + 100).numpy()).max() > 1e-3


@pytest.mark.parametrize("patience", [1, 2, 3])
def test_training_ends_when_patience_does(replicas: Replicas, by_epoch: Callable[..., Any], patience: int) -> None:
    """``patience`` epochs without a better value, and not one more."""
    judge = by_epoch([1, 2, 2, 1, 0, 0, 0, 9])
    (outcome,) = train(replicas, judge, patience=patience)
    assert outcome.utilities == (2.0, 2.0)
    assert judge.epochs == 2 + patience


def test_an_improvement_at_the_last_moment_counts(replicas: Replicas, by_epoch: Callable[..., Any]) -> None:
    judge = by_epoch([1, 0, 2, 0, 3, 0, 4, 0])
    (outcome,) = train(replicas, judge, patience=2)
    assert (outcome.utilities, outcome.epochs, judge.epochs) == ((4.0, 4.0), 7, 8)


def test_an_outcome_says_where_its_best_epochs_were(replicas: Replicas, judge: type[Any]) -> None:
    """One per replica; how far training went, by patience; and how far it could have gone."""
    table = torch.tensor([[[1, 5, 0, 0, 0, 0, 0, 0]], [[1, 2, 3, 0, 0, 0, 0, 0]]], dtype=torch.float32)
    scripted = judge(lambda epoch, members: table[:, :, epoch - 1])
    (outcome,) = train(replicas, scripted, epochs=8, patience=2)
    assert (outcome.best_epochs, outcome.epochs, outcome.trained, outcome.most) == ((2, 3), 3, 5, 8)


def test_one_who_has_stopped_stays_stopped(replicas: Replicas, judge: type[Any]) -> None:
    """Also while its neighbour goes on, and in one replica while the other does."""
    first = [5, 0, 0, 9, 9, 9]
    table = torch.tensor([[first, [1, 2, 3, 4, 5, 6]], [[1, 2, 3, 4, 5, 6]] * 2], dtype=torch.float32)
    stopped, running = train(
        replicas, judge(lambda epoch, members: table[:, :, epoch - 1]), epochs=6, patience=2, members=2
    )
    assert stopped.utilities == (5.0, 6.0)
    assert running.utilities == (6.0, 6.0)


def test_a_metric_without_a_value_fails_the_candidate(replicas: Replicas, judge: type[Any]) -> None:
    nan = judge(lambda epoch, members: torch.tensor([[torch.nan], [1.0]]))
    (outcome,) = train(replicas, nan)
    assert (outcome.state, outcome.reason, outcome.utilities) == ("failed", "the metric was never finite", ())


def test_an_epoch_without_a_value_is_passed_over(replicas: Replicas, by_epoch: Callable[..., Any]) -> None:
    (outcome,) = train(replicas, by_epoch([1, float("nan"), 2, float("nan"), float("-inf"), 1, 1, 1]))
    assert (outcome.utilities, outcome.epochs) == ((2.0, 2.0), 3)


@pytest.mark.parametrize(("name", "task", "metric", "term"), [
    ("breast_cancer", "binary", "f1", "binary_cross_entropy"),
    ("breast_cancer", "binary", "log_loss", "focal"),
    ("wine", "multiclass", "balanced_accuracy", "cross_entropy"),
    ("diabetes", "regression", "mape", "squared"),
])  # fmt: skip
def test_held_outputs_are_adjusted_as_validation_says(name: str, task: str, metric: str, term: str) -> None:
    """Oracle: the same candidate without adjustment, judged by hand on its outputs."""
    dataset = load(f"builtin:{name}")
    parts = partition(dataset, seed=0)
    drawn = draws(dataset, parts.search, seed=0, count=2, purpose="test")
    held = {"test": parts.test, "confirmation": parts.confirmation}
    replicas = make_replicas(dataset, drawn, held=held)
    replicas.held["same"] = replicas.validation  # type: ignore[index]
    model = build_model("linear", replicas.width, replicas.classes if task == "multiclass" else 1)
    parts_json = {"parts": [{"term": term}]}
    tuned, fixed = (
        Candidate(LossSpec.from_json({**parts_json, "decision": decision}), (1e-3,)) for decision in ("tuned", "fixed")
    )
    # One epoch, so that the best is the same for both.
    plan = TrainingPlan(epochs=1, batch_size=16)
    found, raw = train_population(model, [tuned, fixed], replicas, plan, MetricJudge(metric, task, replicas), hold=True)
    outputs = torch.from_numpy(raw.held["same"])
    target = replicas.validation["target"]
    if task == "regression":
        target = target * replicas.facts["target_scale"][:, None] + replicas.facts["target_mean"][:, None]
    prior = replicas.facts["class_prior"] if task != "regression" else None
    measure = get_metric(metric, task)
    values, adjustment = evaluate(measure, outputs, target, tuned=True, facts={"class_prior": prior})
    np.testing.assert_allclose(found.utilities, measure.utility(values), rtol=1e-4)
    assert sum(found.utilities) > sum(raw.utilities)
    for part in held:
        assert found.held[part].dtype == (np.float64 if task == "regression" else np.float32)
        expected = adjustment.apply(torch.from_numpy(raw.held[part]))
        np.testing.assert_allclose(found.held[part], expected, rtol=1e-4, atol=1e-4)
        assert np.abs(found.held[part] - raw.held[part]).max() > 1e-3

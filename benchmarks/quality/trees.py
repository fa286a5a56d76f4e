"""Gradient-boosted trees with the same metric: the floor under all losses, shown for honesty, not ranked."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.quality import fairly
from benchmarks.quality.fitting import Fitted
from benchmarks.quality.problem import Problem
from losssearch.data.replicas import Replicas
from losssearch.training import Detailed

SEEDS = 3
TREES = 200


def fit(problem: Problem, seeds: int) -> Fitted:
    """scikit-learn's histogram boosting on the draws of the final training, with the same tuning after it."""
    replicas = problem.replicas("final", min(seeds, SEEDS), hold=True)
    outputs, validation = [], []
    for index in range(replicas.count):
        one = replicas.take([index])
        inner, held = _boost(problem, one, index)
        judge = fairly.judge(problem.scenario, problem.metric, problem.task.kind, one)
        utility, adjust = judge(_stacked(inner), one.validation["target"], torch.ones(1, dtype=torch.bool))
        outputs.append(adjust(_stacked(held))[0, 0].numpy())
        if problem.constraint and isinstance(adjust, Detailed):
            validation += fairly.of_details(problem.metric, problem.constraint, adjust.details[0].tolist())
        else:
            validation.append(float(problem.metric.utility(utility)))
    return Fitted(np.stack(outputs).astype(np.float32), tuple(validation))


def _stacked(outputs: NDArray[Any]) -> torch.Tensor:
    return torch.as_tensor(np.asarray(outputs, dtype=np.float32))[None, None]


def _boost(problem: Problem, one: Replicas, seed: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Logits or predictions on validation and test rows."""
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    features, target = one.train["features"][0].numpy(), one.train["target"][0].numpy()
    parts = one.validation["features"][0].numpy(), one.held["test"]["features"][0].numpy()
    options = {"max_iter": TREES, "early_stopping": True, "random_state": seed}
    if problem.task.kind == "regression":
        mean, scale = float(one.facts["target_mean"][0]), float(one.facts["target_scale"][0])
        own = np.maximum(target * scale + mean, problem.metric.lowest)  # of counts, rounding may leave less than zero
        model = HistGradientBoostingRegressor(**_objective(problem.metric.name), **options).fit(features, own)
        return (model.predict(parts[0]) - mean) / scale, (model.predict(parts[1]) - mean) / scale
    classifier = HistGradientBoostingClassifier(**options).fit(features, target)
    raw = [np.asarray(classifier.decision_function(part)) for part in parts]
    if problem.task.kind == "multiclass" and raw[0].shape[1] < one.classes:  # a class that no training row has
        raw = [_widened(values, classifier.classes_, one.classes) for values in raw]
    return raw[0], raw[1]


def _objective(metric: str) -> dict[str, Any]:
    if metric.startswith("pinball"):
        return {"loss": "quantile", "quantile": float(metric.split("=")[1].rstrip(")"))}
    if metric == "poisson_deviance":
        return {"loss": "poisson"}
    return {"loss": "absolute_error" if metric in ("mae", "mape", "medae") else "squared_error"}


def _widened(values: NDArray[Any], classes: NDArray[Any], count: int) -> NDArray[Any]:
    wide = np.full((len(values), count), values.min() - 1)
    wide[:, classes] = values
    return wide

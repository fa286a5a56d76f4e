"""What the recommended model does on test beyond the metric that it was chosen by; aggregates alone, no row."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from losssearch.errors import InputError
from losssearch.evaluation import get_metric
from losssearch.evaluation.registry import metrics_for
from losssearch.study.context import Context
from losssearch.study.selecting.verdict import Reading
from losssearch.training.outcome import UNTUNED

MOST_CLASSES = 12
"""Classes up to which the whole confusion matrix is told; of more, the most frequent mistakes."""

MISTAKES = 12
BINS = 10
RECALLS = np.linspace(0.0, 1.0, 51)

AFTER, BEFORE = "after", "before"


def diagnosis_of(context: Context, winner: Reading, baseline: Reading, plain: Reading) -> dict[str, Any]:
    """The ``diagnosis`` of ``result.json``: means over the final trainings, on test.

    ``metrics``: every metric of the kind of task for the recommended loss, the best baseline and the plain loss. Of
    classes ``confusion``, ``precision_recall`` (of ``positive``, the rarest class) and ``reliability``; of numbers
    ``reliability``, the mean target by tenths of the prediction. Each is by ``before`` and ``after`` tuning; without
    tuning, ``after`` alone.
    """
    view, classes = context.task.view, len(context.dataset.classes)
    target = torch.as_tensor(context.dataset.target[context.partition.test])
    outputs = {AFTER: torch.tensor(winner.outcome.held["test"])}
    untuned = winner.outcome.held.get(f"test{UNTUNED}")
    if untuned is not None and context.metric.adjustment != "none":
        outputs = {BEFORE: torch.tensor(untuned), **outputs}
    found: dict[str, Any] = {
        "tuned": context.metric.adjustment,
        "metrics": metrics_table(context, {"recommended": winner, "baseline": baseline, "plain": plain}),
    }
    if view.target_columns or target.dim() != 1:
        return found
    if not view.labels:
        if not view.columns:
            found["reliability"] = {name: _by_tenths(own, target) for name, own in outputs.items()}
        return found
    counts = np.bincount(target.numpy(), minlength=classes)
    positive = 1 if view.thresholded else int(np.where(counts > 0, counts, counts.max() + 1).argmin())
    scores = {name: _probabilities(context, own) for name, own in outputs.items()}
    found["confusion"] = {
        name: confusion(view.decide(own).numpy(), target.numpy(), classes) for name, own in outputs.items()
    }
    truth = (target == positive).numpy()
    found["positive"] = positive
    # A shift by class moves the decision; of one score, a threshold moves along the same curve.
    found["precision_recall"] = {
        name: precision_recall(own[..., positive], truth, view.decide(outputs[name]).numpy() == positive)
        for name, own in scores.items()
    }
    if context.metric.adjustment not in ("temperature", "none"):  # what moves decisions is no probability any more
        scores = {name: own for name, own in scores.items() if name == BEFORE or len(scores) == 1}
    found["reliability"] = {name: reliability(own, target.numpy(), view.thresholded) for name, own in scores.items()}
    return found


def metrics_table(context: Context, readings: Mapping[str, Reading]) -> list[dict[str, Any]]:
    """The value of each metric of the kind of task for each loss, the mean over trainings; of the study's first."""
    own, weight = context.metric.name, context.weights("test")
    names = [name for name in metrics_for(context.settings.task) if name != own]
    dataset = context.dataset
    judged = dataset.target if dataset.cells is not None else dataset.judged
    target = torch.as_tensor(judged[context.partition.test])
    table = []
    for name in ([own] if not context.metric.source and not context.metric.cells else []) + names:
        metric = get_metric(name, context.settings.task)
        if metric.cells or (weight is not None and not metric.weighs):
            continue
        try:
            metric.check_target(context.dataset.target[context.partition.test])
        except InputError:
            continue
        row: dict[str, Any] = {"name": name, "direction": metric.direction}
        for side, reading in readings.items():
            outputs = torch.tensor(reading.outcome.held["test"])
            values = metric(outputs, target.expand(len(outputs), *target.shape), weight)
            mean = float(values.double().mean())
            row[side] = mean if math.isfinite(mean) else None
        table.append(row)
    return table


def confusion(decided: NDArray[np.int64], target: NDArray[np.int64], classes: int) -> dict[str, Any]:
    """How many rows of each class are decided as which, the mean over trainings.

    Args:
        decided: Classes ``[R, N]``.
        target: True classes ``[N]``.
        classes: How many there are.

    Example:
        >>> import numpy as np
        >>> confusion(np.array([[0, 1, 1], [0, 0, 1]]), np.array([0, 0, 1]), 2)["counts"]
        [[1.5, 0.5], [0.0, 1.0]]
    """
    flat = classes * np.broadcast_to(target, decided.shape) + decided
    counts = np.bincount(flat.ravel(), minlength=classes**2).reshape(classes, classes) / len(decided)
    if classes <= MOST_CLASSES:
        return {"counts": counts.tolist()}
    wrong = counts * (1 - np.eye(classes))
    most = np.argsort(-wrong, axis=None, kind="stable")[:MISTAKES]
    pairs = [(int(place) // classes, int(place) % classes) for place in most]
    return {"mistakes": [{"class": i, "as": j, "rows": float(wrong[i, j])} for i, j in pairs if wrong[i, j] > 0]}


def precision_recall(
    scores: NDArray[np.float64], truth: NDArray[np.bool_], decided: NDArray[np.bool_]
) -> dict[str, Any]:
    """Precision at each of `RECALLS`, and where the decisions are, means over trainings.

    ``scores`` and ``decided`` are ``[R, N]``, ``truth`` is ``[N]``.
    """
    from sklearn.metrics import precision_recall_curve

    curves = []
    for own in scores:
        precision, recall, _ = precision_recall_curve(truth, own)
        curves.append(np.interp(RECALLS, recall[::-1], precision[::-1]))
    hits = (decided & truth).sum(axis=1)
    made = decided.sum(axis=1)
    at = np.where(made > 0, hits / np.maximum(made, 1), np.nan)
    point = [float(hits.mean() / max(truth.sum(), 1)), float(np.nanmean(at)) if (made > 0).any() else None]
    return {"recall": RECALLS.tolist(), "precision": np.mean(curves, axis=0).tolist(), "decided": point}


def reliability(scores: NDArray[np.float64], target: NDArray[np.int64], binary: bool) -> dict[str, Any]:
    """How often it is right, by what is predicted, in `BINS` equal bins over all trainings; empty bins are left out.

    Of two classes the probability of the positive one and its share; of more that of the decided one. ``error``: the
    mean distance of the two, weighted by rows (the expected calibration error).
    """
    if binary:
        said, true = scores[..., 1], np.broadcast_to(target == 1, scores.shape[:-1])
    else:
        said, true = scores.max(axis=-1), scores.argmax(axis=-1) == target
    place = np.minimum((said * BINS).astype(int), BINS - 1).ravel()
    rows = np.bincount(place, minlength=BINS)
    sums = [np.bincount(place, own.ravel().astype(float), minlength=BINS) for own in (said, true)]
    there = rows > 0
    predicted, found = (own[there] / rows[there] for own in sums)
    error = float((rows[there] * np.abs(predicted - found)).sum() / rows.sum())
    shares = (rows[there] / rows.sum()).tolist()
    return {"predicted": predicted.tolist(), "found": found.tolist(), "share": shares, "error": error}


def _by_tenths(outputs: Tensor, target: Tensor) -> dict[str, Any]:
    """The mean target by tenths of the prediction, over all trainings."""
    said, true = outputs.double().flatten().numpy(), target.double().expand(outputs.shape).flatten().numpy()
    pieces = np.array_split(np.argsort(said, kind="stable"), BINS)
    predicted = [float(said[own].mean()) for own in pieces if len(own)]
    found = [float(true[own].mean()) for own in pieces if len(own)]
    return {"predicted": predicted, "found": found}


def _probabilities(context: Context, outputs: Tensor) -> NDArray[np.float64]:
    """The probability of each class ``[R, N, C]``."""
    found = context.task.view.reads["probabilities"](outputs)
    return (torch.stack((1 - found, found), -1) if context.task.view.thresholded else found).double().numpy()

"""How the finalists trained: learning curves, and what moved in the loss that the report shows.

A few numbers for pictures; none of a single row.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from losssearch.data.batch import Sizes, each
from losssearch.losses.compose import ComposedLoss
from losssearch.losses.kept import kept_states
from losssearch.losses.part import part_numbers, weighted
from losssearch.losses.spec import LossSpec, Part
from losssearch.study.context import Context
from losssearch.study.selecting.verdict import Reading, learned_state
from losssearch.training.trace import Trace

EDGES = np.linspace(-1.0, 3.0, 33)
"""Of the bins of row weights; what is beyond falls into the first or the last."""

FEW = 5
"""Rows that a mean of what is kept is over at the least."""

_STILL = 1e-6
"""A weight that moves by less, relative to the largest, does not move."""

_LEAST = 1e-3
"""Rows whose plain loss has a smaller gradient are learned already: they say nothing of weights."""

_UNKNOWN = frozenset({"group", "distance", "features"})
"""What a loss may read that is not kept with the outputs of training rows."""


def course_of(context: Context, readings: Sequence[Reading], shown: Reading) -> dict[str, Any]:
    """The ``course`` of ``result.json``.

    Args:
        context: The study.
        readings: The finalists that have an entry.
        shown: The one whose loss the report draws.

    Returns:
        ``curves``: for each finalist the metric on validation after each epoch, the mean over trainings; of a study
        under constraints, which judges more than the metric, none. ``loss``: what moved in the loss of ``shown``.
    """
    curves = [] if context.constraints else [_curve(context, one) for one in readings if one.outcome.trace is not None]
    found: dict[str, Any] = {"curves": curves}
    trace = shown.outcome.trace
    if trace is not None:
        found["loss"] = {
            "name": _name(shown),
            "trial": shown.contender.trial.number,
            "spec": shown.contender.spec.to_json(),
            "learned": {name: value.tolist() for name, value in learned_state(shown.outcome).items()},
            "epochs": len(trace.utilities),
            "states": _states(trace),
            "weights": part_weights(shown.contender.spec, trace, shown.outcome.most),
            "rows": row_weights(context, shown, trace),
        }
    return found


def moves(spec: LossSpec) -> bool:
    """Whether a loss is another one at the end of training than at its start."""
    kept = kept_states(spec, Sizes(2, rows=1))
    return bool(spec.scheduled) or any(own.state.moved_by != "frozen" for own in kept)


def _curve(context: Context, reading: Reading) -> dict[str, Any]:
    assert reading.outcome.trace is not None  # noqa: S101  (chosen by it)
    means = reading.outcome.trace.utilities.mean(axis=1)
    values = [context.value(float(one)) if math.isfinite(one) else None for one in means]
    return {"name": _name(reading), "values": values, "best": statistics.median_low(reading.outcome.best_epochs)}


def _name(reading: Reading) -> str:
    """As the table names it."""
    return "searched" if reading.contender.trial.origin == "searched" else reading.name


def _states(trace: Trace) -> dict[str, list[Any]]:
    """Each state at the start, after half of the epochs and at the end, in one replica."""
    found = {}
    for name, values in trace.states.items():
        own = values[:, trace.replica]
        found[name] = [own[place].tolist() for place in (0, (len(own) - 1) // 2, len(own) - 1)]
    return found


def part_weights(spec: LossSpec, trace: Trace, most: int) -> dict[str, Any] | None:
    """The weight of each part after each epoch; None where none moves.

    Args:
        spec: The loss.
        trace: Its training.
        most: How many epochs there could have been, over which schedules run.
    """
    epochs = len(trace.utilities)
    if len(spec.parts) < 2 or epochs < 2 or not all(part.weighting.record.affine for part in spec.parts):
        return None
    rows = [[_weight(part, place, trace, e, most) for place, part in enumerate(spec.parts)] for e in range(epochs + 1)]
    values = np.array(rows)
    if trace.balance is not None:  # known from the end of the first epoch on
        values = values[1:] * trace.balance[:, trace.replica]
    if not np.isfinite(values).all() or np.ptp(values, axis=0).max() <= _STILL * np.abs(values).max():
        return None
    first = epochs + 1 - len(values)
    return {
        "parts": [LossSpec((part,)).formula() for part in spec.parts],
        "epochs": list(range(first, epochs + 1)),
        "values": values.T.tolist(),
    }


def _weight(part: Part, place: int, trace: Trace, epoch: int, most: int) -> float:
    """How much a part counts after an epoch: the change of its weighted value by its scaled one."""
    names = part.weighting.record.states
    if any(f"{place}_{name}" not in trace.states for name in names):
        return math.nan
    states = {name: torch.as_tensor(trace.states[f"{place}_{name}"][epoch, trace.replica]).double() for name in names}
    numbers = {name: torch.tensor(value, dtype=torch.float64) for name, value in part_numbers(part).items()}
    progress = torch.tensor(epoch / most, dtype=torch.float64)
    ends = [
        weighted(part, torch.tensor(own, dtype=torch.float64) * part.scale, progress, numbers, states) for own in (0, 1)
    ]
    return float(ends[1] - ends[0])


def row_weights(context: Context, reading: Reading, trace: Trace) -> dict[str, Any] | None:
    """How many training rows count how much at the end of training; None where the loss remembers no rows.

    The weight of a row is how hard the loss pulls its output the way that the plain loss does, relative to the plain
    loss and to the mean over rows: below 0, it pulls away from the label. ``kept`` and ``changed``: rows whose kept
    target still favours their label, and those where it favours another class; where no target is kept, all are
    ``kept`` and ``changed`` is null.
    """
    spec = reading.contender.spec
    if trace.outputs is None or trace.target is None or _UNKNOWN & spec.reads:
        return None
    count = len(trace.outputs)
    sizes = Sizes(len(context.dataset.classes), rows=count, columns=context.task.offer.sized(Sizes()).columns)
    facts = each(context.facts(), Tensor.double)
    plain = context.task.plain
    slopes = []
    for own in (spec, LossSpec((Part(plain.term, dict(plain.fixed)),))):
        loss = ComposedLoss.of_facts(own, facts, sizes, context.task.offer).double().eval()
        if own is spec:
            _begin(loss, reading, trace, sizes)
        slopes.append(_slope(loss, trace))
    weights, known = _relative(*slopes)
    if not known.any():
        return None
    changed = _changed(context, spec, trace)
    counts = {"kept": weights[known] if changed is None else weights[known & ~changed]}
    found = {name: np.histogram(np.clip(own, EDGES[0], EDGES[-1]), EDGES)[0].tolist() for name, own in counts.items()}
    found["changed"] = None
    if changed is not None:
        found["changed"] = np.histogram(np.clip(weights[known & changed], EDGES[0], EDGES[-1]), EDGES)[0].tolist()
    means = _means(spec, trace, changed)
    return {"edges": EDGES.tolist(), "learned": int((~known).sum()), "means": means, **found}


def _means(spec: LossSpec, trace: Trace, changed: NDArray[np.bool_] | None) -> dict[str, Any]:
    """What is kept for a row of the commonest label, the mean over rows whose label is kept, and is changed.

    Of fewer than `FEW` rows nothing is told.
    """
    labels = np.asarray(trace.target)
    if labels.dtype.kind != "i":
        labels = np.zeros(len(labels), dtype=np.int64)
    common = int(np.bincount(labels).argmax())
    found: dict[str, Any] = {"class": common, "kept": None, "changed": None}
    away = np.zeros(len(labels), dtype=bool) if changed is None else changed
    for name, chosen in (("kept", ~away), ("changed", away)):
        own = chosen & (labels == common)
        if own.sum() >= FEW:
            found[name] = {
                key: table[trace.replica, : len(labels)][own].mean(axis=0).tolist() for key, table in trace.rows.items()
            }
    return found


def _begin(loss: ComposedLoss, reading: Reading, trace: Trace, sizes: Sizes) -> None:
    """Put into the loss what it had kept at the end of its training."""
    with torch.no_grad():
        loss.set_learned(learned_state(reading.outcome))
        for own in kept_states(reading.contender.spec, sizes):
            if own.state.by_row and own.key in trace.rows:
                value = torch.as_tensor(trace.rows[own.key][trace.replica])[: sizes.rows]
            elif own.state.update is not None and own.key in trace.states:
                value = torch.as_tensor(trace.states[own.key][-1, trace.replica])
            else:
                continue
            loss.get_buffer(own.buffer).copy_(value)


def _slope(loss: ComposedLoss, trace: Trace) -> NDArray[np.float64]:
    """The gradient of the loss by the output of each row ``[rows, columns]``, times the number of rows."""
    output = torch.as_tensor(trace.outputs).double().requires_grad_()
    target = torch.as_tensor(trace.target)
    target = target.double() if target.is_floating_point() else target
    numbers = {"index": torch.arange(len(output))} if loss.remembers_rows else {}
    (slope,) = torch.autograd.grad(loss(output, target, progress=1.0, **numbers), output)
    found: NDArray[np.float64] = slope.reshape(len(output), -1).numpy() * len(output)
    return found


def _relative(own: NDArray[np.float64], plain: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The weight of each row, and of which rows it is known."""
    size = (plain**2).sum(axis=1)
    known = np.sqrt(size) > _LEAST
    weights = (own * plain).sum(axis=1) / np.where(known, size, 1.0)
    known &= np.isfinite(weights)
    mean = np.abs(weights[known]).mean() if known.any() else 1.0
    return weights / (mean or 1.0), known


def _changed(context: Context, spec: LossSpec, trace: Trace) -> NDArray[np.bool_] | None:
    """Whether the target that is kept for each row favours another class than its label; None where none is kept."""
    classes = len(context.dataset.classes)
    for own in kept_states(spec, Sizes(classes, rows=1)):
        if "target" in own.state.tells and own.key in trace.rows:
            labels = torch.as_tensor(trace.target)
            shares = torch.nn.functional.one_hot(labels, classes).float()
            kept = torch.as_tensor(trace.rows[own.key][trace.replica])[: len(labels)]
            found = own.state.tells["target"](kept, shares).nan_to_num(0.0)
            return np.asarray((found.argmax(-1) != labels).numpy())
    return None

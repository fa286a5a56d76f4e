"""Tuning the decision of your own model as a study does: on validation outputs, under constraints between groups.

The figures of a study include a threshold, temperature, prior shift or shift that was tuned after training. Use
`tune_decision` to tune the same for a model that you train with the exported loss.

Example:
    >>> import torch
    >>> import losssearch as ls
    >>> logits, labels = torch.tensor([-2.0, -1.5, -1.0, 0.5]), torch.tensor([0, 0, 1, 1])
    >>> decision = ls.tune_decision(logits, labels, metric="f1")
    >>> decision.value
    1.0
    >>> decision.decide(torch.tensor([-1.9, -0.8]))
    tensor([0, 1])
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from losssearch.data.batch import Batch
from losssearch.errors import OptionError
from losssearch.evaluation.adjustment import Adjustment, fit_adjustment
from losssearch.evaluation.decision import Decision, Limit, Tuned, Values, read_numbers, read_outputs
from losssearch.evaluation.fairness import evaluate_fairly, parse_constraints, promise_z
from losssearch.evaluation.record import Metric
from losssearch.evaluation.registry import asked_metric, kinds_of
from losssearch.evaluation.worst_cell import cells
from losssearch.tasks import TASKS, View


def tune_decision(
    outputs: Values,
    target: Values,
    *,
    metric: str | Callable[..., Any],
    task: str | None = None,
    direction: str | None = None,
    group: Values | None = None,
    constraints: Sequence[str] = (),
    confidence: float = 0.95,
    new_rows: int | None = None,
    weight: Values | None = None,
) -> Decision:
    """Tune the decision of a model on rows that were not used to train it.

    Finds the threshold, temperature, prior shift or shift that is best for the metric. With constraints, it is the best
    among those whose confidence bounds satisfy every limit; without any such, the one that violates them least.

    Args:
        outputs: Binary logits ``[N]`` or ``[N, 1]``, multiclass logits ``[N, C]``, or predictions ``[N]`` in the
            target's own unit.
        target: ``[N]``: 0 or 1, numbers of classes, or values.
        metric: What is to be good, such as ``"f1"`` or ``"cost(fp=1,fn=5)"``, or a function that `losssearch.search`
            takes as its metric.
        task: Kind of task, such as ``"binary"``; by default what the metric and the shape say.
        direction: ``"maximize"`` or ``"minimize"``, of a function that was not declared with `losssearch.metric`.
        group: The sensitive group of each row ``[N]``, labels of any kind; numbers for a constraint on a correlation.
            A metric of the worst cell or group reads it too.
        constraints: Such as ``"demographic_parity_difference <= 0.05"``; they need ``group``.
        confidence: The confidence level of the bounds, in [0.5, 1).
        new_rows: If given, bounds hold for the gap *observed* on this number of new rows, otherwise for the true gap.
        weight: Sample weights ``[N]``, finite and at least 0; a row of weight 2 counts as two. Not with constraints.

    Returns:
        The decision; its ``decide`` takes outputs of new rows.

    Raises:
        OptionError: Shapes, options, outputs or targets do not fit, or constraints are given without groups.
        UnknownNameError: There is no such metric or gap.

    Example:
        Under a constraint, whose bound needs many rows:

        >>> import torch
        >>> import losssearch as ls
        >>> noise = torch.Generator().manual_seed(0)
        >>> labels, group = torch.randint(2, (4000,), generator=noise), torch.randint(2, (4000,), generator=noise)
        >>> logits = 2.0 * labels - 1.0 + torch.randn(4000, generator=noise)
        >>> decision = ls.tune_decision(
        ...     logits, labels, metric="accuracy", group=group, constraints=["demographic_parity_difference <= 0.1"]
        ... )
        >>> decision.kept
        True
    """
    shown, labels = read_outputs(outputs), read_numbers(target)
    if shown.dim() > 2 or len(shown) != len(labels) or labels.dim() != 1 or not bool(shown.isfinite().all()):
        raise OptionError(
            "outputs must be finite numbers [N] or [N, C] and target must have their N rows, "
            f"got {list(shown.shape)} and {list(labels.shape)}"
        )
    task = task or _task_of(metric, shown)
    judged = asked_metric(metric, task, direction)
    name = metric if isinstance(metric, str) else judged.name
    judged.check_target(labels.numpy())
    if judged.cells and (group is None or len(group) != len(labels) or constraints):
        found = "constraints" if constraints else "none" if group is None else f"those of {len(group)}"
        raise OptionError(f"{judged.name} needs the group of each of the {len(labels)} rows and no more, got {found}")
    labels = _labels(labels, judged.view, shown.shape[-1] if shown.dim() == 2 else 2)
    often = None if weight is None else _weights(weight, len(labels), bool(constraints))
    ids = _ids(group, numeric=False)[0] if judged.cells and group is not None else None
    if often is not None:
        ids = None if ids is None else ids[often > 0]
        shown, labels, often = shown[often > 0], labels[often > 0], often[often > 0]
    by_class = shown.dim() == 2 and judged.view.labels
    facts: Batch = {}
    if by_class:
        counts = torch.bincount(labels, often, minlength=shown.shape[-1]).double().clamp(min=0.5)
        facts = {"class_prior": counts / counts.sum()}
    if ids is not None:
        labels = cells(labels, ids, shown.shape[-1] if by_class else 2)
    if not constraints:
        plain = fit_adjustment(judged, shown, labels, facts=facts, weight=often)
        undecided = Adjustment("none", torch.zeros((), dtype=torch.float64))
        decision = undecided if plain.kind == "temperature" else plain
        return Decision(
            task, name, Tuned.of(plain), Tuned.of(decision), float(judged(plain.apply(shown), labels, often))
        )
    return _within(judged, task, shown, labels, facts, group, constraints, confidence, new_rows)


def _weights(weight: Values, rows: int, constrained: bool) -> Tensor:
    if constrained:
        raise OptionError("weight and constraints do not go together: a limit is promised of rows, not of weights")
    found = read_numbers(weight).double()
    if list(found.shape) != [rows] or not bool((found.isfinite() & (found >= 0)).all()) or not bool((found > 0).any()):
        raise OptionError(
            f"weight must be {rows} finite numbers of at least 0, one per row and some above 0; got shape "
            f"{list(found.shape)}"
        )
    return found


def _labels(target: Tensor, view: View, classes: int) -> Tensor:
    """Values, or numbers of classes in ``[0, classes)``."""
    if not view.labels:
        if not bool(target.isfinite().all()):
            raise OptionError("target must be finite numbers")
        return target.double()
    known = torch.isin(target.double(), torch.arange(classes, dtype=torch.float64))
    if not bool(known.all()):
        found = float(target[~known][0])
        raise OptionError(f"target must be numbers of classes from 0 to {classes - 1}, got {found:g}")
    return target.long()


def _within(
    metric: Metric,
    task: str,
    outputs: Tensor,
    target: Tensor,
    facts: Batch,
    group: Values | None,
    texts: Sequence[str],
    confidence: float,
    new_rows: int | None,
) -> Decision:
    """The decision within constraints."""
    constraints = parse_constraints(texts, task)
    if group is None or len(group) != len(target):
        found = "none" if group is None else f"those of {len(group)}"
        raise OptionError(f"constraints need the group of each of the {len(target)} rows, got {found}")
    numeric = any(constraint.gap.scores is not None for constraint in constraints)
    ids, groups = _ids(group, numeric=numeric)
    fitted = evaluate_fairly(
        metric,
        constraints,
        outputs,
        target,
        ids,
        groups,
        tuned=True,
        z=promise_z(confidence, groups, len(target), new_rows),
        facts=facts,
    )
    limits = tuple(
        Limit(str(constraint), float(gap), float(bound), constraint.met(float(bound)))
        for constraint, gap, bound in zip(constraints, fitted.gaps, fitted.bounds, strict=True)
    )
    score, decision = Tuned.of(fitted.adjustment.score), Tuned.of(fitted.adjustment.decision)
    return Decision(task, metric.name, score, decision, float(fitted.values), limits)


def _task_of(metric: str | Callable[..., Any], outputs: Tensor) -> str:
    """The kind of task that the shape and the metric say; one whose error tells where it fits none."""
    shaped = [kind for kind, task in TASKS.items() if task.view.columns is (outputs.dim() == 2)]
    fitting = kinds_of(metric)
    return next((kind for kind in shaped if kind in fitting), shaped[-1])


def _ids(group: Values, *, numeric: bool) -> tuple[Tensor, int]:
    """Ids of groups and how many there are; or the numbers themselves, as one column."""
    values = group.detach().cpu().numpy() if isinstance(group, Tensor) else np.asarray(group)
    if numeric:
        return torch.as_tensor(values.astype(np.float64)), 1
    names, ids = np.unique(values, return_inverse=True)
    return torch.as_tensor(ids.astype(np.int64)), len(names)

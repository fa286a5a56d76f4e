"""What the training rows of a replica amount to: the facts that losses, judges and standardised targets rest on.

Of class ids: ``class_prior``, the share of each class. Of numbers: ``target_mean`` and ``target_scale``, by which
targets are standardised, and ``zero``, where the target's own zero lies among standardised values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from losssearch.data.row_fields import at
from losssearch.data.target_kind import Values, target_kind

if TYPE_CHECKING:
    from losssearch.data.batch import Batch
    from losssearch.data.dataset import Dataset
    from losssearch.data.splits import Rows
    from losssearch.data.streamed.stream import Tally

Facts: TypeAlias = Mapping[str, NDArray[Any]]
"""Of one replica, by name; what is float64 here is float64 in a batch of facts, too."""


def facts_of_rows(dataset: Dataset, rows: Rows) -> Facts:
    """The facts of these rows of a dataset, weighted where it has weights."""
    target = dataset.target[rows]
    weight = None if dataset.weight is None else dataset.weight[rows]
    if isinstance(kind := target_kind(dataset.task), Values):
        return {name: np.asarray(one) for name, one in kind.facts(target, at(dataset.fields, rows), weight).items()}
    if dataset.classes:
        return {"class_prior": _shares(target, len(dataset.classes), weight)}
    if weight is None:
        return _moments(target.mean(0), target.std(0))
    share = (weight / weight.sum()).reshape(-1, *[1] * (target.ndim - 1))
    mean = (share * target).sum(0)
    return _moments(mean, np.sqrt((share * np.square(target - mean)).sum(0)))


def facts_of_tally(tally: Tally) -> list[Facts]:
    """The facts of every replica whose rows were counted in a file."""
    if tally.counts.shape[1]:
        shares = (tally.counts / tally.rows[:, None]).astype(np.float32)
        return [{"class_prior": own} for own in shares]
    return [_moments(mean, std) for mean, std in zip(tally.mean, tally.std, strict=True)]


def stacked(facts: Sequence[Facts]) -> Batch:
    """The facts of all replicas, ``[R, ...]``."""
    return {name: torch.from_numpy(np.stack([own[name] for own in facts])) for name in facts[0]}


def standardised(dataset: Dataset, rows: Rows, facts: Facts, *, narrow: bool) -> NDArray[Any]:
    """Class ids, or the standardised target: float32 to train on (``narrow``), float64 to be measured.

    Where the metric is by cell, cells are measured in place of class ids.
    """
    if dataset.classes:
        return (dataset.target if narrow else dataset.judged)[rows]
    values: NDArray[Any] = (dataset.target[rows] - facts["target_mean"]) / facts["target_scale"]
    return values.astype(np.float32) if narrow else values


def made(dataset: Dataset, rows: Rows, facts: Facts, *, narrow: bool) -> dict[str, NDArray[Any]]:
    """The target of these rows, and further fields of a batch to train on (``narrow``), by name.

    See `standardised`; a target in its own unit is what its kind of task makes of it.
    """
    kind = target_kind(dataset.task)
    if not isinstance(kind, Values):
        return {"target": standardised(dataset, rows, facts, narrow=narrow)}
    if not narrow:
        return {"target": np.asarray(dataset.judged[rows], dtype=np.float64)}
    found = dict(kind.made(dataset.target[rows], at(dataset.fields, rows), facts))
    found["judged"] = np.asarray(dataset.judged[rows], dtype=np.float64)  # losses are screened on training rows
    return {name: one.astype(np.float32) if one.dtype.kind == "f" else one for name, one in found.items()}


def _moments(mean: Any, std: Any) -> Facts:
    mean, scale = np.asarray(mean, dtype=np.float64), np.asarray(std, dtype=np.float64)
    scale = np.where(scale == 0, 1.0, scale)
    return {"target_mean": mean, "target_scale": scale, "zero": np.asarray(0 - mean / scale, dtype=np.float32)}


def _shares(target: NDArray[Any], classes: int, weight: NDArray[Any] | None) -> NDArray[np.float32]:
    total = len(target) if weight is None else weight.sum()
    counts = np.bincount(target, weight, minlength=classes)
    shares: NDArray[np.float32] = (counts / total).astype(np.float32)
    return shares

"""Replicas: draws of one dataset, encoded and stacked as tensors for a population trainer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from losssearch.data.batch import Batch, Sizes, sensitive
from losssearch.data.dataset import Dataset
from losssearch.data.encoding import Encoder
from losssearch.data.probing import probe_order
from losssearch.data.splits import Draw, Rows
from losssearch.data.streamed.stream import Stream, tally
from losssearch.data.streamed.table import Stored
from losssearch.errors import OptionError

PROBED = 4096
"""Training rows, of every class, that stay in memory where the others are on disk; screening reads 512 of them."""


@dataclass(frozen=True, eq=False)
class Replicas:
    """R draws with N training and V validation rows each, as tensors on one device.

    Each replica was encoded, and for regression its target standardised, by its own training rows: a value
    in the target's unit is ``target_mean + target_scale * value``. For classification the targets are class
    ids, the mean is 0 and the scale 1. Encoded width D is that of the widest replica; the others end in
    columns of zeros.

    Where the training rows lie on disk, ``stream`` gives them in batches, and ``features``, ``target`` and ``group``
    hold `PROBED` of them.
    """

    features: Tensor
    """[R, N, D], float32."""
    target: Tensor
    """[R, N], int64 class ids or float32."""
    validation_features: Tensor
    """[R, V, D]."""
    validation_target: Tensor
    """[R, V], int64 class ids or float64: metrics are computed in the target's own unit, which may need it."""
    class_prior: Tensor
    """[R, C], share of each class in the training rows; [R, 0] for regression."""
    target_mean: Tensor
    """[R], float64."""
    target_scale: Tensor
    """[R], float64, above zero."""
    seeds: tuple[int, ...]
    """R seeds, one per draw."""
    held: Mapping[str, tuple[Tensor, Tensor]] = field(default_factory=dict)
    """Named parts that no training or validation row is in: features [R, H, D] and target [R, H], as of validation.

    The targets of these and of validation are what the metric reads, see `losssearch.data.dataset.Dataset.judged`."""
    group: Tensor | None = None
    """[R, N], int64 ids of the sensitive groups of the training rows, where there is a sensitive attribute. Of one that
    is a number: [R, N, 1], float32, standardised."""
    validation_group: Tensor | None = None
    """[R, V], or [R, V, 1]."""
    weight: Tensor | None = None
    """[R, N], float32, above zero, with the mean 1 over a replica's training rows: how often each counts. Prior, mean
    and scale are then weighted too."""
    validation_weight: Tensor | None = None
    """[R, V], in the same unit."""
    groups: int = 0
    """How many sensitive groups there are, G; 1 for a number."""
    stream: Stream | None = None
    """The training rows, where they lie on disk."""

    @property
    def count(self) -> int:
        """How many replicas there are, R."""
        return len(self.seeds)

    @property
    def rows(self) -> int:
        """Training rows of a replica, N, in memory or on disk."""
        return self.features.shape[1] if self.stream is None else self.stream.rows

    @property
    def width(self) -> int:
        """Encoded features a row, D."""
        return self.features.shape[-1]

    @property
    def classes(self) -> int:
        """How many classes the target has, C; 0 for regression."""
        return self.class_prior.shape[-1]

    @property
    def zero(self) -> Tensor:
        """Where the target's own zero lies among its standardised values, [R], float32."""
        return (0 - self.target_mean / self.target_scale).float()

    @property
    def train(self) -> Batch:
        """The training rows, or those of them that are in memory."""
        fields = {"features": self.features, "target": self.target, "group": self.group, "weight": self.weight}
        return {name: value for name, value in fields.items() if value is not None}

    @property
    def facts(self) -> Batch:
        """What the training rows amount to, [R, ...]."""
        moments = {"target_mean": self.target_mean, "target_scale": self.target_scale, "zero": self.zero}
        return {**moments, "class_prior": self.class_prior} if self.classes else moments

    @property
    def sizes(self) -> Sizes:
        """The sizes that shapes of losses depend on."""
        return Sizes(self.classes, sensitive(self.groups), rows=self.rows, features=self.width)

    def take(self, indices: Sequence[int]) -> Replicas:
        """The replicas at these indices, in this order."""
        chosen = torch.as_tensor(list(indices), dtype=torch.int64, device=self.features.device)
        taken = self._map(lambda tensor: tensor[chosen])
        stream = None if self.stream is None else self.stream.take(indices)
        return replace(taken, seeds=tuple(self.seeds[index] for index in indices), stream=stream)

    def to(self, device: str | torch.device) -> Replicas:
        """The replicas on a device; rows on disk stay there, and come in batches on the device."""
        moved = self._map(lambda tensor: tensor.to(device))
        return moved if self.stream is None else replace(moved, stream=self.stream.to(device))

    def _map(self, change: Any) -> Replicas:
        values = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        changed = {name: change(value) for name, value in values.items() if isinstance(value, Tensor)}
        held = {name: (change(features), change(target)) for name, (features, target) in self.held.items()}
        return replace(self, **changed, held=held)


def make_replicas(dataset: Dataset, draws: Sequence[Draw], held: Mapping[str, Rows] | None = None) -> Replicas:
    """Encode each draw by its own training rows and stack them.

    ``held``: row numbers of parts to be measured later, by name. Draws that differ by a few rows are cut to
    the shortest; their rows are in random order, so that is a random loss.

    Raises `OptionError` without a draw.
    """
    if not draws:
        raise OptionError("replicas need at least one draw")
    held = held or {}
    if dataset.stored is not None:
        return _streamed(dataset, dataset.stored, draws, held)
    train_rows = min(len(draw.train) for draw in draws)
    validation_rows = min(len(draw.validation) for draw in draws)
    names = ("train", "validation", *(f"held {name}" for name in held))
    parts: dict[str, list[NDArray[np.float32]]] = {name: [] for name in names}
    targets: dict[str, list[NDArray[Any]]] = {name: [] for name in names}
    means, scales, priors = [], [], []
    for draw in draws:
        rows = (draw.train[:train_rows], draw.validation[:validation_rows], *held.values())
        encoder = Encoder(dataset.schema).fit(_rows(dataset, draw.train))
        mean, scale = _standard(dataset, draw.train)
        for name, members in zip(names, rows, strict=True):
            parts[name].append(encoder.transform(_rows(dataset, members)))
            targets[name].append(_standardised(dataset, members, mean, scale, narrow=name == "train"))
        means.append(mean)
        scales.append(scale)
        priors.append(_prior(dataset, draw.train))
    width = max(part.shape[1] for part in parts["train"])
    stacked = {name: (_stack(parts.pop(name), width), torch.from_numpy(np.stack(targets.pop(name)))) for name in names}
    return Replicas(
        *stacked["train"],
        *stacked["validation"],
        class_prior=torch.from_numpy(np.stack(priors)),
        target_mean=torch.tensor(means, dtype=torch.float64),
        target_scale=torch.tensor(scales, dtype=torch.float64),
        seeds=tuple(draw.seed for draw in draws),
        held={name: stacked[f"held {name}"] for name in held},
        group=_groups(dataset, [draw.train[:train_rows] for draw in draws]),
        validation_group=_groups(dataset, [draw.validation[:validation_rows] for draw in draws]),
        groups=len(dataset.groups) if dataset.attribute is None else 1,
        weight=_weights(dataset, draws, [draw.train[:train_rows] for draw in draws]),
        validation_weight=_weights(dataset, draws, [draw.validation[:validation_rows] for draw in draws]),
    )


def _weights(dataset: Dataset, draws: Sequence[Draw], rows: Sequence[Rows]) -> Tensor | None:
    """Weights of ``rows`` over the mean weight of the training rows of their draw."""
    weight = dataset.weight
    if weight is None:
        return None
    units = [weight[draw.train].mean() for draw in draws]
    stacked = np.stack([weight[own] / unit for own, unit in zip(rows, units, strict=True)])
    return torch.from_numpy(stacked.astype(np.float32))


def _streamed(dataset: Dataset, stored: Stored, draws: Sequence[Draw], held: Mapping[str, Rows]) -> Replicas:
    """Replicas that train on all rows on disk but those, and their equals, that a draw does not train on."""
    serves = np.ones((len(draws), stored.keys + 1), dtype=bool)
    for own, draw in zip(serves, draws, strict=True):
        others = np.ones(dataset.rows, dtype=bool)
        others[draw.train] = False
        own[stored.place[others]] = False
    known = tally(stored.file, serves, len(dataset.classes))
    means, scales = [0.0] * len(draws), [1.0] * len(draws)
    if not dataset.classes:
        means, scales = known.mean.tolist(), [float(scale) or 1.0 for scale in known.std]
    probed = min(PROBED, *(len(draw.train) for draw in draws))
    validation_rows = min(len(draw.validation) for draw in draws)
    kept = [_probed(dataset, draw.train, probed) for draw in draws]

    def part(rows: Sequence[Rows], *, narrow: bool = False) -> tuple[Tensor, Tensor]:
        found = [
            _standardised(dataset, own, mean, scale, narrow=narrow)
            for own, mean, scale in zip(rows, means, scales, strict=True)
        ]
        return torch.from_numpy(np.stack([stored.encoded[own] for own in rows])), torch.from_numpy(np.stack(found))

    seeds = tuple(draw.seed for draw in draws)
    return Replicas(
        *part(kept, narrow=True),
        *part([draw.validation[:validation_rows] for draw in draws]),
        class_prior=torch.from_numpy((known.counts / known.rows[:, None]).astype(np.float32)),
        target_mean=torch.tensor(means, dtype=torch.float64),
        target_scale=torch.tensor(scales, dtype=torch.float64),
        seeds=seeds,
        held={name: part([rows] * len(draws)) for name, rows in held.items()},
        stream=Stream(
            file=stored.file,
            rows=int(known.rows.min()),
            serves=torch.from_numpy(serves),
            seeds=seeds,
            means=tuple(means),
            scales=tuple(scales),
            classes=len(dataset.classes),
        ),
        group=_groups(dataset, kept),
        validation_group=_groups(dataset, [draw.validation[:validation_rows] for draw in draws]),
        groups=len(dataset.groups),
    )


def _probed(dataset: Dataset, rows: Rows, count: int) -> Rows:
    """``count`` of the training rows, with rare classes among them."""
    return rows[probe_order([dataset.target[rows]], [count])] if dataset.classes else rows[:count]


def _groups(dataset: Dataset, rows: Sequence[Rows]) -> Tensor | None:
    if dataset.attribute is not None:
        return torch.from_numpy(np.stack([dataset.attribute.values[members, None] for members in rows]))
    if dataset.group is None:
        return None
    return torch.from_numpy(np.stack([dataset.group[members] for members in rows]))


def _rows(dataset: Dataset, rows: Rows) -> Any:
    return dataset.features[rows] if isinstance(dataset.features, np.ndarray) else dataset.features.iloc[rows]


def _standard(dataset: Dataset, rows: Rows) -> tuple[float, float]:
    if dataset.classes:
        return 0.0, 1.0
    target = dataset.target[rows]
    if dataset.weight is not None:
        share = dataset.weight[rows] / dataset.weight[rows].sum()
        mean = float((share * target).sum())
        return mean, float(np.sqrt((share * np.square(target - mean)).sum())) or 1.0
    return float(target.mean()), float(target.std()) or 1.0


def _standardised(dataset: Dataset, rows: Rows, mean: float, scale: float, *, narrow: bool) -> NDArray[Any]:
    """Class ids, or the standardised target: float32 to train on (``narrow``), float64 to be measured.

    Where the metric is by cell, cells are measured in place of class ids.
    """
    if dataset.classes:
        return (dataset.target if narrow else dataset.judged)[rows]
    values: NDArray[Any] = (dataset.target[rows] - mean) / scale
    return values.astype(np.float32) if narrow else values


def _prior(dataset: Dataset, rows: Rows) -> NDArray[np.float32]:
    if not dataset.classes:
        return np.empty(0, dtype=np.float32)
    if dataset.weight is not None:
        own = dataset.weight[rows]
        counts = np.bincount(dataset.target[rows], own, minlength=len(dataset.classes))
        shares: NDArray[np.float32] = (counts / own.sum()).astype(np.float32)
        return shares
    return (np.bincount(dataset.target[rows], minlength=len(dataset.classes)) / len(rows)).astype(np.float32)


def _stack(parts: list[NDArray[np.float32]], width: int) -> Tensor:
    stacked = torch.zeros(len(parts), len(parts[0]), width)
    for index, part in enumerate(parts):
        stacked[index, :, : part.shape[1]] = torch.from_numpy(part)
    return stacked

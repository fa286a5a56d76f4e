"""Replicas: draws of one dataset, encoded and stacked as batches for a population trainer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from losssearch.data.batch import Attribute, Batch, Groups, Sensitive, Sizes, of_replicas, on_device
from losssearch.data.dataset import Dataset
from losssearch.data.encoding import Encoder, rows_of
from losssearch.data.facts import Facts, facts_of_rows, facts_of_tally, made, stacked, standardised
from losssearch.data.probing import probe_order
from losssearch.data.splits import Draw, Rows
from losssearch.data.streamed.stream import Stream, tally
from losssearch.data.streamed.table import Stored
from losssearch.data.units import split_groups
from losssearch.errors import OptionError

PROBED = 4096
"""Training rows, of every class, that stay in memory where the others are on disk; screening reads 512 of them."""


@dataclass(frozen=True, eq=False)
class Replicas:
    """R draws with N training and V validation rows each, as batches on one device.

    Each replica was encoded, and a target of numbers standardised, by its own training rows: a value in the target's
    unit is ``target_mean + target_scale * value``. Encoded width D is that of the widest replica; the others end in
    columns of zeros.

    Fields of ``train``: ``features`` [R, N, D], float32; ``target`` [R, N], int64 class ids or float32; where there is
    a sensitive attribute ``group`` [R, N], int64 ids, or [R, N, 1], float32 and standardised, of one that is a number;
    where rows have weights ``weight`` [R, N], float32, above zero, with the mean 1 over a replica's training rows.
    ``validation`` and each of ``held``, the named parts that no training or validation row is in, have the same fields
    as far as they are needed; their targets are what the metric reads (`losssearch.data.dataset.Dataset.judged`), and
    float64 where they are numbers: metrics are computed in the target's own unit, which may need it.

    ``facts`` are what the training rows amount to, weighted where they have weights; see `losssearch.data.facts`.
    Where the training rows lie on disk, ``stream`` gives them in batches, and ``train`` holds `PROBED` of them.
    """

    train: Batch
    validation: Batch
    facts: Batch
    seeds: tuple[int, ...]
    """R seeds, one per draw."""
    held: Mapping[str, Batch] = field(default_factory=dict)
    classes: int = 0
    """How many classes the target has, C; 0 where it is numbers."""
    sensitive: Sensitive = None
    """What the sensitive attribute is, where there is one."""
    stream: Stream | None = None
    ties: Tensor | None = None
    """Ids ``[R, N]`` of what the training rows are split with, on the CPU, where groups of them stay together."""
    listed: int = 1
    """Documents of a row, side by side in its features, where rows are queries; otherwise 1."""

    @property
    def count(self) -> int:
        """How many replicas there are, R."""
        return len(self.seeds)

    @property
    def rows(self) -> int:
        """Training rows of a replica, N, in memory or on disk."""
        return self.train["features"].shape[1] if self.stream is None else self.stream.rows

    @property
    def width(self) -> int:
        """Encoded features a row, D, of all its documents."""
        return self.train["features"].shape[-1]

    @property
    def sizes(self) -> Sizes:
        """The sizes that shapes of losses depend on."""
        numbered = self.rows if self.stream is None else self.stream.file.rows  # rows on disk: by their places there
        return Sizes(self.classes, self.sensitive, rows=numbered, features=self.width)

    def take(self, indices: Sequence[int]) -> Replicas:
        """The replicas at these indices, in this order."""
        chosen = list(indices)
        taken = self._map(lambda batch: of_replicas(batch, chosen))
        stream = None if self.stream is None else self.stream.take(chosen)
        ties = None if self.ties is None else self.ties[chosen]
        return replace(taken, seeds=tuple(self.seeds[index] for index in chosen), stream=stream, ties=ties)

    def to(self, device: str | torch.device) -> Replicas:
        """The replicas on a device; rows on disk stay there, and come in batches on the device."""
        moved = self._map(lambda batch: on_device(batch, device))
        return moved if self.stream is None else replace(moved, stream=self.stream.to(device))

    def _map(self, change: Callable[[Batch], Batch]) -> Replicas:
        held = {name: change(batch) for name, batch in self.held.items()}
        return replace(
            self, train=change(self.train), validation=change(self.validation), facts=change(self.facts), held=held
        )


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
    targets: dict[str, list[dict[str, NDArray[Any]]]] = {name: [] for name in names}
    facts = [facts_of_rows(dataset, draw.train) for draw in draws]
    for draw, known in zip(draws, facts, strict=True):
        rows = (draw.train[:train_rows], draw.validation[:validation_rows], *held.values())
        encoder = Encoder(dataset.schema).fit(rows_of(dataset.features, draw.train))
        for name, members in zip(names, rows, strict=True):
            parts[name].append(encoder.transform(rows_of(dataset.features, members)))
            targets[name].append(made(dataset, members, known, narrow=name == "train"))
    width = max(part.shape[1] for part in parts["train"])
    batches: dict[str, Batch] = {
        name: {
            "features": _stack(parts.pop(name), width, dataset.listed),
            **_stacked_fields(targets.pop(name)),
        }
        for name in names
    }
    trained = [draw.train[:train_rows] for draw in draws]
    validated = [draw.validation[:validation_rows] for draw in draws]
    tied = split_groups(dataset)
    return Replicas(
        train={**batches["train"], **_groups(dataset, trained), **_weights(dataset, draws, trained)},
        validation={**batches["validation"], **_groups(dataset, validated), **_weights(dataset, draws, validated)},
        facts=stacked(facts),
        seeds=tuple(draw.seed for draw in draws),
        held={name: batches[f"held {name}"] for name in held},
        classes=len(dataset.classes),
        sensitive=_sensitive(dataset),
        ties=None if tied is None else torch.from_numpy(np.stack([tied[rows] for rows in trained])),
        listed=dataset.listed,
    )


def _stacked_fields(rows: Sequence[Mapping[str, NDArray[Any]]]) -> Batch:
    """The fields of all replicas, ``[R, ...]``."""
    return {name: torch.from_numpy(np.stack([own[name] for own in rows])) for name in rows[0]}


def _sensitive(dataset: Dataset) -> Sensitive:
    if dataset.attribute is not None:
        return Attribute()
    return Groups(len(dataset.groups)) if dataset.groups else None


def _weights(dataset: Dataset, draws: Sequence[Draw], rows: Sequence[Rows]) -> Batch:
    """Weights of ``rows`` over the mean weight of the training rows of their draw, where there are weights."""
    weight = dataset.weight
    if weight is None:
        return {}
    units = [weight[draw.train].mean() for draw in draws]
    stacked = np.stack([weight[own] / unit for own, unit in zip(rows, units, strict=True)])
    return {"weight": torch.from_numpy(stacked.astype(np.float32))}


def _streamed(dataset: Dataset, stored: Stored, draws: Sequence[Draw], held: Mapping[str, Rows]) -> Replicas:
    """Replicas that train on all rows on disk but those, and their equals, that a draw does not train on."""
    serves = np.ones((len(draws), stored.keys + 1), dtype=bool)
    for own, draw in zip(serves, draws, strict=True):
        others = np.ones(dataset.rows, dtype=bool)
        others[draw.train] = False
        own[stored.place[others]] = False
    known = tally(stored.file, serves, len(dataset.classes))
    facts = facts_of_tally(known)
    probed = min(PROBED, *(len(draw.train) for draw in draws))
    validation_rows = min(len(draw.validation) for draw in draws)
    kept = [_probed(dataset, draw.train, probed) for draw in draws]
    validated = [draw.validation[:validation_rows] for draw in draws]

    def part(rows: Sequence[Rows], *, narrow: bool = False) -> Batch:
        found = [standardised(dataset, own, fact, narrow=narrow) for own, fact in zip(rows, facts, strict=True)]
        features = torch.from_numpy(np.stack([stored.encoded[own] for own in rows]))
        return {"features": features, "target": torch.from_numpy(np.stack(found))}

    seeds = tuple(draw.seed for draw in draws)
    return Replicas(
        train={**part(kept, narrow=True), **_groups(dataset, kept)},
        validation={**part(validated), **_groups(dataset, validated)},
        facts=stacked(facts),
        seeds=seeds,
        held={name: part([rows] * len(draws)) for name, rows in held.items()},
        classes=len(dataset.classes),
        sensitive=_sensitive(dataset),
        stream=Stream(
            file=stored.file,
            rows=int(known.rows.min()),
            serves=torch.from_numpy(serves),
            seeds=seeds,
            means=_numbers(facts, "target_mean", 0.0),
            scales=_numbers(facts, "target_scale", 1.0),
            classes=len(dataset.classes),
        ),
    )


def _numbers(facts: Sequence[Facts], name: str, default: float) -> tuple[float, ...]:
    return tuple(float(own.get(name, default)) for own in facts)


def _probed(dataset: Dataset, rows: Rows, count: int) -> Rows:
    """``count`` of the training rows, with rare classes among them."""
    return rows[probe_order([dataset.target[rows]], [count])] if dataset.classes else rows[:count]


def _groups(dataset: Dataset, rows: Sequence[Rows]) -> Batch:
    """Whose group is which, where there is a sensitive attribute."""
    if dataset.attribute is not None:
        return {"group": torch.from_numpy(np.stack([dataset.attribute.values[members, None] for members in rows]))}
    if dataset.group is None:
        return {}
    return {"group": torch.from_numpy(np.stack([dataset.group[members] for members in rows]))}


def _stack(parts: list[NDArray[np.float32]], width: int, listed: int) -> Tensor:
    """The replicas' rows ``[R, N, width]``, each of ``listed`` documents: those of narrower encodings end in zeros."""
    stacked = torch.zeros(len(parts), len(parts[0]), listed, width // listed)
    for index, part in enumerate(parts):
        own = torch.from_numpy(part).unflatten(-1, (listed, -1))
        stacked[index, ..., : own.shape[-1]] = own
    return stacked.flatten(2)

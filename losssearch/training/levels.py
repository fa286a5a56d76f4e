"""Training rows on two levels: four fifths that a model descends, and a fifth that its loss is learned on.

The rows of a replica are split once, stratified by class (or bands of the target) and group, and by the replica's seed
alone; rows that stay together in the study's splits are on one level. The rows that the study validates on are on
neither level.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from losssearch.data.batch import Batch, field_of
from losssearch.data.grouped_rows import assign
from losssearch.data.probing import banded, joint
from losssearch.data.replicas import Replicas
from losssearch.data.shuffling import raw
from losssearch.errors import DataError, OptionError
from losssearch.losses.spec import LossSpec
from losssearch.option_names import option

SHARE = 5
"""One training row of this number is on the upper level."""

START = 0.2
"""Share of the training that is done before the hypergradient moves anything: before, the model says nothing yet."""

EVERY = 4
"""Steps of the model for one of what the hypergradient moves."""

UPPER = 2
"""An upper batch has the rows of a lower one over this: its units are balanced, and it is drawn anew each time."""

Units: TypeAlias = Literal["", "class", "group", "cell"]
"""What an upper batch holds equally often: nothing in particular, each class, each group, or each class of a group."""


@dataclass(frozen=True)
class Objective:
    """What is descended on the upper level, a surrogate of the metric; see `losssearch.judging.surrogate`.

    ``spec`` is a loss without states of its own that are handed over. Where it reads the group, that is the unit.
    """

    spec: LossSpec
    units: Units = ""


@dataclass(frozen=True)
class Turn:
    """The batches of one step: what the model descends, and where the hypergradient is due, what that descends."""

    lower: Batch
    upper: Batch | None
    number: int
    """How many times the hypergradient was due, this time included."""


class Levels:
    """The rows of all replicas on two levels, as batches.

    Raises `OptionError` for rows that are streamed from disk, `DataError` where a class has no row on the upper level.
    """

    def __init__(self, replicas: Replicas, objective: Objective, batch_size: int) -> None:
        if replicas.stream is not None:
            raise OptionError(
                "a loss that is learned by the validation loss needs its rows in memory, and they are streamed from "
                f"disk: give {option('max_rows')}, or another {option('space')}"
            )
        self._train, self._seeds, self._turns = replicas.train, replicas.seeds, 0
        divided = _alike([_divided(replicas, own, seed) for own, seed in enumerate(replicas.seeds)])
        device = replicas.train["features"].device
        self.lower, self.upper = (torch.stack([own[level] for own in divided]).to(device) for level in (0, 1))
        ids, self.units = _units(replicas, objective.units)
        ids = ids.to(device).gather(1, self.upper)
        order = ids.argsort(dim=1, stable=True)
        self._upper_sorted, self._unit = self.upper.gather(1, order), ids.gather(1, order)
        self._count = (ids[..., None] == torch.arange(self.units, device=device)).sum(1)
        self._read_as_group = "group" in objective.spec.reads
        self._size = min(batch_size, self.lower.shape[1])
        self._upper_size = min(max(batch_size // UPPER, 1), self.upper.shape[1])

    def turns(self, epoch: int, steps: int, epochs: int) -> Iterator[Turn]:
        """The ``steps`` turns of an epoch, counted from 1, of ``epochs``."""
        batches = self._lower_batches(epoch, steps)
        for step, rows in enumerate(batches):
            count = (epoch - 1) * steps + step
            due = count / (epochs * steps) > START and count % EVERY == 0
            self._turns += due
            upper = self._upper_batch(count) if due else None
            yield Turn(self._at(rows), upper, self._turns)

    def _lower_batches(self, epoch: int, steps: int) -> Iterator[Tensor]:
        """As many batches as members on all rows take in an epoch, so the rows come round 1.25 times."""
        a_round = self.lower.shape[1] // self._size
        for first in range(0, steps, a_round):
            places = [_shuffled(self.lower.shape[1], seed, epoch, first) for seed in self._seeds]
            rows = self.lower.gather(1, torch.stack(places).to(self.lower.device))
            taken = min(a_round, steps - first)
            yield from rows[:, : taken * self._size].split(self._size, dim=1)

    def _upper_batch(self, count: int) -> Batch:
        """Rows drawn with replacement, each unit that there is equally often."""
        size = self._upper_size
        drawn = [torch.rand(2, size, generator=_generator(seed, count, 1)) for seed in self._seeds]
        device = self.upper.device
        share, shift = torch.stack(drawn).to(device).unbind(1)
        present = (self._count > 0).cumsum(1)  # the number of each unit among those that have rows, from 1
        turn = (torch.arange(size, device=device) + (shift[:, :1] * self.units).long()) % present[:, -1:] + 1
        unit = (present[:, None] >= turn[..., None]).int().argmax(-1)
        ends = self._count.cumsum(1)
        own = self._count.gather(1, unit)
        places = (ends - self._count).gather(1, unit) + (share * own).long().clamp(max=own - 1)
        batch = self._at(self._upper_sorted.gather(1, places))
        return {**batch, "group": self._unit.gather(1, places)} if self._read_as_group else batch

    def _at(self, rows: Tensor) -> Batch:
        found: dict[str, Tensor] = {}
        for name, value in self._train.items():
            assert field_of(name).axis == "row"  # noqa: S101  (training batches hold rows)
            found[name] = torch.stack([own[places] for own, places in zip(value, rows, strict=True)])
        return {**found, "index": rows}


def _divided(replicas: Replicas, replica: int, seed: int) -> tuple[Tensor, Tensor]:
    """The rows of the lower and of the upper level of a replica, as many in each replica."""
    target = replicas.train["target"][replica].cpu().numpy()
    strata: NDArray[np.int64]
    strata = target if replicas.classes else banded(target if target.ndim == 1 else target[:, 0])
    group = replicas.train.get("group")
    if group is not None:
        own = group[replica].cpu().numpy()
        strata = joint(strata, own if own.ndim == 1 else banded(own[:, 0]))
    if replicas.ties is not None:
        chosen = _whole_ties(replicas.ties[replica].numpy(), strata, target if replicas.classes else None, seed)
        return torch.from_numpy(np.flatnonzero(~chosen)), torch.from_numpy(np.flatnonzero(chosen))
    order = np.random.default_rng([seed, SHARE]).permutation(len(strata))
    order = order[np.argsort(strata[order], kind="stable")]
    chosen = np.zeros(len(order), dtype=bool)
    chosen[SHARE // 2 :: SHARE] = True
    upper, lower = np.sort(order[chosen]), np.sort(order[~chosen])
    if not len(upper):
        raise DataError(f"a loss that is learned by the validation loss needs {SHARE} training rows, got {len(order)}")
    if replicas.classes:
        missing = sorted(set(target.tolist()) - set(target[upper].tolist()))
        if missing:
            raise DataError(
                f"a fifth of the training rows learns the loss and must have a row of every class; class {missing[0]} "
                f"has {int((target == missing[0]).sum())} training rows and none there: give more rows of it, or "
                f"another {option('space')}"
            )
    return torch.from_numpy(lower), torch.from_numpy(upper)


def _whole_ties(
    ties: NDArray[np.int64], strata: NDArray[np.int64], labels: NDArray[np.int64] | None, seed: int
) -> NDArray[np.bool_]:
    """Which rows are on the upper level, all rows of a tie on one: near a fifth of the rows and of every stratum."""
    _, tie = np.unique(ties, return_inverse=True)
    _, stratum = np.unique(strata, return_inverse=True)
    count = int(tie.max()) + 1
    counts = np.zeros((count, int(stratum.max()) + 1), dtype=np.int64)
    np.add.at(counts, (tie, stratum), 1)
    kinds, holds = np.zeros(1, dtype=np.int64), np.ones((count, 1), dtype=bool)
    if labels is not None:
        kinds, label = np.unique(labels, return_inverse=True)
        holds = np.zeros((count, len(kinds)), dtype=bool)
        holds[tie, label] = True

    def few(kind: int, found: int) -> DataError:
        held = f"class {kinds[kind]}" if labels is not None else "the target"
        return DataError(
            f"a fifth of the training rows learns the loss, whole groups of {option('group')} with rows of every class "
            f"on either side; {held} occurs in {found} of {count} groups of the training rows: bring more groups, or "
            f"give another {option('space')}"
        )

    def raw_of(number: int, length: int) -> NDArray[np.uint64]:
        return raw(np.random.SeedSequence([seed, SHARE, number]), length)

    shares = (1 - 1 / SHARE, 1 / SHARE)
    level: NDArray[np.int64] = assign(counts, holds, shares, least=(1, 1), raw=raw_of, few=few)[tie]
    upper: NDArray[np.bool_] = level == 1
    return upper


def _alike(divided: Sequence[tuple[Tensor, Tensor]]) -> list[tuple[Tensor, Tensor]]:
    """The levels of all replicas, each as long as the shortest: whole groups differ by a few rows."""
    lower, upper = (min(len(own[level]) for own in divided) for level in (0, 1))
    return [(own[:lower], other[:upper]) for own, other in divided]


def _units(replicas: Replicas, units: Units) -> tuple[Tensor, int]:
    """The unit of each training row ``[R, N]``, and how many units there may be."""
    target, group = replicas.train["target"], replicas.train.get("group")
    grouped = group is not None and not group.is_floating_point() and units in ("group", "cell")
    classed = replicas.classes > 0 and units in ("class", "cell")
    ids, count = torch.zeros(target.shape[:2], dtype=torch.int64, device=target.device), 1
    if classed:
        ids, count = target.long(), replicas.classes
    if grouped and group is not None:
        ids, count = ids + count * group.long(), count * replicas.sizes.groups
    return ids, count


def _shuffled(rows: int, seed: int, epoch: int, first: int) -> Tensor:
    return torch.randperm(rows, generator=_generator(seed, epoch, 2 + first))


def _generator(seed: int, count: int, use: int) -> torch.Generator:
    mixed = np.random.SeedSequence([seed, count, use]).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(mixed) % (1 << 63))

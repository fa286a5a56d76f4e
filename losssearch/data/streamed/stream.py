"""Training rows that lie on disk: in mini-batches, shuffled anew for every epoch, read in long pieces.

An epoch goes through all blocks of the file in random order, `WINDOW` of them at a time, and shuffles the rows of a
window. So rows that are neighbours in the file meet in a batch more often than chance would have it, and a file that
is sorted by its target is mixed from `WINDOW` places at a time.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from losssearch.data.batch import Batch
from losssearch.data.streamed.rowfile import Records, RowFile

WINDOW = 64
"""Blocks whose rows are shuffled together: 16 MiB."""


@dataclass(frozen=True, eq=False)
class Stream:
    """The training rows of R replicas, N of each, out of one file.

    Plain data and tensors, so that it can be sent to another process, which then reads the same file.
    """

    file: RowFile
    rows: int
    """N, the training rows of the replica that has the fewest."""
    serves: Tensor
    """[R, keys + 1], bool: whether rows whose key has this place train this replica; the last is for all other rows."""
    seeds: tuple[int, ...]
    means: tuple[float, ...]
    """Of the target, one per replica; with ``scales``, what the target is standardised by."""
    scales: tuple[float, ...]
    classes: int
    """C; 0 for regression."""
    device: str = "cpu"

    def take(self, indices: Sequence[int]) -> Stream:
        """Those of the replicas at these indices, in this order; N stays."""
        return replace(
            self,
            serves=self.serves[list(indices)],
            seeds=tuple(self.seeds[index] for index in indices),
            means=tuple(self.means[index] for index in indices),
            scales=tuple(self.scales[index] for index in indices),
        )

    def to(self, device: str | torch.device) -> Stream:
        """The same rows, in batches on a device."""
        return replace(self, device=str(device))

    def batches(self, epoch: int, size: int) -> Iterator[Batch]:
        """Batches of features ``[R, size, D]``, target, group ids and ``index``, places in the file, ``[R, size]``.

        Every row comes once, but for a rest below ``size``. A row of no known group has the id -1; without a sensitive
        attribute there are no ids.

        Which rows a replica gets depends only on its seed and on ``epoch``.

        Raises `OptionError` if this machine does not have the file.
        """
        size = min(size, self.rows)
        descriptor = self.file.open()
        try:
            replicas = range(len(self.seeds))
            records = [self._records(descriptor, replica, epoch, size) for replica in replicas]
            for _ in range(self.rows // size):
                found = [next(own) for own in records]
                chunks = [chunk for chunk, _ in found]
                features = torch.from_numpy(np.stack([self.file.layout.features(chunk) for chunk in chunks]))
                target = torch.from_numpy(np.stack([self._target(chunks[replica], replica) for replica in replicas]))
                batch = {"features": self._sent(features), "target": self._sent(target)}
                batch["index"] = self._sent(torch.from_numpy(np.stack([places for _, places in found])))
                if self.file.layout.grouped:
                    ids = np.stack([chunk["group"] for chunk in chunks]).astype(np.int64)
                    batch["group"] = self._sent(torch.from_numpy(ids))
                yield batch
        finally:
            os.close(descriptor)

    def _sent(self, batch: Tensor) -> Tensor:
        """On the device. A CUDA device copies page-locked memory by itself, while the next batch is read."""
        if torch.device(self.device).type == "cuda":
            return batch.pin_memory().to(self.device, non_blocking=True)
        return batch.to(self.device)

    def _records(
        self, descriptor: int, replica: int, epoch: int, size: int
    ) -> Iterator[tuple[Records, NDArray[np.int64]]]:
        """Records of ``size`` rows, and where in the file these lie."""
        serves = self.serves[replica].numpy()
        rest, places_left = np.empty(0, dtype=self.file.layout.record), np.empty(0, dtype=np.int64)
        for blocks, random in windows(self.file.blocks, self.seeds[replica], epoch):
            window, places = self.file.read(descriptor, blocks), self.file.places(blocks)
            chosen = np.flatnonzero(serves[window["place"]])
            order = chosen[_permutation(random, len(chosen))]
            shuffled, places = window[order], places[order]
            del window
            pool = np.concatenate((rest, shuffled)) if len(rest) else shuffled
            places = np.concatenate((places_left, places))
            end = len(pool) - len(pool) % size
            for begin in range(0, end, size):
                yield pool[begin : begin + size], places[begin : begin + size]
            rest, places_left = pool[end:].copy(), places[end:].copy()

    def _target(self, records: Records, replica: int) -> NDArray[np.int64] | NDArray[np.float32]:
        target = records["target"]
        if self.classes:
            return target.astype(np.int64)
        standard: NDArray[np.float32] = ((target - self.means[replica]) / self.scales[replica]).astype(np.float32)
        return standard


def windows(blocks: int, seed: int, epoch: int) -> Iterator[tuple[NDArray[np.int64], np.random.PCG64]]:
    """All blocks once, in an order that depends on seed and epoch alone, `WINDOW` at a time; and what shuffles rows."""
    random = np.random.PCG64(np.random.SeedSequence([seed, epoch]))
    order = _permutation(random, blocks)
    for first in range(0, blocks, WINDOW):
        yield order[first : first + WINDOW], random


def _permutation(random: np.random.PCG64, count: int) -> NDArray[np.int64]:
    # Raw output alone: numpy keeps its stream the same in every version and on every platform.
    return np.argsort(random.random_raw(count), kind="stable")


@dataclass(frozen=True, eq=False)
class Tally:
    """What training rows amount to: ``rows`` [R], and ``counts`` [R, C] of classes or ``mean`` and ``std`` [R]."""

    rows: NDArray[np.int64]
    counts: NDArray[np.int64]
    mean: NDArray[np.float64]
    std: NDArray[np.float64]


def tally(file: RowFile, serves: NDArray[np.bool_], classes: int) -> Tally:
    """Count, in one pass through the file, the rows that ``serves`` [R, keys + 1] gives to each replica."""
    replicas = len(serves)
    rows, counts = np.zeros(replicas, dtype=np.int64), np.zeros((replicas, classes), dtype=np.int64)
    mean, squares = np.zeros(replicas), np.zeros(replicas)
    descriptor = file.open()
    try:
        for first in range(0, file.blocks, WINDOW):
            window = file.read(descriptor, range(first, min(first + WINDOW, file.blocks)))
            place, values = window["place"], window["target"].copy()
            for replica in range(replicas):
                own = values[serves[replica][place]]
                if classes:
                    counts[replica] += np.bincount(own.astype(np.int64), minlength=classes)
                elif len(own):
                    # Chan, Golub and LeVeque 1979: sums of squares of two sets from those of each.
                    share = len(own) / (rows[replica] + len(own))
                    away = own.mean() - mean[replica]
                    squares[replica] += own.var() * len(own) + away**2 * rows[replica] * share
                    mean[replica] += away * share
                rows[replica] += len(own)
    finally:
        os.close(descriptor)
    return Tally(rows, counts, mean, np.sqrt(squares / np.maximum(rows, 1)))

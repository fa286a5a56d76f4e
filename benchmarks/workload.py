"""The trainings that every contestant of the speed benchmark does: one table, one model, a list of trials."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from losssearch.errors import DataError

if TYPE_CHECKING:
    from torch import Tensor

    from losssearch.data import Replicas

RATES = (5e-4, 1e-2)  # none so large that some trials fail by chance
GAMMAS = (0.0, 5.0)
HIDDEN = (64, 64)  # the built-in model `mlp`
WEIGHT_DECAY = 1e-4
SEED = 0


class Trial(NamedTuple):
    """One training: its focal loss and its learning rate."""

    gamma: float
    rate: float


class Table(NamedTuple):
    """Encoded rows, split: features ``[N, D]``, target ``[N]`` class ids, and the same of V validation rows."""

    features: Tensor
    target: Tensor
    validation_features: Tensor
    validation_target: Tensor


@dataclass(frozen=True)
class Workload:
    """A table with its one replica, and how long and in which batches every trial trains."""

    name: str
    replicas: Replicas
    classes: int
    epochs: int
    batch_size: int

    @property
    def width(self) -> int:
        """Outputs of the model: one logit for two classes."""
        return 1 if self.classes == 2 else self.classes

    @property
    def seed(self) -> int:
        """Of every training: all trials start alike."""
        return self.replicas.seeds[0]

    @property
    def table(self) -> Table:
        """The replica as plain tensors."""
        held = self.replicas
        return Table(*(own[name][0] for own in (held.train, held.validation) for name in ("features", "target")))

    def describe(self) -> dict[str, object]:
        """What is trained, for the result."""
        table = self.table
        return {
            "data": self.name,
            "training_rows": len(table.target),
            "validation_rows": len(table.validation_target),
            "features": table.features.shape[1],
            "outputs": self.width,
            "model": "MLP " + "-".join(map(str, HIDDEN)),
            "epochs": self.epochs,
            "batch_size": self.batch_size,
            "optimiser": "AdamW, rate falling linearly to a tenth",
            "loss": "focal, one gamma and one learning rate a trial",
            "metric": "accuracy on validation after each epoch, the best counts; no early stopping",
        }


def load_workload(name: str, epochs: int) -> Workload:
    """The workload of a data set: all its rows, drawn 75 : 25; raises `DataError` without the file."""
    from losssearch.data import draws, load, make_replicas

    if name == "digits":
        dataset, batch_size = load("builtin:digits", target="target"), 64
    else:
        # The convention of the tests: a folder of larger data sets, by default next to the repository.
        folder = os.environ.get("LOSSSEARCH_DATA") or Path(__file__).parents[2] / "shared" / "data"
        path = Path(folder, "parquet", "adult.parquet")
        if not path.exists():
            raise DataError(f"--data adult needs parquet/adult.parquet in the folder $LOSSSEARCH_DATA, none at {path}")
        dataset, batch_size = load(str(path), target="income"), 256
    drawn = draws(dataset, np.arange(dataset.rows), seed=SEED, count=1, purpose="search")
    return Workload(name, make_replicas(dataset, drawn), len(dataset.classes), epochs, batch_size)


def make_trials(count: int) -> list[Trial]:
    """The first ``count`` trials, the same for every contestant: gamma even, the rate log-even over its range."""
    numbers = np.random.default_rng(SEED).random((count, 2))
    low, high = map(math.log, RATES)
    span = GAMMAS[1] - GAMMAS[0]
    return [Trial(GAMMAS[0] + span * float(g), math.exp(low + (high - low) * float(r))) for g, r in numbers]

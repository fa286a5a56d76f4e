"""How every member of a study is trained: the same epochs, batches, stopping rule and rungs for all."""

from __future__ import annotations

import math
from dataclasses import dataclass

from losssearch.errors import OptionError

RATES = (5e-4, 2e-3, 8e-3, 3e-2)
"""Learning rates that each candidate and each baseline is trained with; the best on validation counts."""


STEPS = 1_000
"""Optimiser steps that a default plan aims at: enough for the built-in models to stop early."""

SLOW = 2
"""How many times the steps regression and targets of `MANY_CLASSES` get: there, trainings improve for longer."""

MANY_CLASSES = 16

AVERAGE = 0.98
"""How much of the running average of a member's weights is kept at each step, where a study asks for one."""


@dataclass(frozen=True)
class TrainingPlan:
    """The training that all candidates of a study share.

    ``rungs``: epochs after which each candidate keeps the better half of its learning rates and the
    population keeps the best ``keep`` of its candidates. ``patience``: epochs without a better validation
    value before a member stops; its best epoch counts. ``clip``: largest gradient norm of a member.
    ``average``: how much is kept at each step of the running average of a member's weights, which is judged as well:
    the better of the two counts. None: there is no average.
    """

    epochs: int
    batch_size: int
    rungs: tuple[int, ...] = ()
    keep: float = 0.5
    patience: int = 10
    weight_decay: float = 1e-4
    clip: float | None = None
    average: float | None = None

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch_size < 1 or self.patience < 1:
            raise OptionError(
                f"epochs, batch_size and patience must be at least 1, "
                f"got {self.epochs}, {self.batch_size}, {self.patience}"
            )
        if not 0 < self.keep <= 1:
            raise OptionError(f"keep must lie in (0, 1], got {self.keep}")
        if not 0 <= self.weight_decay < math.inf:
            raise OptionError(f"weight_decay must be finite and at least 0, got {self.weight_decay}")
        if self.clip is not None and not self.clip > 0:
            raise OptionError(f"clip must be above 0, got {self.clip}")
        if self.average is not None and not 0 <= self.average < 1:
            raise OptionError(f"average must lie in [0, 1), got {self.average}")
        if any(rung < 1 for rung in self.rungs):
            raise OptionError(f"rungs are epochs, at least 1, got {self.rungs}")


def default_plan(rows: int, epochs: int | None = None, classes: int = 2, least_batch: int = 0) -> TrainingPlan:
    """A plan of about `STEPS` optimiser steps, in batches that grow with the data.

    Regression and many classes get `SLOW` times the epochs, with rungs where the shorter plan has them, so that what
    leaves at a rung costs no more.

    Args:
        rows: training rows.
        epochs: how many there are to be, where that is not left to the rows.
        classes: how many the target has; 0 for regression.
        least_batch: rows of a batch at the least.
    """
    sizes = ((1_000, 32), (4_000, 64), (12_000, 128), (100_000, 256), (1 << 62, 1024))
    batch_size = max(least_batch, next(size for limit, size in sizes if rows < limit))
    usual = max(8, min(80, round(STEPS * batch_size / max(rows, 1))))
    count = epochs or usual * (1 if 0 < classes < MANY_CLASSES else SLOW)
    judged = min(count, usual) if epochs is None else count
    rungs = tuple(sorted({max(1, judged // 5), max(1, judged // 2)})) if judged >= 5 else ()
    return TrainingPlan(epochs=count, batch_size=batch_size, rungs=rungs, patience=max(4, count // 4))


def without_rungs(plan: TrainingPlan) -> TrainingPlan:
    """The same plan with every candidate trained to its end."""
    return TrainingPlan(**{**plan.__dict__, "rungs": ()})

"""The handle through which a user's training function sees its trial and reports its progress."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeAlias

import numpy as np
import torch

from losssearch import stopping
from losssearch.models.randomness import own_draws, seed_draws
from losssearch.training.threads import users_threads

Bar: TypeAlias = tuple[tuple[int, float], ...]
"""Pairs (step, utility)."""


LARGEST = 1e70
"""Limit for a metric's values, because their differences are raised to the fourth power."""


LAST_STEP = 1 << 53
"""Limit for steps, which are stored as whole numbers of up to 64 bits."""


class Refused(Exception):  # noqa: N818  (says what happened to a value, and never leaves its trial)
    """A value that cannot be the metric; the trial fails with this message."""


class TrialHandle:
    """One training of one loss, as a user's training function sees it.

    losssearch creates it and passes it to the function; see `losssearch.search`.

    Attributes:
        number: the trial's number in the study; the same for all trainings of one loss.
        stage: ``"search"``, ``"reevaluation-1"``, ``"reevaluation-2"`` or ``"confirmation"``.
        draw: which of the stage's trainings with this loss this is, from 0; a fold number, where folds are used.
        seed: the draw's seed, the same for every loss, so that losses are compared under the same conditions. PyTorch,
            NumPy and ``random`` are seeded with it before the function is called; use it to split and shuffle the data.
        device: where to train.
        rate: the learning rate to train with, or None if the study sweeps none.
        epochs: how many epochs a training should take; the function may train for a different number.

    Example:
        A training function, called here with a handle of its own to try it out:

        >>> import torch
        >>> import losssearch as ls
        >>> from losssearch.training.handle import TrialHandle
        >>> features, labels = torch.tensor([[-1.0], [1.0]]), torch.tensor([0, 1])
        >>> def train(loss, trial):
        ...     model = torch.nn.Linear(1, 1)
        ...     optimiser = torch.optim.SGD(model.parameters(), lr=trial.rate or 0.1)
        ...     for epoch in range(trial.epochs):
        ...         optimiser.zero_grad()
        ...         loss(model(features).flatten(), labels).backward()
        ...         optimiser.step()
        ...         trial.report(epoch + 1, ((model(features).flatten() > 0) == labels).float().mean())
        ...         if trial.should_stop():
        ...             break
        >>> trial = TrialHandle(epochs=5)
        >>> train(ls.compose({"parts": [{"term": "binary_cross_entropy"}]}), trial)
        >>> trial.progress
        1.0
    """

    def __init__(
        self,
        *,
        number: int = 0,
        stage: str = "search",
        draw: int = 0,
        seed: int = 0,
        device: torch.device | str = "cpu",
        rate: float | None = None,
        epochs: int = 1,
        sign: float = 1.0,
        bar: Bar = (),
        deadline: float | None = None,
    ) -> None:
        self.number, self.stage, self.draw, self.seed = number, stage, draw, seed
        self.device, self.rate, self.epochs = torch.device(device), rate, epochs
        self.rungs: list[tuple[int, float]] = []
        self.best_step, self.stopped, self.late = 0, False, False
        self._sign, self._bar, self._deadline = sign, dict(bar), deadline
        self._best, self._count, self._last = -math.inf, 0, -math.inf
        self._behind, self._problem = False, ""

    @property
    def progress(self) -> float:
        """The completed share of the training, in [0, 1]: the number of reported values divided by `epochs`.

        Pass it to the loss: ``loss(output, target, progress=trial.progress)``.
        """
        return min(1.0, self._count / self.epochs)

    @property
    def best(self) -> float | None:
        """The best utility reported so far (larger is better), or None if nothing was reported."""
        return self._best if self._count and not self._problem else None

    def report(self, step: int, value: float) -> None:
        """Report the metric after an epoch.

        Args:
            step: the number of the epoch or step, larger than any reported before and at most 2^53.
            value: the metric: a number, a NumPy scalar or a tensor with one element. It must be finite and at most 1e70
                in size; otherwise the trial fails at once.
        """
        stopping.check()
        if not step > self._last:
            self._refuse(f"steps of trial.report must rise, got {step} after {self._last:g}")
        if abs(step) > LAST_STEP:
            self._refuse(f"steps of trial.report must be at most {LAST_STEP} in size, got {step}")
        utility = self._utility(value, "trial.report's value")
        self._last, self._count, self.stopped = step, self._count + 1, False
        if utility > self._best:
            self._best, self.best_step = utility, int(step)
        # The first value says little; after it, each doubling is kept, so that long trainings store few.
        if self._count > 1 and self._count & (self._count - 1) == 0:
            self.rungs.append((int(step), self._best))
            self._behind = self._behind or self._best < self._bar.get(int(step), -math.inf)

    def should_stop(self) -> bool:
        """Whether to end this training now, because other losses are ahead or the study's time is up.

        A searched loss is behind if its best value so far is worse than the median that the menu's losses had reached
        at the same step. This is checked after the second reported value, the fourth, the eighth and so on.

        Returns:
            True if the function should return now.
        """
        stopping.check()
        self.late = self.late or (self._deadline is not None and time.time() > self._deadline)
        self.stopped = self._behind
        return self.stopped or self.late

    def settle(self, answer: object) -> float:
        """The utility of this training: that of the returned value, or of the best reported value if it is None."""
        if self._problem:
            raise Refused(self._problem)
        if answer is not None:
            return self._utility(answer, "the training function's answer")
        if not self._count:
            raise Refused("the training function must return its metric or report it with trial.report; it did neither")
        return self._best

    def _utility(self, value: object, what: str) -> float:
        number = number_of(value)
        if number is None:
            self._refuse(f"{what} must be a number, got {value!r:.80}")
        elif not math.isfinite(number):
            self._refuse(f"{what} must be finite, got {number}")
        elif abs(number) > LARGEST:
            self._refuse(f"{what} must be at most {LARGEST:g} in size, got {number:g}")
        else:
            return self._sign * number
        return math.nan

    def _refuse(self, problem: str) -> None:
        self._problem = problem  # kept, for the function may catch what is raised here
        raise Refused(problem)


def number_of(value: object) -> float | None:
    """A number, a NumPy scalar or a tensor of one element as a float; None for anything else."""
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu().numpy()
    if isinstance(value, np.ndarray | np.generic):
        value = value.item() if value.size == 1 else None
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


@contextmanager
def seeded(seed: int, device: torch.device, threads: int) -> Iterator[None]:
    """Seed PyTorch, NumPy and ``random`` and set PyTorch's number of ``threads``; restore all of them afterwards.

    One at a time in a process, as the generators are the whole process's.
    """
    if device.type == "cuda":
        torch.cuda.init()
    with own_draws() as devices, users_threads(threads):
        plain, numbers = random.getstate(), np.random.get_state()  # noqa: NPY002  (what users' loops draw from)
        try:
            seed_draws(seed, devices)
            random.seed(seed)
            np.random.seed(seed)  # noqa: NPY002  (same)
            with torch.enable_grad():
                yield
        finally:
            random.setstate(plain)
            np.random.set_state(numbers)  # noqa: NPY002  (same)

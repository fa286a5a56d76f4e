"""Training candidates with a user's own function: how it is called, and how its result is used."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from losssearch.errors import stops
from losssearch.losses.compose import ComposedLoss
from losssearch.losses.offer import Offer
from losssearch.losses.spec import LossSpec
from losssearch.stopping import one_process
from losssearch.training.handle import Bar, Refused, TrialHandle, seeded
from losssearch.training.outcome import CUT, Outcome
from losssearch.training.overdue import Overdue, alarm

TrainFunction: TypeAlias = Callable[[nn.Module, TrialHandle], float | None]
"""Trains the user's model with the loss module; gives the metric, or None if the best reported value counts."""

NO_RETURN = f"{CUT}: the training function did not return, nor report a value"
"""The reason of a trial whose function was ended before it had said anything."""

BEHIND = "stopped early, behind the menu's median"
"""The reason of a trial that the function ended because `TrialHandle.should_stop` said so."""


@dataclass(frozen=True)
class FunctionDraws:
    """Takes the place of replicas if the data are the user's: a stage of the study and the ``seeds`` of its draws."""

    stage: str
    seeds: tuple[int, ...]

    def to(self, device: object) -> FunctionDraws:
        """Itself: there is nothing to move."""
        return self


@dataclass(frozen=True)
class FunctionRules:
    """How a user's function is called, and how its values are read.

    ``sign``: 1 where the metric is to be maximised, -1 where minimised. ``epochs``: what `TrialHandle.epochs` says.
    ``facts``: what losses read of the function's data. ``threads``: PyTorch's, in every process alike. ``bar``: by
    step, the utility that a run's best value must have reached there.
    """

    sign: float
    epochs: int
    facts: Mapping[str, float | Sequence[float]] = field(default_factory=dict)
    threads: int = 1
    bar: Bar = ()


@dataclass
class _Run:
    """One call of the function: ``value`` is a utility, None if it failed for the ``reason``."""

    value: float | None = None
    epochs: int = 0
    rungs: dict[int, float] = field(default_factory=dict)
    learned: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    behind: bool = False
    cut: bool = False
    reason: str = ""


def train_with_function(
    function: TrainFunction,
    candidates: Sequence[tuple[LossSpec, tuple[float, ...], bool]],
    draws: FunctionDraws,
    rules: FunctionRules,
    *,
    numbers: Sequence[int],
    device: str = "cpu",
    deadline: float | None = None,
    overdue: float | None = None,
    offer: Offer | None = None,
) -> list[Outcome]:
    """Call ``function`` for each candidate, at each of its learning rates (once where it has none), on each draw.

    ``candidates`` are triples (spec, rates, protected); a protected one is not held to the bar. ``numbers`` are those
    of their trials. An exception of the function fails its candidate and no other. At ``overdue`` (seconds since 1970)
    it is interrupted; the best value that it has reported by then counts. ``offer`` is that of the kind of task.
    """
    outcomes = []
    for (spec, rates, protected), number in zip(candidates, numbers, strict=True):
        own = replace(rules, bar=()) if protected else rules
        call = _Call(function, spec, draws, own, number, device, deadline, overdue, offer)
        outcomes.append(_best([(rate, call.runs(rate)) for rate in rates or (None,)]))
    return outcomes


@dataclass(frozen=True)
class _Call:
    function: TrainFunction
    spec: LossSpec
    draws: FunctionDraws
    rules: FunctionRules
    number: int
    device: str
    deadline: float | None
    overdue: float | None
    offer: Offer | None

    def runs(self, rate: float | None) -> list[_Run]:
        """One run a draw; none after the first that failed, as a candidate needs them all."""
        runs: list[_Run] = []
        for draw, seed in enumerate(self.draws.seeds):
            runs.append(self._run(rate, draw, seed))
            if runs[-1].value is None:
                break
        return runs

    def _run(self, rate: float | None, draw: int, seed: int) -> _Run:
        rules, device = self.rules, torch.device(_resolved(self.device))
        handle = TrialHandle(
            number=self.number,
            stage=self.draws.stage,
            draw=draw,
            seed=seed,
            device=device,
            rate=rate,
            epochs=rules.epochs,
            sign=rules.sign,
            bar=rules.bar,
            deadline=self.deadline,
        )
        try:
            with seeded(seed, device, rules.threads):
                facts = {name: torch.tensor(value) for name, value in rules.facts.items()}
                loss = ComposedLoss(self.spec, facts=facts, offer=self.offer).to(device)
                with one_process(), alarm(self.overdue):
                    answer = self.function(loss, handle)
            utility = handle.settle(answer)
            learned = _values(loss)
        except Overdue:
            return _Run(handle.best, handle.best_step, dict(handle.rungs), _values(loss), cut=True, reason=NO_RETURN)
        except BaseException as error:
            if stops(error):
                raise
            return _Run(reason=_said(error))
        return _Run(utility, handle.best_step, dict(handle.rungs), learned, handle.stopped, handle.late)


def _values(loss: ComposedLoss) -> dict[str, NDArray[np.float32]]:
    return {name: value.numpy() for name, value in loss.found().items()}


def _best(tried: Sequence[tuple[float | None, list[_Run]]]) -> Outcome:
    """The outcome of a candidate: that of its best rate, by the mean over draws; the first of equals."""
    sound = [(rate, [run.value for run in runs if run.value is not None], runs) for rate, runs in tried]
    sound = [entry for entry in sound if len(entry[1]) == len(entry[2])]
    if not sound:
        return Outcome("failed", reason=tried[-1][1][-1].reason)
    rate, utilities, runs = max(sound, key=lambda entry: sum(entry[1]) / len(entry[1]))
    behind, cut = any(run.behind for run in runs), any(run.cut for run in runs)
    best = max(runs, key=lambda run: -math.inf if run.value is None else run.value)
    return Outcome(
        state="pruned" if behind else "completed",
        utilities=tuple(utilities),
        rate=rate,
        epochs=max(run.epochs for run in runs),
        rungs=_together([run.rungs for run in runs]),
        learned=best.learned,
        reason=CUT if cut else BEHIND if behind else "",
    )


def _together(rungs: Sequence[dict[int, float]]) -> tuple[tuple[int, float], ...]:
    """Means over the draws, at the steps that all of them reported."""
    common = set(rungs[0]).intersection(*rungs[1:])
    return tuple((step, sum(own[step] for own in rungs) / len(rungs)) for step in sorted(common))


def _resolved(device: str) -> str:
    """``auto`` is decided where the function runs: the driver may have no GPU where a worker has one."""
    if device != "auto":
        return device
    return "cuda" if torch.cuda.is_available() else "cpu"


def _said(error: BaseException) -> str:
    text = " ".join(str(error).split())[:300]
    return text if isinstance(error, Refused) else f"the training function raised {type(error).__name__}: {text}"

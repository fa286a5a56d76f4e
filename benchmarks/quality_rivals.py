"""What the rivals of `benchmarks.time_to_quality` do: one training a trial, Optuna's TPE over the same space of losses.

A training is that of `benchmarks.plain`, with a loss of the space in place of the focal loss.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import optuna
import ray
import torch
from ray import tune
from ray.tune.search.optuna import OptunaSearch
from torch import Tensor, nn

from benchmarks.workload import HIDDEN, WEIGHT_DECAY, Table
from losssearch.losses.compose import ComposedLoss
from losssearch.losses.spec import LossSpec
from losssearch.space import SearchSpace

RATE = "rate"


@dataclass(frozen=True)
class Training:
    """All that a rival's process needs for a trial but the trial itself."""

    table: Table
    space: SearchSpace
    width: int
    epochs: int
    batch_size: int
    seed: int
    rates: tuple[float, float]

    def ask(self, trial: Any) -> tuple[LossSpec, float]:
        """A loss and a learning rate, as an Optuna trial answers."""
        return self.space.sample(trial), trial.suggest_float(RATE, *self.rates, log=True)

    def train(self, params: Mapping[str, Any]) -> float:
        """The best validation value over epochs."""
        spec, rate = self.space.spec({k: v for k, v in params.items() if k != RATE}), params[RATE]
        torch.set_num_threads(1)
        torch.manual_seed(self.seed)
        features, target, validation, labels = self.table
        sizes = (features.shape[1], *HIDDEN)
        layers = [module for pair in pairwise(sizes) for module in (nn.Linear(*pair), nn.ReLU())]
        model = nn.Sequential(*layers, nn.Linear(sizes[-1], self.width))
        loss = ComposedLoss(spec)
        optimiser = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=WEIGHT_DECAY, fused=True)
        steps, best = len(target) // self.batch_size, 0.0
        for epoch in range(self.epochs):
            order = torch.randperm(len(target))[: steps * self.batch_size]
            batches = zip(features[order].split(self.batch_size), target[order].split(self.batch_size), strict=True)
            for step, (batch, wanted) in enumerate(batches):
                optimiser.param_groups[0]["lr"] = rate * (1 - 0.9 * (epoch * steps + step) / (self.epochs * steps))
                optimiser.zero_grad()
                loss(_shaped(model(batch)), wanted).backward()
                optimiser.step()
            with torch.inference_mode():
                best = max(best, quality(_shaped(model(validation)), labels))
        return best


def _shaped(output: Tensor) -> Tensor:
    return output.squeeze(1) if output.shape[1] == 1 else output


def quality(output: Tensor, target: Tensor) -> float:
    """Accuracy of several classes; area under the ROC curve of two, ties counting half."""
    if output.dim() == 2:
        return float((output.argmax(1) == target).double().mean())
    positive, negative = output[target > 0], output[target <= 0].sort().values
    below = torch.searchsorted(negative, positive) + torch.searchsorted(negative, positive, right=True)
    return float(below.double().mean() / (2 * len(negative)))


@dataclass(frozen=True)
class Course:
    """A rival's trials: seconds since its start, and value, in the order in which they ended."""

    seconds: float
    ended: tuple[tuple[float, float], ...]

    @property
    def best(self) -> float:
        """The best value."""
        return max(value for _, value in self.ended)

    @property
    def seconds_to_best(self) -> float:
        """When it was first there."""
        return min(moment for moment, value in self.ended if value == self.best)


Rival = Callable[[Training, int, int, int], Course]
"""From the training, the number of trials, workers, and a seed for the sampler."""


class _Actor:
    def __init__(self, training: Training) -> None:
        table = Table(*(part.clone() for part in training.table))  # what comes out of the object store is read-only
        self._training = Training(**{**vars(training), "table": table})

    def train(self, params: Mapping[str, Any]) -> float:
        return self._training.train(params)


def race_actors(training: Training, count: int, workers: int, seed: int) -> Course:
    """A warm pool of Ray actors; Optuna is asked and told in the driver."""
    shared = ray.put(training)
    remote: Any = ray.remote(num_cpus=1)(_Actor)
    actors = [remote.remote(shared) for _ in range(workers)]
    warm = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed)).ask()
    training.ask(warm)
    ray.get([actor.train.remote(warm.params) for actor in actors])
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))
    running: dict[Any, tuple[optuna.Trial, Any]] = {}
    ended: list[tuple[float, float]] = []
    idle, begun = list(actors), time.perf_counter()
    while len(ended) < count:
        while idle and len(ended) + len(running) < count:
            asked, actor = study.ask(), idle.pop()
            training.ask(asked)
            running[actor.train.remote(asked.params)] = asked, actor
        (done,), _ = ray.wait(list(running))
        asked, actor = running.pop(done)
        value = ray.get(done)
        study.tell(asked, value)
        ended.append((time.perf_counter() - begun, value))
        idle.append(actor)
    seconds = time.perf_counter() - begun
    for actor in actors:
        ray.kill(actor)
    return Course(seconds, tuple(ended))


def _objective(config: Mapping[str, Any], training: Training) -> None:
    tune.report({"value": training.train(config)})


@dataclass(frozen=True)
class _Ask:
    """The space as a define-by-run function; Tune pickles it again and again, so without the table."""

    space: SearchSpace
    rates: tuple[float, float]

    def __call__(self, trial: optuna.Trial) -> None:
        self.space.sample(trial)
        trial.suggest_float(RATE, *self.rates, log=True)


class _Marks(tune.Callback):
    """Notes when each trial ended, and its value."""

    def __init__(self) -> None:
        self.begun = time.perf_counter()
        self.ended: list[tuple[float, float]] = []

    def __getstate__(self) -> dict[str, object]:  # Tune pickles its callbacks; the times stay here
        return {}

    def on_trial_result(self, iteration: int, trials: Any, trial: Any, result: Any, **info: Any) -> None:
        self.ended.append((time.perf_counter() - self.begun, result["value"]))


def race_tune(training: Training, count: int, workers: int, seed: int) -> Course:
    """``Tuner.fit`` with OptunaSearch over a define-by-run space, and Tune's defaults: a worker a trial."""
    marks = _Marks()
    with tempfile.TemporaryDirectory() as folder:
        tune.Tuner(
            tune.with_resources(tune.with_parameters(_objective, training=training), {"cpu": 1}),
            tune_config=tune.TuneConfig(
                search_alg=OptunaSearch(
                    space=_Ask(training.space, training.rates), metric="value", mode="max", seed=seed
                ),
                num_samples=count,
            ),
            run_config=tune.RunConfig(storage_path=folder, callbacks=[marks], verbose=0),
        ).fit()
        return Course(time.perf_counter() - marks.begun, tuple(marks.ended))


RIVALS: Mapping[str, tuple[str, Rival]] = {
    "actors": ("Ray actors + Optuna ask/tell", race_actors),
    "tune": ("Ray Tune + OptunaSearch, as documented", race_tune),
}

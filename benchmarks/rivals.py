"""The rivals on Ray: a warm pool of actors with Optuna, and Ray Tune with OptunaSearch.

All train with `benchmarks.plain`, one trial at a time in each process. Optuna is handed the common list of
trials (``enqueue_trial``, ``points_to_evaluate``), so that everyone does the same trainings; what a sampler would
think about is thereby saved.
"""

from __future__ import annotations

import logging
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import optuna
import ray
import torch
from ray import tune
from ray.tune.search.optuna import OptunaSearch

from benchmarks.contest import Assignment, Stopwatch
from benchmarks.plain import train_once
from benchmarks.workload import GAMMAS, RATES, Table, Trial, Workload


@contextmanager
def cluster(workers: int) -> Iterator[None]:
    """A Ray cluster of this machine, without dashboard, for everyone who works on Ray."""
    os.environ["RAY_AIR_NEW_OUTPUT"] = "0"  # else Tune's verbose=0 still prints
    # Workers import this package.
    environment = {"PYTHONPATH": os.pathsep.join(filter(None, [os.getcwd(), *sys.path])), "OMP_NUM_THREADS": "1"}
    ray.init(
        address="local",
        num_cpus=workers,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
        runtime_env={"env_vars": environment},
    )
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        ray.shutdown()


class _Actor:
    def __init__(self, table: Table, settings: Mapping[str, int]) -> None:
        torch.set_num_threads(1)
        self._table = Table(*(part.clone() for part in table))  # what comes out of the object store is read-only
        self._settings = settings

    def train(self, gamma: float, rate: float) -> float:
        return train_once(self._table, trial=Trial(gamma, rate), **self._settings)


def train_on_actors(assignment: Assignment, watch: Stopwatch) -> list[float]:
    """Actors that stay, Optuna asked and told in the driver, one trial a task."""
    table, settings = ray.put(assignment.workload.table), _settings(assignment.workload)
    remote: Any = ray.remote(num_cpus=1)(_Actor)
    actors = [remote.remote(table, settings) for _ in range(assignment.workers)]
    ray.get([actor.train.remote(*assignment.trials[0]) for actor in actors])
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=0))
    for trial in assignment.trials:
        study.enqueue_trial(trial._asdict())
    found: dict[int, float] = {}
    running: dict[Any, tuple[optuna.Trial, Any]] = {}
    idle = list(actors)
    watch.start()
    while len(found) < len(assignment.trials):
        while idle and len(found) + len(running) < len(assignment.trials):
            asked = study.ask()
            gamma = asked.suggest_float("gamma", *GAMMAS)
            rate = asked.suggest_float("rate", *RATES, log=True)
            actor = idle.pop()
            running[actor.train.remote(gamma, rate)] = asked, actor
        (done,), _ = ray.wait(list(running))
        asked, actor = running.pop(done)
        found[asked.number] = ray.get(done)
        study.tell(asked, found[asked.number])
        idle.append(actor)
    watch.stop(len(found))
    for actor in actors:
        ray.kill(actor)
    return [found[number] for number in sorted(found)]


def tune_as_documented(assignment: Assignment, watch: Stopwatch) -> list[float]:
    """``Tuner.fit`` with OptunaSearch and its defaults: a worker a trial."""
    return _tune(assignment, watch, reuse_actors=False)


def tune_reusing_actors(assignment: Assignment, watch: Stopwatch) -> list[float]:
    """The same, with workers that stay."""
    return _tune(assignment, watch, reuse_actors=True)


def _objective(config: Mapping[str, float], table: Table, settings: Mapping[str, int]) -> None:
    torch.set_num_threads(1)
    # Its documentation also reports after each epoch; one report a trial is cheaper for Tune.
    tune.report({"accuracy": train_once(table, trial=Trial(config["gamma"], config["rate"]), **settings)})


class _Marks(tune.Callback):
    """Times the trials between the first and the last ``workers``, while all workers are busy."""

    def __init__(self, watch: Stopwatch, workers: int, trials: int) -> None:
        self._watch, self._workers, self._trials = watch, workers, trials
        self._ended = 0
        self.found: dict[tuple[float, float], float] = {}

    def __getstate__(self) -> dict[str, object]:  # Tune pickles its callbacks; the stopwatch stays here
        return {}

    def on_trial_result(self, iteration: int, trials: Sequence[Any], trial: Any, result: Any, **info: Any) -> None:
        self.found[trial.config["gamma"], trial.config["rate"]] = result["accuracy"]

    def on_trial_complete(self, iteration: int, trials: Sequence[Any], trial: Any, **info: Any) -> None:
        self._ended += 1
        if self._ended == self._workers:
            self._watch.start()
        if self._ended == self._trials - self._workers:
            self._watch.stop(self._trials - 2 * self._workers)


def _tune(assignment: Assignment, watch: Stopwatch, *, reuse_actors: bool) -> list[float]:
    workload, count = assignment.workload, len(assignment.trials)
    marks = _Marks(watch, assignment.workers, count)
    objective = tune.with_parameters(_objective, table=workload.table, settings=_settings(workload))
    points = [trial._asdict() for trial in assignment.trials]
    with tempfile.TemporaryDirectory() as folder:
        tune.Tuner(
            tune.with_resources(objective, {"cpu": 1}),
            param_space={"gamma": tune.uniform(*GAMMAS), "rate": tune.loguniform(*RATES)},
            tune_config=tune.TuneConfig(
                metric="accuracy",
                mode="max",
                search_alg=OptunaSearch(points_to_evaluate=points, seed=0),
                num_samples=count,
                reuse_actors=reuse_actors,
            ),
            run_config=tune.RunConfig(storage_path=folder, callbacks=[marks], verbose=0),
        ).fit()
    return [marks.found[trial.gamma, trial.rate] for trial in assignment.trials]


def _settings(workload: Workload) -> dict[str, int]:
    return {
        "width": workload.width,
        "epochs": workload.epochs,
        "batch_size": workload.batch_size,
        "seed": workload.seed,
    }

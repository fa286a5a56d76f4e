"""Time to quality: how soon losssearch has the best validation value that its rivals reach in 64 trials.

    python -m benchmarks.time_to_quality [--quick] [--json FILE] [--data digits|adult] [--workers N]

Everyone searches the same space of losses and the same range of learning rates, for the same model, rows, epochs,
batches and metric, on the same number of processes of one thread, for each of several seeds. Rivals run Optuna's TPE:
on a warm pool of Ray actors, and by Ray Tune as its documentation shows it. losssearch runs its own loop, with store,
screening, menu and rungs, until it has reached what the best rival did: once when its observer is told of it, by a
training that may still be under way and whose worker holds the model, and once when the trial is in the store. Start-up
(imports, cluster, actors, a first training) counts for nobody but for Ray Tune, whose way it is to start a worker for
each trial.
``docs/performance.md`` tells more.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.machine import describe_machine
from benchmarks.report import keep, make_parser, make_result, parse, print_table
from benchmarks.workload import Workload, load_workload
from losssearch.errors import LossSearchError
from losssearch.study.observer import SilentObserver

TERMS = {
    "multiclass": ("cross_entropy", "focal", "poly1", "generalised_cross_entropy"),
    "binary": ("binary_cross_entropy", "focal", "generalised_cross_entropy"),
}
"""Losses of the space by task, each with its own ranges; none learns anything or reads a class prior."""

METRIC = {"multiclass": "accuracy", "binary": "roc_auc"}
"""Metrics that nothing is tuned for after training, so that all measure alike."""

GOAL = 0.1
"""Of a rival's time."""


@dataclass(frozen=True)
class Settings:
    """How much is run: ``trials`` by rival; losssearch gives up after ``most`` trials."""

    trials: Mapping[str, int]
    workers: int
    seeds: tuple[int, ...]
    data: str
    epochs: int = 20
    most: int = 1_024
    reduced: tuple[str, ...] = ()


def full(workers: int, data: str) -> Settings:
    """The settings of the published figures."""
    return Settings({"actors": 64, "tune": 64}, workers, (0, 1, 2), data)


def quick(workers: int, data: str) -> Settings:
    """Fewer trials of the rivals, two workers, one seed; ends within a minute."""
    trials = {"actors": 12, "tune": 4}
    reduced: tuple[str, ...] = ("one seed, 2 workers at most", "trials: 12 on actors and 4 by Tune instead of 64")
    epochs = 20
    if data == "adult":
        epochs, reduced = 2, (*reduced, "2 epochs instead of 20")
    return Settings(trials, min(workers, 2), (0,), data, epochs, reduced=reduced)


class _Reached(BaseException):
    """The search has what it was after."""


class Watch(SilentObserver):
    """Observes a study: the best value by seconds since the start, until a trial has ended with the ``wanted`` one.

    ``told`` has trainings under way as well, ``curve`` trials that have ended.
    """

    def __init__(self, wanted: float) -> None:
        self.wanted = wanted
        self.told: list[tuple[float, float]] = []
        self.curve: list[tuple[float, float]] = []
        self.trials_ended = 0
        self._begun = time.perf_counter()

    def trials(self, records: Sequence[Any], best: float | None) -> None:
        """See `losssearch.study.observer.Observer`; ends the search where all is reached."""
        self.trials_ended += len(records)
        if best is not None:
            self._note(self.told, best)
            self._note(self.curve, best)
            if best >= self.wanted:
                raise _Reached

    def underway(self, value: float) -> None:
        """See `losssearch.study.observer.Observer`."""
        self._note(self.told, value)

    def _note(self, curve: list[tuple[float, float]], best: float) -> None:
        if not curve or best > curve[-1][1]:
            curve.append((time.perf_counter() - self._begun, best))


def seconds_to(curve: Sequence[tuple[float, float]], value: float) -> float | None:
    """When ``value`` was reached; None where it was not."""
    return next((moment for moment, best in curve if best >= value), None)


def make_space(kind: str) -> Any:
    """The space of all contestants."""
    from losssearch.space import load_space

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "space.yaml")
        terms = "".join(f"      {term}:\n" for term in TERMS[kind])
        path.write_text(f"task: {kind}\nslots:\n  base:\n    terms:\n{terms}")
        return load_space(path, kind)


def search(workload: Workload, executor: Any, seed: int, most: int, wanted: float) -> Watch:
    """Run losssearch's loop on the workload until ``wanted`` is reached."""
    from losssearch.data import load, partition
    from losssearch.data.replicas import Replicas
    from losssearch.evaluation import get_metric
    from losssearch.storage.records import StudyRecord
    from losssearch.storage.sql import SqlStore
    from losssearch.study.context import Context
    from losssearch.study.loop import Loop
    from losssearch.study.settings import StudySettings
    from losssearch.tasks import get_task
    from losssearch.tracking.tracker import SilentTracker
    from losssearch.training import RATES, default_plan

    class OnWorkload(Context):
        """A study that draws the rows of the workload."""

        def replicas(self, purpose: str, count: int, held: Any = None) -> Replicas:
            return workload.replicas

    kind = "binary" if workload.classes == 2 else "multiclass"
    task, space = get_task(kind), make_space(kind)
    menu = tuple(entry for entry in task.menu if entry.term in TERMS[kind])
    rows = len(workload.table.target)
    plan = replace(default_plan(rows, workload.epochs), batch_size=workload.batch_size)
    dataset = load("builtin:wine", target="target")  # its rows are not looked at
    settings = StudySettings(
        study="race", task=kind, metric=METRIC[kind], space=space.to_json(), model="mlp", plan=plan, rates=RATES,
        seed=seed, trials=most, fingerprint=workload.name, replicas=1,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        watch = Watch(wanted)
        store = SqlStore(f"sqlite:///{folder}/study.db")
        store.create_study(StudyRecord(settings.study, settings.fixed(), "0", "2026-01-01T00:00:00+00:00"))
        context = OnWorkload(
            settings=settings, dataset=dataset, partition=partition(dataset, 0), task=replace(task, menu=menu),
            metric=get_metric(METRIC[kind], kind), space=space, model="mlp", store=store, executor=executor,
            tracker=SilentTracker(), observer=watch,
        )  # fmt: skip
        try:
            Loop(context).run()
        except _Reached:
            pass
        finally:
            store.close()
    return watch


def run(settings: Settings) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Let all race for every seed; figures and ratios."""
    from benchmarks.quality_rivals import RIVALS, Training
    from benchmarks.rivals import cluster
    from losssearch.training import RATES
    from losssearch.training.threads import one_thread

    workload = load_workload(settings.data, settings.epochs)
    kind = "binary" if workload.classes == 2 else "multiclass"
    training = Training(
        workload.table, make_space(kind), workload.width, workload.epochs, workload.batch_size, workload.seed,
        (min(RATES), max(RATES)),
    )  # fmt: skip
    runs = []
    with cluster(settings.workers), one_thread():
        for seed in settings.seeds:
            rivals = {
                name: RIVALS[name][1](training, count, settings.workers, seed)
                for name, count in settings.trials.items()
            }
            wanted = max(course.best for course in rivals.values())
            watch = _ours(workload, settings, seed, wanted)
            runs.append(
                {
                    "seed": seed,
                    "rivals": {name: _figures(course, watch) for name, course in rivals.items()},
                    "losssearch": {"trials": watch.trials_ended, "told": watch.told, "curve": watch.curve},
                }
            )
    work = workload.describe() | {"loss": ", ".join(TERMS[kind]), "metric": METRIC[kind]}
    figures = {"workload": work, "workers": settings.workers, "goal": GOAL, "runs": runs, "reduced": settings.reduced}
    return figures, {name: _ratios(runs, name) for name in settings.trials}


def _ours(workload: Workload, settings: Settings, seed: int, wanted: float) -> Watch:
    """losssearch on as many warm workers."""
    from losssearch.execution.job import Job
    from losssearch.execution.ray import RayExecutor
    from losssearch.training import TrainingPlan

    executor = RayExecutor(settings.workers)
    try:
        executor.share("warm", workload.replicas)
        kind = "binary" if workload.classes == 2 else "multiclass"
        spec = {"parts": [{"term": TERMS[kind][0]}], "decision": "fixed"}
        plan = TrainingPlan(1, workload.batch_size)
        warm = [
            Job(-number, "warm", ((spec, (1e-3,), True),), kind, METRIC[kind], "mlp", plan)
            for number in range(1, settings.workers + 1)
        ]
        list(executor.run(warm))
        return search(workload, executor, seed, settings.most, wanted)
    finally:
        executor.close()


def _figures(course: Any, watch: Watch) -> dict[str, Any]:
    return {
        "trials": len(course.ended),
        "best": course.best,
        "seconds": course.seconds,
        "seconds_to_best": course.seconds_to_best,
        "losssearch_told_seconds": seconds_to(watch.told, course.best),
        "losssearch_seconds": seconds_to(watch.curve, course.best),
    }


def _ratios(runs: Sequence[Mapping[str, Any]], rival: str) -> dict[str, Any]:
    """Time of losssearch over the rival's for all its trials, and over that to its best; None if it never got there.

    Until a trial has ended with the value, and (``told``) until the observer knew of it.
    """
    own = [run["rivals"][rival] for run in runs]
    found: dict[str, Any] = {}
    for name, key in (("of_all_its_trials", "seconds"), ("of_its_time_to_best", "seconds_to_best")):
        for when, reached_at in (("", "losssearch_seconds"), ("_told", "losssearch_told_seconds")):
            shares = [None if one[reached_at] is None else one[reached_at] / one[key] for one in own]
            reached = [share for share in shares if share is not None]
            middle = median(reached) if len(reached) == len(shares) else None
            found[f"{name}{when}"] = {"by_seed": shares, "median": middle}
    return found


def show(result: Mapping[str, Any]) -> None:
    """Print the result as a table."""
    from benchmarks.quality_rivals import RIVALS

    figures = result["figures"]
    work = figures["workload"]
    rows = []
    for run in figures["runs"]:
        for name, own in run["rivals"].items():
            told, ours = own["losssearch_told_seconds"], own["losssearch_seconds"]
            rows.append(
                [
                    f"{RIVALS[name][0]}, seed {run['seed']}",
                    str(own["trials"]),
                    f"{own['best']:.4f}",
                    f"{own['seconds']:.1f}",
                    f"{own['seconds_to_best']:.1f}",
                    "never" if told is None else f"{told:.2f}",
                    "never" if ours is None else f"{ours:.2f}",
                    "never" if told is None else f"{told / own['seconds']:.3f}",
                    "never" if told is None else f"{told / own['seconds_to_best']:.3f}",
                ]
            )
    title = f"{work['data']}, {work['model']}, {work['epochs']} epochs, {work['metric']}, {figures['workers']} workers"
    headings = ("", "trials", "best", "seconds", "to its best", "losssearch told", "ended", "of all", "of to its best")
    print_table(title, headings, rows, [f"goal: {figures['goal']}", *(f"reduced: {x}" for x in figures["reduced"])])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; 2 for bad input."""
    parser = make_parser("time_to_quality", __doc__)
    parser.add_argument("--data", choices=("digits", "adult"), default="digits")
    parser.add_argument("--workers", type=int, default=min(4, len(os.sched_getaffinity(0))), metavar="N")
    options = parse(parser, arguments)
    if options.workers < 1:
        parser.error(f"--workers must be at least 1, got {options.workers}")
    try:
        figures, ratios = run((quick if options.quick else full)(options.workers, options.data))
    except LossSearchError as error:
        parser.error(str(error))
    result = make_result("time_to_quality", figures, ratios, describe_machine(torch_threads=1))
    show(result)
    keep(result, options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())

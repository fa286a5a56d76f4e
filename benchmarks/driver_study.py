"""The study that the driver's benchmark runs: real but for the executor, with its steps timed."""

from __future__ import annotations

import hashlib
import json
import os
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from unittest.mock import patch

from losssearch.data import load, partition
from losssearch.data.replicas import Replicas
from losssearch.evaluation import get_metric
from losssearch.execution import Job
from losssearch.space import load_space
from losssearch.storage.records import StudyRecord, TrialRecord
from losssearch.storage.sql import SqlStore
from losssearch.study.context import Context
from losssearch.study.observer import SilentObserver
from losssearch.study.proposing.proposal import propose
from losssearch.study.proposing.screening import Screen
from losssearch.study.settings import StudySettings
from losssearch.tasks import get_task
from losssearch.tracking.background import BackgroundTracker
from losssearch.tracking.mlflow import MlflowTracker, local_store
from losssearch.tracking.tracker import DatasetInfo, SilentTracker, Tracker
from losssearch.training import RATES, Outcome, default_plan

T = TypeVar("T")
_PAGE = os.sysconf("SC_PAGE_SIZE")


class InstantExecutor:
    """Trains nothing: half of the losses are pruned at a rung, the others get a value, both by a hash of the loss."""

    workers = 0

    def share(self, name: str, replicas: Replicas) -> None:
        """See `Executor.share`."""

    def run(self, jobs: Iterable[Job], heard: object = None) -> Iterator[tuple[Job, list[Outcome]]]:
        """See `Executor.run`."""
        for job in jobs:
            yield job, [_outcome(spec, rates[0]) for spec, rates, _ in job.candidates]

    def close(self) -> None:
        """See `Executor.close`."""


def _outcome(spec: dict[str, Any], rate: float) -> Outcome:
    digest = hashlib.sha256(json.dumps(spec).encode()).digest()
    value = int.from_bytes(digest[:4], "big") / 2**32
    if digest[4] < 128:
        return Outcome("pruned", (value,) * 3, rate, 3, ((3, value),))
    return Outcome("completed", (value - 0.01, value, value + 0.01), rate, 15, ((3, value / 2), (8, value)))


class _Mark(NamedTuple):
    trials: int
    seconds: float
    cpu: float
    memory: float


class Recorder(SilentObserver):
    """Notes time, CPU seconds and resident memory of this process as trials end."""

    def __init__(self) -> None:
        self._marks: list[_Mark] = []

    def start(self) -> None:
        """From here on it counts."""
        self._marks = [_mark(0)]

    def trials(self, records: Sequence[TrialRecord], best: float | None) -> None:
        """See `Observer.trials`."""
        if self._marks and records:
            self._marks.append(_mark(self._marks[-1].trials + len(records)))

    def figures(self, menu: int) -> dict[str, Any]:
        """Rates of menu and proposals, how the rate of proposals changed, memory at tenths of the trials, MiB."""
        first, last = self._marks[0], self._marks[-1]
        middle = self._at(menu)
        fifth = (last.trials - middle.trials) // 5
        early = _rates(middle, self._at(middle.trials + fifth))
        late = _rates(self._at(last.trials - fifth), last)
        return {
            "seconds": last.seconds - first.seconds,
            "cpu_seconds": last.cpu - first.cpu,
            "menu": _rates(first, middle),
            "searched": _rates(middle, last),
            "last_fifth_to_first": late["trials_per_cpu_second"] / early["trials_per_cpu_second"],
            "memory_mib": [round(self._at(last.trials * tenth // 10).memory, 1) for tenth in range(11)],
        }

    def _at(self, trials: int) -> _Mark:
        return next(mark for mark in self._marks if mark.trials >= trials)


def _mark(trials: int) -> _Mark:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return _Mark(trials, time.perf_counter(), time.process_time(), pages * _PAGE / 2**20)


def _rates(begin: _Mark, end: _Mark) -> dict[str, float]:
    count = end.trials - begin.trials
    return {
        "trials": count,
        "trials_per_second": count / max(end.seconds - begin.seconds, 1e-9),
        "trials_per_cpu_second": count / max(end.cpu - begin.cpu, 1e-9),
    }


def make_context(
    folder: Path, trials: int, replicas: int, storage: str, observer: SilentObserver, *, mlflow: bool
) -> Context:
    """A new study of digits, as the command line would set it up, with nobody to train for it."""
    dataset = load("builtin:digits", target="target")
    task, metric = get_task("multiclass"), get_metric("balanced_accuracy", "multiclass")
    space = load_space(task.space, task.kind)
    settings = StudySettings(
        study=f"benchmark-{uuid.uuid4().hex[:12]}",
        task=task.kind,
        metric=metric.name,
        space=space.to_json(),
        model="mlp",
        plan=default_plan(800),
        rates=RATES,
        seed=0,
        trials=trials,
        fingerprint=dataset.fingerprint,
        replicas=replicas,
    )
    store = SqlStore(storage or f"sqlite:///{folder}/study.db")
    store.create_study(StudyRecord(settings.study, settings.fixed(), "0", "2026-01-01T00:00:00+00:00"))
    store.acquire(settings.study)
    tracker: Tracker = SilentTracker()
    if mlflow:
        uri, artifacts = local_store(folder)
        tracker = BackgroundTracker(MlflowTracker(uri, artifacts=artifacts), folder / "spool.jsonl")
        info = DatasetInfo(dataset.name, dataset.fingerprint, dataset.rows, 64, "target", dataset.name)
        tracker.start(settings.study, {}, {}, info)
    return Context(
        settings=settings,
        dataset=dataset,
        partition=partition(dataset, 0),
        task=task,
        metric=metric,
        space=space,
        model="mlp",
        store=store,
        executor=InstantExecutor(),
        tracker=tracker,
        observer=observer,
    )


@contextmanager
def timed(context: Context) -> Iterator[dict[str, float]]:
    """Seconds that the loop spends in proposals, screening, store and tracker, and those in between, as they add up."""
    spent = dict.fromkeys(("propose", "screen", "store", "track"), 0.0)
    begun = time.perf_counter()

    def watch(name: str, function: Callable[..., T]) -> Callable[..., T]:
        def watched(*arguments: Any, **named: Any) -> T:
            since = time.perf_counter()
            try:
                return function(*arguments, **named)
            finally:
                spent[name] += time.perf_counter() - since

        return watched

    with (
        patch("losssearch.study.loop.propose", watch("propose", propose)),
        patch.object(Screen, "__call__", watch("screen", Screen.__call__)),
        patch.object(context.store, "save_trials", watch("store", context.store.save_trials)),
        patch.object(context.tracker, "log_trials", watch("track", context.tracker.log_trials)),
    ):
        yield spent
        spent["other"] = time.perf_counter() - begun - sum(spent.values())

"""A study over a real store whose executor answers at once."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import torch

from losssearch.data import load, partition
from losssearch.evaluation import get_metric
from losssearch.execution import Job
from losssearch.losses.spec import LossSpec
from losssearch.space import load_space
from losssearch.storage.records import StudyRecord
from losssearch.storage.sql import SqlStore
from losssearch.study.context import Context
from losssearch.study.observer import SilentObserver
from losssearch.study.settings import StudySettings
from losssearch.tasks import get_task
from losssearch.tracking.tracker import SilentTracker
from losssearch.training import Outcome, TrainingPlan


class Oracle:
    """An executor that says at once how good a loss is: the nearer its key to a fixed number, the better."""

    workers = 0

    def __init__(self, *, failing: str = "", dying: int | None = None) -> None:
        self.failing, self.dying = failing, dying
        self.jobs: list[Job] = []
        self.rows: dict[str, dict[str, int]] = {}

    def share(self, name: str, replicas: object) -> None:
        self.rows[name] = {key: own["target"].shape[1] for key, own in replicas.held.items()}  # type: ignore[attr-defined]

    def run(self, jobs: Iterable[Job], heard: object = None) -> Iterator[tuple[Job, list[Outcome]]]:
        for job in jobs:
            if self.dying is not None and len(self.jobs) >= self.dying:
                raise KeyboardInterrupt
            self.jobs.append(job)
            yield job, [self._outcome(job, LossSpec.from_json(spec)) for spec, _, _ in job.candidates]

    def _outcome(self, job: Job, spec: LossSpec) -> Outcome:
        if self.failing and self.failing in spec.formula():
            return Outcome("failed", reason="diverged")
        value = int(spec.key[:4], 16) / 65_536
        held = {}
        if job.hold:
            for part, rows in self.rows[job.replicas].items():
                torch.manual_seed(int(spec.key[:6], 16))
                held[part] = torch.randn(2, rows, 3).numpy()
        return Outcome("completed", utilities=(value, value + 0.01), rate=job.candidates[0][1][0], epochs=3, held=held)

    def close(self) -> None: ...


def context(folder: Path, executor: Oracle, *, trials: int = 40, store: SqlStore | None = None) -> Context:
    dataset = load("builtin:wine", target="target")
    task = get_task("multiclass")
    space = load_space("multiclass", "multiclass")
    settings = StudySettings(
        study="study",
        task="multiclass",
        metric="accuracy",
        space=space.to_json(),
        model="linear",
        plan=TrainingPlan(epochs=2, batch_size=32),
        rates=(0.01,),
        seed=0,
        trials=trials,
        fingerprint=dataset.fingerprint,
        confirm_seeds=2,
        replicas=2,
    )
    opened = store or SqlStore(f"sqlite:///{folder}/study.db")
    if "study" not in opened.studies():
        opened.create_study(StudyRecord("study", settings.fixed(), "0", "2026-01-01T00:00:00+00:00"))
    return Context(
        settings=settings,
        dataset=dataset,
        partition=partition(dataset, 0),
        task=task,
        metric=get_metric("accuracy", "multiclass"),
        space=space,
        model="linear",
        store=opened,
        executor=executor,
        tracker=SilentTracker(),
        observer=SilentObserver(),
    )

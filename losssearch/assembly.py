"""The composition root: from a user's options to a study with its data, store, executor and tracker."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from losssearch import __version__
from losssearch.data import Dataset, load, partition
from losssearch.data.sources import Data
from losssearch.data.splits import SMALL
from losssearch.errors import OptionError
from losssearch.evaluation import get_metric
from losssearch.execution import Executor, InProcessExecutor
from losssearch.execution.resources import WorkerResources, parse_memory, worker_resources
from losssearch.models import LoopedModule, ModelFactory, build_model, resolve_model
from losssearch.search.context import Context
from losssearch.search.observer import Observer
from losssearch.search.settings import StudySettings
from losssearch.space import load_space
from losssearch.storage.records import StudyRecord
from losssearch.storage.sql import SqlStore
from losssearch.storage.store import Store
from losssearch.tasks import get_task
from losssearch.tracking.background import BackgroundTracker
from losssearch.tracking.tracker import DatasetInfo, SilentTracker, Tracker
from losssearch.training import RATES, default_plan

RUNS = Path("losssearch-runs")

SMALL_JOB = 6e11
"""Floating-point operations below which a cluster's start would cost more than it saves (about 20 s of one core)."""


@dataclass(frozen=True)
class Options:
    """What `losssearch.search` was asked for; see there."""

    data: Data
    target: str | None = None
    metric: str | None = None
    task: str | None = None
    model: str | ModelFactory = "mlp"
    space: str | Path | None = None
    drop: Sequence[str] = ()
    positive: object = None
    drop_missing_target: bool = False
    max_rows: int | None = None
    trials: int = 128
    time_budget: float | None = None
    epochs: int | None = None
    confirm_seeds: int = 5
    workers: int | None = None
    ray_address: str | None = None
    cpus_per_worker: float | None = None
    gpus_per_worker: float | None = None
    memory_per_worker: str | None = None
    device: str = "auto"
    study: str | None = None
    resume: bool = False
    storage: str | None = None
    tracking_uri: str | None = None
    mlflow: bool = True
    out: str | Path | None = None
    seed: int = 0
    started: float | None = None
    """When the clock of a time budget began, of ``time.monotonic``; now where left out."""


@dataclass(frozen=True)
class Assembled:
    """A study ready to run: ``result`` is that of a finished study that was resumed."""

    context: Context
    out: Path
    result: dict[str, Any] | None


def replicas_for(rows: int) -> int:
    """On how many draws a search judges each candidate: few rows need many."""
    return next(count for limit, count in ((SMALL, 5), (20_000, 3), (100_000, 2), (1 << 62, 1)) if rows < limit)


def assemble(options: Options, observer: Observer) -> Assembled:
    """Check everything, and only then write anything; raise `InputError` for what cannot be used."""
    dataset = load(
        options.data,
        target=options.target,
        task=options.task,
        drop=options.drop,
        positive=options.positive,
        drop_missing_target=options.drop_missing_target,
        max_rows=options.max_rows,
    )
    task = get_task(dataset.task)
    metric = get_metric(options.metric or task.metric, task.kind)
    space = load_space(options.space or task.space, task.kind)
    parts = partition(dataset, options.seed)
    device = _device(options.device)
    study, out = _place(options, dataset, metric.name)
    rows = round(0.8 * len(parts.search)) if dataset.rows < SMALL else round(0.75 * len(parts.search))
    settings = StudySettings(
        study=study,
        task=task.kind,
        metric=metric.name,
        space=space.to_json(),
        model=_model_name(options.model),
        plan=default_plan(rows, options.epochs),
        rates=RATES,
        seed=options.seed,
        trials=options.trials,
        fingerprint=dataset.fingerprint,
        confirm_seeds=options.confirm_seeds,
        time_budget=options.time_budget,
        replicas=replicas_for(dataset.rows),
    )
    factory = resolve_model(options.model)
    model = build_model(factory, len(dataset.schema.columns), task.width(len(dataset.classes)))
    if isinstance(model, LoopedModule):
        observer.note("the model cannot be stacked (buffers, dropout or control flow): members train one by one")
    workers = _workers(options, settings, dataset, device, observer)
    for line in dataset.notes:
        observer.note(line)
    resources = _resources(options, factory, workers, device)
    out.mkdir(parents=True, exist_ok=True)
    store = SqlStore(options.storage or f"sqlite:///{out / 'study.db'}", create=not options.resume)
    tracker: Tracker = SilentTracker()
    try:
        result = _enter(store, settings, options)
        tracker = _tracker(options, out)  # sets itself up in its own thread, while the executor starts
        executor = _executor(options, workers, resources, observer)
        _open_record(tracker, options, settings, dataset, store)
    except BaseException:
        tracker.close("FAILED")
        store.close()
        raise
    context = Context(
        settings=settings,
        dataset=dataset,
        partition=parts,
        task=task,
        metric=metric,
        space=space,
        model=factory,
        store=store,
        executor=executor,
        tracker=tracker,
        observer=observer,
        device=device,
        started=time.monotonic() if options.started is None else options.started,
    )
    return Assembled(context, out, result)


def _device(name: str) -> str:
    if name not in ("auto", "cpu", "cuda"):
        raise OptionError(f"--device must be auto, cpu or cuda, got {name!r}")
    if name == "cuda" and not torch.cuda.is_available():
        raise OptionError("--device cuda needs a CUDA device and a PyTorch built for it; none was found")
    return "cuda" if name != "cpu" and torch.cuda.is_available() else "cpu"


def _place(options: Options, dataset: Dataset, metric: str) -> tuple[str, Path]:
    """The study's name and folder: as asked, or from data and metric, with a number where it is taken."""
    if options.study is not None and not re.fullmatch(r"[\w.+-]{1,100}", options.study):
        raise OptionError(f"--study must be 1 to 100 letters, digits, '.', '_', '+' or '-', got {options.study!r}")
    if options.out is not None:
        out = Path(options.out)
        if out.exists() and not out.is_dir():
            raise OptionError(f"--out must be a folder, but {out} is a file")
        name = options.study or re.sub(r"[^\w.+-]", "-", out.resolve().name)
    elif options.study is not None:
        name, out = options.study, RUNS / options.study
    else:
        base = re.sub(r"[^\w.+-]+", "-", f"{dataset.name}-{metric}").strip("-")
        names = [base, *(f"{base}-{number}" for number in range(2, 10_000))]
        taken = [name for name in names if (RUNS / name / "study.db").exists()]
        name = (taken or [base])[-1] if options.resume else next(n for n in names if n not in taken)
        out = RUNS / name
    if options.storage is None:
        exists = (out / "study.db").exists()
        if exists and not options.resume:
            raise OptionError(f"{out} holds a study: go on with it by --resume, or give another --out")
        if options.resume and not exists:
            raise OptionError(f"--resume needs a study to go on with, but {out} holds none")
    return name, out


def _model_name(model: str | ModelFactory) -> str:
    return model if isinstance(model, str) else f"{model.__module__}:{getattr(model, '__qualname__', repr(model))}"


def _workers(options: Options, settings: StudySettings, dataset: Dataset, device: str, observer: Observer) -> int:
    if options.workers is not None:
        if not 0 <= options.workers <= 4096:
            raise OptionError(f"--workers must lie in [0, 4096], got {options.workers}")
        return options.workers
    if options.ray_address:
        return os.cpu_count() or 1
    if device == "cuda":
        observer.note("one CUDA device: training in this process")
        return 0
    columns = len(dataset.schema.columns) * 3  # encoded, roughly
    trainings = settings.trials * len(settings.rates) * settings.replicas * 0.4
    operations = trainings * settings.plan.epochs * dataset.rows * 0.45 * 6 * (columns * 64 + 64 * 64)
    cores = len(os.sched_getaffinity(0))
    if operations < SMALL_JOB or cores == 1:
        observer.note("a small study: training in this process, without a Ray cluster (--workers N asks for one)")
        return 0
    return cores


def _resources(options: Options, factory: str | ModelFactory, workers: int, device: str) -> WorkerResources:
    """As asked, else as the model's factory declares, else one core and, on CUDA, a share of the device."""
    gpus = options.gpus_per_worker
    if gpus is None and device == "cuda" and workers and getattr(factory, "num_gpus", None) is None:
        gpus = 1 / workers
    memory = None if options.memory_per_worker is None else parse_memory(options.memory_per_worker)
    return worker_resources(factory, cpus=options.cpus_per_worker, gpus=gpus, memory=memory)


def _executor(options: Options, workers: int, resources: WorkerResources, observer: Observer) -> Executor:
    if workers == 0:
        return InProcessExecutor()
    from losssearch.execution.ray import RayExecutor

    return RayExecutor(workers, options.ray_address, resources=resources, note=observer.note)


def _enter(store: Store, settings: StudySettings, options: Options) -> dict[str, Any] | None:
    """Create or re-open the study and become its driver; the result, where it is finished already."""
    config = settings.fixed()
    if not options.resume:
        created = datetime.now(UTC).isoformat(timespec="seconds")
        store.create_study(StudyRecord(settings.study, config | {"trials": settings.trials}, __version__, created))
    record = store.study(settings.study)
    found = {key: value for key, value in record.config.items() if key != "trials"}
    if differing := [key for key in config if found.get(key) != config[key]]:
        raise OptionError(
            f"--resume needs the options of the study it goes on with; these differ: {', '.join(differing)}; "
            "repeat the first command, or start another --study"
        )
    store.acquire(settings.study)
    trials = record.result["trials"]["total"] if record.result else 0
    return record.result if trials >= settings.trials else None


def _tracker(options: Options, out: Path) -> Tracker:
    if not options.mlflow:
        return SilentTracker()
    from losssearch.tracking.mlflow import MlflowTracker, local_store

    if options.tracking_uri:
        inner = MlflowTracker(options.tracking_uri)
    else:
        uri, artifacts = local_store(out)
        inner = MlflowTracker(uri, artifacts=artifacts)
    return BackgroundTracker(inner, out / "mlflow-spool.jsonl")


def _open_record(tracker: Tracker, options: Options, settings: StudySettings, dataset: Dataset, store: Store) -> None:
    """Open the study's record, or go on with the one that the store knows of."""
    info = DatasetInfo(
        name=dataset.name,
        fingerprint=dataset.fingerprint,
        rows=dataset.rows,
        features=len(dataset.schema.columns),
        target=options.target or "target",
        source=options.data if isinstance(options.data, str) else dataset.name,
    )
    params = settings.fixed() | {"trials": settings.trials}
    del params["space"]
    known = store.study(settings.study).tracking
    tags = {"losssearch.version": __version__}
    tracking = tracker.start(settings.study, params, tags, info, run_id=known.get("run_id"))
    if tracking:
        store.save_tracking(settings.study, tracking)

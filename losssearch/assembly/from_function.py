"""A study that calls a user's training function."""

from __future__ import annotations

import math
import time
from typing import cast

from losssearch.assembly.place import Place
from losssearch.assembly.spaces import refuse_restarts, refuse_validation, space_of
from losssearch.assembly.surroundings import Assembled, open_surroundings
from losssearch.assembly.workers import device_of, resources_of, workers_asked
from losssearch.errors import OptionError, UnknownNameError, shown
from losssearch.evaluation import get_metric
from losssearch.evaluation.record import Direction
from losssearch.execution.resources import WorkerResources
from losssearch.request import Request
from losssearch.space import aim
from losssearch.study.budget import trials_of
from losssearch.study.observer import Observer, Recorder
from losssearch.study.settings import StudySettings
from losssearch.study.user_study import FunctionContext, NamedMetric, one_decision
from losssearch.tasks import TASKS, get_kind, get_task
from losssearch.tracking.tracker import DatasetInfo
from losssearch.training import TrainingPlan
from losssearch.training.user_function import TrainFunction

EPOCHS = 20
"""What a function is told to train for, where the user says nothing."""

DATA_ONLY = {
    "target": None,
    "model": "mlp",
    "drop": (),
    "positive": None,
    "drop_missing_target": False,
    "max_rows": None,
    "test": None,
    "group": None,
    "time": None,
    "split": None,
    "time_as_feature": False,
    "weight": None,
    "exposure": None,
    "query": None,
    "sample_weight": None,
    "sensitive": None,
    "sensitive_as_feature": False,
    "constraints": (),
    "objectives": (),
    "group_thresholds": False,
    "private_epsilon": None,
    "average": False,
    "warm_start": None,
}
"""Options of data and model, which a training function brings itself, with their defaults."""


def assemble_function(place: Place, train: TrainFunction, observer: Observer) -> Assembled:
    """Check everything, and only then write more than a claim; raise `InputError` for what cannot be used."""
    options = place.options
    if not callable(train):
        raise OptionError(f"train must be a function of (loss, trial), got {shown(train)}")
    if given := [name for name, default in DATA_ONLY.items() if getattr(options, name) not in (default, [])]:
        raise OptionError(
            f"a training function brings its own data and model: leave out {', '.join(given)}, or give data instead"
        )
    if options.task is None:
        raise OptionError(
            f"a training function must come with task= ({', '.join(TASKS)}): it says what a loss reads, and which "
            "losses are the menu"
        )
    task = one_decision(get_task(options.task))
    source = getattr(train, "__qualname__", type(train).__qualname__)
    prior = class_prior_of(options)
    metric = metric_of(options)
    numbers = dict(metric.aims)
    space, task = aim(space_of(options, task), numbers), task.aimed(numbers)
    refuse_validation(space, "a training function of your own is given losses that stay as they are")
    refuse_restarts(space, "a training function of your own trains its model once")
    device = device_of(options.device)
    place.settle(f"{source.rpartition('.')[2]}-{metric.name}")
    options = place.options
    epochs = EPOCHS if options.epochs is None else options.epochs
    settings = StudySettings(
        study=place.study,
        task=task.kind,
        metric=metric.name,
        space=space.to_json(),
        model=f"{getattr(train, '__module__', type(train).__module__)}:{source}",
        plan=TrainingPlan(epochs=epochs, batch_size=1, patience=max(1, epochs)),
        rates=() if options.rates is None else tuple(options.rates),
        seed=options.seed,
        trials=trials_of(options.trials, options.seconds),
        fingerprint="",
        confirm_seeds=options.confirm_seeds,
        prefer_known=options.prefer_known,
        time_budget=options.seconds,
        replicas=1 if options.draws is None else options.draws,
        data={"direction": metric.direction, "class_prior": list(prior)},
    )
    said = Recorder(observer)
    workers = _workers(options, said)
    resources = resources_of(options, train, workers, device)
    info = DatasetInfo(name=source, fingerprint="", rows=0, features=0, target="", source=settings.model)
    opened = open_surroundings(place, settings, info, (workers, resources), said)
    context = FunctionContext(
        settings=settings,
        task=task,
        metric=metric,
        space=space,
        function=train,
        source=source,
        class_prior=prior,
        threads=max(1, math.floor(resources.cpus)),
        store=opened.store,
        executor=opened.executor,
        tracker=opened.tracker,
        observer=said,
        run_notes=said.notes,
        device=_where(options, device, workers, resources),
        started=time.monotonic() if options.started is None else options.started,
    )
    return Assembled(context, place.folder, opened.entered)


def metric_of(options: Request) -> NamedMetric:
    """The metric by the user's name for it: any name, and of one that the catalogue knows, its direction."""
    name, asked = options.metric, options.direction
    if not name or not isinstance(name, str):
        raise OptionError("a training function must come with metric=NAME: what its values are called")
    if asked not in (None, "maximize", "minimize"):
        raise OptionError(f"direction must be maximize or minimize, got {shown(asked)}")
    try:
        known = get_metric(name, options.task or "")
    except (OptionError, UnknownNameError):
        return NamedMetric(name, cast("Direction", asked or "maximize"))
    if asked not in (None, known.direction):
        raise OptionError(f"{name} is a metric to {known.direction}, got direction={asked}: give yours another name")
    return NamedMetric(name, known.direction, known.unit, known.aims)


def class_prior_of(options: Request) -> tuple[float, ...]:
    """The share of each class, even where the user says only how many there are; empty for regression."""
    given, classes = options.class_prior, options.classes
    target = get_kind(str(options.task)).target
    if not target.nominal:
        if given is not None or classes is not None:
            raise OptionError(f"classes and class_prior are for tasks with classes, not for {options.task}")
        return ()
    if classes is None:
        classes = target.count or (None if given is None else len(given))
    if classes is None:
        raise OptionError(f"task {options.task} must come with classes=N, or with class_prior, the share of each class")
    if isinstance(classes, bool) or not isinstance(classes, int) or not 2 <= classes <= 100_000:
        raise OptionError(f"classes must be a whole number of at least 2, got {shown(classes)}")
    if target.count is not None and classes != target.count:
        raise OptionError(f"task {options.task} has {target.count} classes, got {classes}")
    shares = [1.0 / classes] * classes if given is None else [float(share) for share in given]
    if len(shares) != classes or not all(0 < share < math.inf for share in shares):
        raise OptionError(f"class_prior must be {classes} shares above 0, got {shown(list(given or ()))}")
    return tuple(share / sum(shares) for share in shares)


def _workers(options: Request, observer: Observer) -> int:
    asked = workers_asked(options)
    if asked is None:
        observer.note("the training function is called in this process; workers=N calls it in N processes at once")
        return 0
    return asked


def _where(options: Request, device: str, workers: int, resources: WorkerResources) -> str:
    """A worker that was given a GPU uses it, also where this machine has none."""
    return "auto" if options.device == "auto" and workers and resources.gpus else device

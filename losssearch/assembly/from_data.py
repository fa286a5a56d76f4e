"""A study on a dataset."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, replace
from pathlib import Path

from losssearch.assembly.cells import check_cells, warn_of_cells, with_cells
from losssearch.assembly.fairness import Fairness, bound_space, read_fairness, warn
from losssearch.assembly.library import likeness_of, warm_started
from losssearch.assembly.place import Place
from losssearch.assembly.preflight import try_own
from losssearch.assembly.spaces import NOISY, fitted_space, refuse_validation, space_of
from losssearch.assembly.surroundings import Assembled, open_surroundings
from losssearch.assembly.workers import device_of, resources_of, workers_asked
from losssearch.data import Dataset, load, partition
from losssearch.data.given_splits import Given
from losssearch.data.leaks import leaks
from losssearch.data.quality.looking import Seen, look
from losssearch.data.sources import Data
from losssearch.data.splits import SMALL, trained_share
from losssearch.data.weights import effective_rows
from losssearch.errors import OptionError
from losssearch.evaluation import Metric
from losssearch.evaluation.fairness import decision_quality
from losssearch.evaluation.record import MetricFunction
from losssearch.evaluation.registry import asked_metric, kinds_of
from losssearch.execution.resources import parse_memory
from losssearch.models import LoopedModule, ModelFactory, build_model, is_boosted, resolve_model
from losssearch.option_names import option
from losssearch.request import DEFAULTS, Request
from losssearch.space import SearchSpace, aim
from losssearch.study.budget import TRIALS, trials_of
from losssearch.study.context import Context
from losssearch.study.observer import Observer, Recorder
from losssearch.study.settings import StudySettings
from losssearch.tasks import Task, attribute_task, fair_task, get_kind, get_task, worst_cell_task
from losssearch.tracking.tracker import DatasetInfo
from losssearch.training import RATES, default_plan
from losssearch.training.boosting import BOOSTED_RATES, boosted_plan
from losssearch.training.plan import AVERAGE
from losssearch.training.private import Privacy, check_private

SMALL_JOB = 6e11
"""Floating-point operations below which a cluster's start would cost more than it saves (about 20 s of one core)."""

FUNCTION_ONLY = ("direction", "classes", "class_prior")
"""Options that say of a training function what a dataset, or the name of a metric, says itself."""

FRONT_RATES = (2e-3, 6e-3)
"""Learning rates of a front: its models differ by strength of penalty, and hardly gain from more rates."""


def _rates(trees: bool, *, front: bool) -> tuple[float, ...]:
    if trees:
        return BOOSTED_RATES
    return FRONT_RATES if front else RATES


def replicas_for(rows: int) -> int:
    """On how many draws a search judges each candidate: few rows need many."""
    return next(count for limit, count in ((SMALL, 5), (20_000, 3), (100_000, 2), (1 << 62, 1)) if rows < limit)


@dataclass(frozen=True)
class Question:
    """What is asked of a dataset: which losses, judged by which metric, under which demands."""

    task: Task
    metric: Metric
    space: SearchSpace
    fairness: Fairness


def assemble_data(place: Place, observer: Observer) -> Assembled:
    """Check everything, and only then write more than a claim; raise `InputError` for what cannot be used."""
    options, data = place.options, place.options.data
    assert data is not None  # noqa: S101  (a study without them has a function)
    said_elsewhere = FUNCTION_ONLY[1:] if callable(options.metric) else FUNCTION_ONLY
    if given := [name for name in said_elsewhere if getattr(options, name) is not None]:
        raise OptionError(
            f"{', '.join(given)} must be given with train=FUNCTION alone, and direction also with a metric that is a "
            "function: a dataset, and a metric by name, say it themselves"
        )
    said = Recorder(observer)  # of this run, workers and devices included
    told = Recorder(said)  # of the study alone
    dataset = _load(options, data)
    privacy = _privacy(options)
    question = _question(options, dataset)
    if is_boosted(options.model):
        refuse_heads(str(options.model), question.task, len(dataset.classes))
        refuse_validation(question.space, f"{options.model} grows trees from losses that stay as they are")
        if options.average:
            raise OptionError(f"{option('average')} averages the weights of a network, and {options.model} has none")
    if dataset.stored is not None:
        refuse_validation(
            question.space, f"the rows are streamed from disk ({option('max_rows')} keeps some in memory)"
        )
    dataset = with_cells(dataset, question.metric)
    parts = partition(dataset, options.seed)
    try_own(dataset, parts, question.task, question.metric, question.space)
    few = list(warn_of_cells(question.metric, dataset, parts))
    seen = look(dataset, parts.search)
    dataset = replace(dataset, notes=(*dataset.notes, *map(str, leaks(dataset, parts.search)), *seen.lines))
    # Trees are grown on the CPU, whatever else the machine has.
    device = device_of("cpu" if is_boosted(options.model) and options.device == "auto" else options.device)
    place.settle(f"{dataset.name}-{question.metric.name}")
    options = place.options
    question = replace(question, space=_fitted(question, seen, dataset, place, told))
    if options.warm_start is not None:
        here = likeness_of(question.task.kind, question.metric.name, dataset, parts)
        question = replace(question, space=warm_started(question.space, place, here, told))
    settings = _settings(options, dataset, question, place.study, len(parts.search))
    factory = resolve_model(options.model)
    model = build_model(factory, len(dataset.schema.columns), question.task.widths(len(dataset.classes)), device)
    if isinstance(model, LoopedModule):
        told.note("the model cannot be stacked (buffers, dropout or control flow): members train one by one")
    workers = _workers(options, settings, dataset, device, said)
    for line in (*dataset.notes, *few):
        told.note(line)
    if dataset.given is not None:
        sizes = f"{len(parts.search)}, {len(parts.confirmation)} and {len(parts.test)} rows"
        told.note(f"the split: {dataset.given.facts['text']}; {sizes}")
    if dataset.coarse:
        told.note(
            "many rows are equal except for the target: they are split as different cases, not kept together as copies"
        )
    if dataset.weight is not None:
        weighed = f"{effective_rows(dataset.weight):,.0f} of {dataset.rows:,} rows if all weighed the same"
        told.note(f"rows count by their weight, in training, metrics and intervals: as much as {weighed}")
    warn(question.fairness, dataset, told, as_feature=settings.sensitive_as_feature)
    info = DatasetInfo(
        name=dataset.name,
        fingerprint=dataset.fingerprint,
        rows=dataset.all_rows,
        features=len(dataset.schema.columns),
        target=", ".join([options.target] if isinstance(options.target, str) else options.target or ["target"]),
        source=_source(data) or dataset.name,
    )
    resources = resources_of(options, factory, workers, device)
    opened = open_surroundings(place, settings, info, (workers, resources), said)
    context = Context(
        settings=settings,
        dataset=dataset,
        partition=parts,
        task=question.task,
        metric=question.metric,
        space=question.space,
        model=factory,
        store=opened.store,
        executor=opened.executor,
        tracker=opened.tracker,
        observer=said,
        notes=[line for line in told.notes if line not in dataset.notes],
        run_notes=said.notes,
        device=device,
        started=time.monotonic() if options.started is None else options.started,
        references=options.references,
        seen=seen,
    )
    return Assembled(context, place.folder, opened.entered, privacy)


def _fitted(question: Question, seen: Seen, dataset: Dataset, place: Place, observer: Observer) -> SearchSpace:
    found = fitted_space(question.space, seen, dataset, question.task, place)
    if found is not question.space:
        more, own = NOISY.format(question.task.kind), option("space", question.task.space)
        observer.note(
            f"losses against wrong labels, those of the space {more}, are searched too; {own} leaves them out"
        )
    return found


def _load(options: Request, data: Data) -> Dataset:
    dataset = load(
        data,
        target=options.target,
        task=options.task,
        drop=options.drop,
        positive=options.positive,
        drop_missing_target=options.drop_missing_target,
        max_rows=options.max_rows,
        memory=None if options.data_memory is None else parse_memory(options.data_memory),
        stream=not is_boosted(options.model),
        sensitive=options.sensitive,
        sensitive_as_feature=options.sensitive_as_feature or options.group_thresholds,
        given=_given(options),
        kinds=_kinds(options),
    )
    return dataset if options.data_name is None else replace(dataset, name=options.data_name)


def _kinds(options: Request) -> tuple[str, ...]:
    """The kinds of task that the metric is for; empty where none is named, or none that is known."""
    named = (options.metric, *options.objectives)
    return next((kinds for name in named if name and (kinds := kinds_of(name))), ())


def _given(options: Request) -> Given:
    """The user's own splits and weights; raises `OptionError` for those that contradict each other."""
    if options.weight is not None and options.sample_weight is not None:
        raise OptionError("weight and sample_weight are one and the same: give one of them")
    weight = options.sample_weight if options.weight is None else options.weight
    return Given(options.test, options.group, options.time, options.split, options.time_as_feature, weight)


def _question(options: Request, dataset: Dataset) -> Question:
    task = get_task(dataset.task)
    fairness = read_fairness(options, task, dataset.attribute)
    metric = _metric(options.metric or fairness.metric or task.metric, task.kind, options.direction)
    check_cells(metric, fairness, dataset)
    if metric.view.thresholded and (fairness.demanded or options.group_thresholds):
        decision_quality(metric)  # raises where no threshold can be found for it within limits
    if fairness.demanded and dataset.attribute is not None:
        task = attribute_task(task)
    elif fairness.demanded:
        task = fair_task(task, fairness.statistics(task.kind), front=bool(fairness.front))
    elif metric.cells:
        task = worst_cell_task(task)
    metric.check_target(dataset.target)
    if dataset.weight is not None:
        metric.check_weights()
        _refuse_weights(options, fairness)
    space = space_of(options, task, grouped=bool(fairness.sensitive))
    numbers = dict(metric.aims)
    return Question(task.aimed(numbers), metric, aim(bound_space(space, fairness, task), numbers), fairness)


def _source(data: Data) -> str:
    """What a tracker may know of where the data come from: no folder of this machine."""
    if not isinstance(data, str | Path):
        return ""
    named = str(data)
    return named if named.startswith(("builtin:", "openml:")) else Path(named).name


def _metric(name: str | MetricFunction, task: str, direction: str | None) -> Metric:
    try:
        return asked_metric(name, task, direction)
    except OptionError as error:
        if isinstance(name, str) and (fitting := kinds_of(name)):
            raise OptionError(f"{error}; or read the target as {' or '.join(fitting)}, by {option('task')}") from None
        raise


def refuse_heads(model: str, task: Task, classes: int) -> None:
    """Raise `OptionError` where trees cannot put out what the task's losses read."""
    if task.width(classes) not in (1, classes) or get_kind(task.kind).target.columns > 1:
        heads = ", ".join(f"{name} ({width})" for name, width in task.widths(classes).items())
        raise OptionError(
            f"{model} puts out one score per sample, or one per class; task {task.kind} has {heads}: give a network, "
            f"such as {option('model', 'mlp')}"
        )


def _refuse_weights(options: Request, fairness: Fairness) -> None:
    """Raise `OptionError` for what promises something of each row, whatever it weighs."""
    asked = option("private_epsilon") if options.private_epsilon is not None else ""
    if fairness.demanded:
        asked = option("objectives") if fairness.front else option("constraints")
    if asked:
        raise OptionError(
            f"{option('weight')} and {asked} do not go together: what is promised of rows is promised of each, "
            f"not by weight; "
            "leave out one of them"
        )


def _settings(options: Request, dataset: Dataset, question: Question, study: str, searched: int) -> StudySettings:
    """What is stored of the study; ``searched`` counts the rows of the search part."""
    trees, front = is_boosted(options.model), question.fairness.front
    trained = round(trained_share(dataset) * searched)
    trained += dataset.all_rows - dataset.rows
    settings = StudySettings(
        study=study,
        task=question.task.kind,
        metric=question.metric.name,
        metric_source=question.metric.source,
        space=question.space.to_json(),
        model=_model_name(options.model),
        plan=boosted_plan(trained, options.epochs)
        if trees
        else replace(
            default_plan(trained, options.epochs, len(dataset.classes)), average=AVERAGE if options.average else None
        ),
        rates=_rates(trees, front=bool(front)) if options.rates is None else tuple(options.rates),
        seed=options.seed,
        trials=trials_of(options.trials, options.seconds),
        fingerprint=dataset.fingerprint,
        confirm_seeds=options.confirm_seeds,
        prefer_known=options.prefer_known,
        time_budget=options.seconds,
        replicas=replicas_for(dataset.all_rows) if options.draws is None else options.draws,
        sensitive=question.fairness.sensitive,
        sensitive_as_feature=options.sensitive_as_feature or options.group_thresholds,
        constraints=question.fairness.constraints,
        front=front,
        confidence=options.confidence,
        group_thresholds=options.group_thresholds,
        splits=_given(options).described(),
    )
    if not settings.rates:
        raise OptionError(f"{option('rates')} must hold at least one learning rate")
    return settings


def _privacy(options: Request) -> Privacy | None:
    if options.private_epsilon is None:
        if options.private_delta != DEFAULTS["private_delta"]:
            raise OptionError(
                f"{option('private_delta')} goes with {option('private_epsilon')}, which asks for a private "
                f"model: give both"
            )
        return None
    if is_boosted(options.model):
        raise OptionError(f"{option('private_epsilon')} trains a network by gradients, not {options.model}")
    privacy = Privacy(options.private_epsilon, options.private_delta)
    check_private(privacy)
    return privacy


def _model_name(model: str | ModelFactory) -> str:
    return model if isinstance(model, str) else f"{model.__module__}:{getattr(model, '__qualname__', repr(model))}"


def _workers(options: Request, settings: StudySettings, dataset: Dataset, device: str, observer: Observer) -> int:
    asked = workers_asked(options)
    if asked is not None:
        return asked
    if device == "cuda":
        observer.note("one CUDA device: training in this process")
        return 0
    # Roughly: a column is encoded as three, rungs leave 0.4 of a training, 0.45 of all rows are trained on, and a
    # weight of a network 2×64 takes six operations a row.
    columns = 3 * len(dataset.schema.columns)
    trainings = 0.4 * min(settings.trials, TRIALS) * len(settings.rates) * settings.replicas
    operations = trainings * settings.plan.epochs * 0.45 * dataset.all_rows * 6 * (columns * 64 + 64 * 64)
    cores = len(os.sched_getaffinity(0))
    if operations < SMALL_JOB or cores == 1:
        observer.note(
            f"a small study: training in this process, without a Ray cluster ({option('workers')} asks for one)"
        )
        return 0
    return cores

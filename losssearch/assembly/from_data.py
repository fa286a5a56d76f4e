"""A study on a dataset."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

from losssearch.assembly.cells import warn_of_cells, with_cells
from losssearch.assembly.fairness import warn
from losssearch.assembly.heads import with_heads
from losssearch.assembly.library import likeness_of, warm_started
from losssearch.assembly.place import Place
from losssearch.assembly.preflight import try_own
from losssearch.assembly.question import Question, question_of, refuse_heads
from losssearch.assembly.repeating import command_again
from losssearch.assembly.settings import given_split, settings_of
from losssearch.assembly.spaces import NOISY, fitted_space, refuse_balances, refuse_restarts, refuse_validation
from losssearch.assembly.surroundings import Assembled, open_surroundings
from losssearch.assembly.workers import device_of, resources_of, workers_asked
from losssearch.data import Dataset, load, partition
from losssearch.data.leaks import leaks
from losssearch.data.quality.looking import Seen, look
from losssearch.data.sources import Data
from losssearch.data.weights import effective_rows
from losssearch.errors import OptionError
from losssearch.evaluation.registry import kinds_of
from losssearch.execution.resources import parse_memory
from losssearch.models import build_model, is_boosted, is_looped, resolve_model
from losssearch.option_names import option
from losssearch.request import DEFAULTS, Request
from losssearch.space import SearchSpace
from losssearch.study.budget import TRIALS
from losssearch.study.context import Context
from losssearch.study.observer import Observer, Recorder
from losssearch.study.settings import StudySettings
from losssearch.tracking.tracker import DatasetInfo
from losssearch.training.private import Privacy, check_private

SMALL_JOB = 6e11
"""Floating-point operations below which a cluster's start would cost more than it saves (about 20 s of one core)."""

FUNCTION_ONLY = ("direction", "classes", "class_prior")
"""Options that say of a training function what a dataset, or the name of a metric, says itself."""


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
    question = question_of(options, dataset)
    if is_boosted(options.model):
        refuse_heads(str(options.model), question.task, len(dataset.classes))
        refuse_validation(question.space, f"{options.model} grows trees from losses that stay as they are")
        refuse_restarts(question.space, f"{options.model} grows each tree on those before it")
        refuse_balances(question.space, f"{options.model} grows trees from the gradient of a sum")
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
    question = replace(question, task=with_heads(question.task, question.space, len(dataset.classes)))
    settings = settings_of(options, dataset, question, place.study, len(parts.search))
    factory = resolve_model(options.model)
    widths = question.task.widths(len(dataset.classes))
    columns = len(dataset.schema.columns) * dataset.listed
    shared, listed = question.task.shared, dataset.listed
    model = build_model(factory, columns, widths, device, by_column=shared, listed=listed)
    if is_looped(model):
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
        command=command_again(options),
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
        given=given_split(options),
        kinds=_kinds(options),
    )
    return dataset if options.data_name is None else replace(dataset, name=options.data_name)


def _kinds(options: Request) -> tuple[str, ...]:
    """The kinds of task that the metric is for; empty where none is named, or none that is known."""
    named = (options.metric, *options.objectives)
    return next((kinds for name in named if name and (kinds := kinds_of(name))), ())


def _source(data: Data) -> str:
    """What a tracker may know of where the data come from: no folder of this machine."""
    if not isinstance(data, str | Path):
        return ""
    named = str(data)
    return named if named.startswith(("builtin:", "openml:")) else Path(named).name


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

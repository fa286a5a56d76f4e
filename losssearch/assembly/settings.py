"""What is stored of a study on a dataset: its settings."""

from __future__ import annotations

from dataclasses import replace

from losssearch.assembly.question import Question
from losssearch.data import Dataset
from losssearch.data.given_splits import Given
from losssearch.data.splits import SMALL, trained_share
from losssearch.errors import OptionError
from losssearch.models import ModelFactory, is_boosted
from losssearch.option_names import option
from losssearch.request import Request
from losssearch.study.budget import trials_of
from losssearch.study.settings import StudySettings
from losssearch.training import RATES, default_plan
from losssearch.training.boosting import BOOSTED_RATES, boosted_plan
from losssearch.training.plan import AVERAGE, TrainingPlan

FRONT_RATES = (2e-3, 6e-3)
"""Learning rates of a front: its models differ by strength of penalty, and hardly gain from more rates."""


MINIMUM_BATCH = 8
"""The least queries of a batch, however many documents they have."""


def _rates(trees: bool, *, front: bool) -> tuple[float, ...]:
    if trees:
        return BOOSTED_RATES
    return FRONT_RATES if front else RATES


def replicas_for(rows: int) -> int:
    """On how many draws a search judges each candidate: few rows need many."""
    return next(count for limit, count in ((SMALL, 5), (20_000, 3), (100_000, 2), (1 << 62, 1)) if rows < limit)


def given_split(options: Request) -> Given:
    """The user's own splits and weights; raises `OptionError` for those that contradict each other."""
    if options.weight is not None and options.sample_weight is not None:
        raise OptionError("weight and sample_weight are one and the same: give one of them")
    weight = options.sample_weight if options.weight is None else options.weight
    how = (options.test, options.group, options.time, options.split, options.time_as_feature)
    return Given(*how, weight, options.exposure, options.query)


def settings_of(options: Request, dataset: Dataset, question: Question, study: str, searched: int) -> StudySettings:
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
        else _plan(options, dataset, trained, question.task.least_batch),
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
        splits=given_split(options).described(),
    )
    if not settings.rates:
        raise OptionError(f"{option('rates')} must hold at least one learning rate")
    return settings


def _plan(options: Request, dataset: Dataset, trained: int, least_batch: int) -> TrainingPlan:
    """The plan for ``trained`` rows; where they are queries, for as many documents."""
    average = AVERAGE if options.average else None
    each = dataset.mean_listed
    plan = default_plan(round(trained * each), options.epochs, len(dataset.classes), least_batch)
    if each == 1:
        return replace(plan, average=average)
    return replace(plan, average=average, batch_size=max(MINIMUM_BATCH, round(plan.batch_size / each)))


def _model_name(model: str | ModelFactory) -> str:
    return model if isinstance(model, str) else f"{model.__module__}:{getattr(model, '__qualname__', repr(model))}"

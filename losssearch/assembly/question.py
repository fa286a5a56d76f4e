"""What is asked of a dataset."""

from __future__ import annotations

from dataclasses import dataclass

from losssearch.assembly.cells import check_cells
from losssearch.assembly.fairness import Fairness, bound_space, read_fairness
from losssearch.assembly.spaces import refuse_unweighted, space_of
from losssearch.data import Dataset
from losssearch.errors import OptionError
from losssearch.evaluation import Metric
from losssearch.evaluation.fairness import decision_quality
from losssearch.evaluation.record import MetricFunction
from losssearch.evaluation.registry import asked_metric, kinds_of
from losssearch.option_names import option
from losssearch.request import Request
from losssearch.space import SearchSpace, aim
from losssearch.tasks import Task, attribute_task, fair_task, get_kind, get_task, worst_cell_task


@dataclass(frozen=True)
class Question:
    """What is asked of a dataset: which losses, judged by which metric, under which demands."""

    task: Task
    metric: Metric
    space: SearchSpace
    fairness: Fairness


def question_of(options: Request, dataset: Dataset) -> Question:
    """The question that the options ask; raises `OptionError` where they contradict each other or the data."""
    task = get_task(dataset.task).of_size(dataset.size)
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
    if dataset.weight is not None:
        refuse_unweighted(space, task)
    numbers = dict(metric.aims)
    return Question(task.aimed(numbers), metric, aim(bound_space(space, fairness, task), numbers), fairness)


def _metric(name: str | MetricFunction, task: str, direction: str | None) -> Metric:
    try:
        return asked_metric(name, task, direction)
    except OptionError as error:
        if isinstance(name, str) and (fitting := kinds_of(name)):
            raise OptionError(f"{error}; or read the target as {' or '.join(fitting)}, by {option('task')}") from None
        raise


def refuse_heads(model: str, task: Task, classes: int) -> None:
    """Raise `OptionError` where trees cannot put out what the task's losses read."""
    if task.shared or task.width(classes) not in (1, classes) or get_kind(task.kind).target.columns > 1:
        widths = {head.name: head.width for head in task.heads(classes)} if task.shared else task.widths(classes)
        heads = ", ".join(f"{name} ({width})" for name, width in widths.items())
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

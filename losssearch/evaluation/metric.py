"""Looks a metric up by its name and task.

A metric with numbers in it is named like a call: ``cost(fp=1,fn=5)``, ``pinball(q=0.9)`` or ``pinball(0.9)``.
"""

from __future__ import annotations

import re

from losssearch.errors import InputError, OptionError, UnknownNameError, shown
from losssearch.evaluation.catalogue import FAMILIES, METRICS
from losssearch.evaluation.record import AdjustmentKind, Direction, Metric, MetricFamily
from losssearch.evaluation.worst_cell import CELL, EXAMPLES, GROUP, nested, worst_metric

__all__ = ["AdjustmentKind", "Direction", "Metric", "MetricFamily", "get_metric", "kinds_of", "metrics_for"]

_ENTRIES: tuple[Metric | MetricFamily, ...] = (*METRICS, *FAMILIES)
_CALL = re.compile(r"\s*(?P<head>[^()\s]+)\s*(?:\((?P<arguments>[^()]*)\))?\s*")


def get_metric(name: str, task: str) -> Metric:
    """The metric of this name, for this kind of task.

    Args:
        name: A name of `metrics_for`, or one with other numbers, such as ``cost(fp=1,fn=10)``.
        task: Kind of task, such as ``"binary"``.

    Raises:
        UnknownNameError: For a metric or kind of task that there is none of.
        OptionError: For a metric that does not fit the task, or whose numbers are missing, unknown or out of range.
    """
    metrics_for(task)
    if worst := nested(name):
        if task == "regression":
            raise OptionError(f"metric {worst[0]} fits binary and multiclass, not regression")
        inner = "accuracy" if worst == (CELL, "recall") else worst[1]
        return worst_metric(worst[0], get_metric(inner, task), task)
    call = _CALL.fullmatch(name)
    head, arguments = (call["head"], call["arguments"]) if call else (name, None)
    for family in FAMILIES:
        if call is None and name.partition("(")[0] == family.name and "(" in name:
            raise OptionError(f"metric {family.name} is written as a call, such as {family.example}, got {shown(name)}")
    entries = [entry for entry in _ENTRIES if entry.name == head]
    if not entries:
        raise UnknownNameError("metric", head, {entry.name for entry in _ENTRIES} | {CELL, GROUP})
    for entry in entries:
        if task in entry.tasks:
            return _make(entry, name, arguments)
    others = " and ".join(sorted({kind for entry in entries for kind in entry.tasks}))
    fitting = metrics_for(task) if task == "regression" else (*metrics_for(task), *EXAMPLES)
    raise OptionError(f"metric {head} fits {others}, not {task}; metrics for {task}: {', '.join(fitting)}")


def kinds_of(name: str) -> tuple[str, ...]:
    """The kinds of task that a metric of this name, with its numbers, fits; none for a name that is no metric's."""
    kinds = sorted({kind for entry in _ENTRIES for kind in entry.tasks})
    return tuple(kind for kind in kinds if _fits(name, kind))


def _fits(name: str, task: str) -> bool:
    try:
        get_metric(name, task)
    except InputError:
        return False
    return True


def metrics_for(task: str) -> tuple[str, ...]:
    """Names of the metrics that fit a kind of task; one example of each that has numbers.

    Those of the worst cell or group are made of them: see `losssearch.evaluation.worst_cell`.

    Raises:
        UnknownNameError: For a kind of task that no metric knows.
    """
    fixed = [metric.name for metric in METRICS if task in metric.tasks]
    if not fixed:
        raise UnknownNameError("task", task, {kind for metric in METRICS for kind in metric.tasks})
    return (*fixed, *(family.example for family in FAMILIES if task in family.tasks))


def _make(entry: Metric | MetricFamily, name: str, arguments: str | None) -> Metric:
    if isinstance(entry, MetricFamily):
        return entry.make(**_numbers(entry, name, arguments or ""))
    if arguments is not None:
        raise OptionError(f"metric {entry.name} takes no numbers, got {name!r}; write {entry.name}")
    return entry


def _numbers(family: MetricFamily, name: str, arguments: str) -> dict[str, float]:
    """The numbers of a call, named or in order, each given once."""
    rule = f"metric {family.name} takes {', '.join(family.parameters)}, such as {family.example}; got {name!r}"
    numbers: dict[str, float] = {}
    for place, argument in enumerate(arguments.split(",") if arguments.strip() else []):
        key, named, text = argument.rpartition("=")
        if not named:
            if place >= len(family.parameters) or len(numbers) < place:
                raise OptionError(rule)
            key = family.parameters[place]
        key = key.strip()
        if key not in family.parameters or key in numbers:
            raise OptionError(rule)
        try:
            numbers[key] = float(text)
        except ValueError:
            raise OptionError(rule) from None
    if len(numbers) < len(family.parameters):
        raise OptionError(rule)
    return numbers

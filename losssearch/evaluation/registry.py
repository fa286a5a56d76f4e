"""Looks a metric up by its name and kind of task.

A metric with numbers in it is named like a call: ``cost(fp=1,fn=5)``, ``pinball(q=0.9)`` or ``pinball(0.9)``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, cast, get_args

from losssearch.errors import InputError, OptionError, UnknownNameError, shown
from losssearch.evaluation import metrics  # noqa: F401  (declares the metrics)
from losssearch.evaluation.declaring import MetricRecord, name_of, record_of, records, undeclared
from losssearch.evaluation.record import Direction, Metric
from losssearch.evaluation.worst_cell import CELL, EXAMPLES, GROUP, inner_name, nested, worst_metric
from losssearch.tasks import TASKS, get_task

_CALL = re.compile(r"\s*(?P<head>[^()\s]+)\s*(?:\((?P<arguments>[^()]*)\))?\s*")


def get_metric(name: str | Metric, task: str) -> Metric:
    """The metric of this name, for this kind of task.

    Args:
        name: A name of `metrics_for`, or one with other numbers, such as ``cost(fp=1,fn=10)``; a metric that was made
            for this kind of task is given back as it is.
        task: Kind of task, such as ``"binary"``.

    Raises:
        UnknownNameError: For a metric or kind of task that there is none of.
        OptionError: For a metric that does not fit the task, or whose numbers are missing, unknown or out of range.
    """
    view = get_task(task).view
    if isinstance(name, Metric):
        if name.view.name != view.name:
            raise OptionError(f"metric {name.name} reads outputs by the view {name.view.name}, and {task} has another")
        return name
    if worst := nested(name):
        if not view.labels:
            fitting = " and ".join(sorted(kind.kind for kind in TASKS.values() if kind.view.labels))
            raise OptionError(f"metric {worst[0]} fits {fitting}, not {task}")
        return worst_metric(worst[0], get_metric(inner_name(*worst), task))
    call = _CALL.fullmatch(name)
    head, arguments = (call["head"], call["arguments"]) if call else (name, None)
    for record in records():
        if record.numbers and call is None and name.partition("(")[0] == record.name and "(" in name:
            raise OptionError(f"metric {record.name} is written as a call, such as {record.example}, got {shown(name)}")
    entries = [record for record in records() if record.name == head]
    if not entries:
        raise UnknownNameError("metric", head, {record.name for record in records()} | {CELL, GROUP})
    for entry in entries:
        if entry.fits(task, view):
            return _make(entry, name, arguments, task)
    others = " and ".join(sorted({kind for entry in entries for kind in _kinds(entry)}))
    raise OptionError(f"metric {head} fits {others or 'no kind of task'}, not {task}; {_those_for(task)}")


def _those_for(task: str) -> str:
    """Which metrics there are for a kind of task, or how to declare the first."""
    fitting = metrics_for(task)
    if not fitting:
        return f'no metric is declared for {task}: declare one with @ls.metric(direction=…, task="{task}")'
    more = EXAMPLES if get_task(task).view.labels and "accuracy" in fitting else ()
    return f"metrics for {task}: {', '.join((*fitting, *more))}"


def asked_metric(asked: str | Metric | Callable[..., Any], task: str, direction: str | None = None) -> Metric:
    """The metric that a caller asked for: by its name, or by a function of outputs and target.

    Args:
        asked: A name as `get_metric` takes it; a function that was declared with ``@metric``; or any function of
            (outputs, target) or (outputs, batch).
        task: Kind of task.
        direction: ``"maximize"`` or ``"minimize"``; of a function that was not declared, unless it has an attribute
            of this name.

    Raises:
        UnknownNameError: As `get_metric`.
        OptionError: As `get_metric`, or for a function without a direction, or with two.
    """
    if direction not in (None, *get_args(Direction)):
        raise OptionError(f"direction must be maximize or minimize, got {shown(direction)}")
    if isinstance(asked, str | Metric):
        found = get_metric(asked, task)
    elif (record := record_of(asked)) is not None:
        view = get_task(task).view
        if not record.fits(task, view):
            fitting = " and ".join(_kinds(record)) or ", ".join(sorted(record.tasks))
            raise OptionError(f"metric {record.name} is declared for {fitting}, not for {task}")
        found = record.make(view)
    else:
        return _undeclared(asked, task, direction)
    if direction not in (None, found.direction):
        raise OptionError(f"{found.name} is a metric to {found.direction}, got direction={direction}")
    return found


def _undeclared(function: Callable[..., Any], task: str, direction: str | None) -> Metric:
    given = direction or getattr(function, "direction", None)
    if given not in get_args(Direction):
        raise OptionError(
            f"the metric {name_of(function)} needs a direction, which says whether it is to be maximized or minimized: "
            'give direction="maximize" or direction="minimize", or declare it with ls.metric'
        )
    view = get_task(task).view
    record = undeclared(function, cast("Direction", given), task)
    if any(one.name == record.name and one.fits(task, view) for one in records()):
        raise OptionError(f"{record.name} is the name of a metric for {task}: give your function another name")
    return record.make(view)


def _kinds(record: MetricRecord) -> list[str]:
    """The kinds of task that a metric is for."""
    return [kind for kind, task in TASKS.items() if record.fits(kind, task.view)]


def kinds_of(name: str | Callable[..., Any]) -> tuple[str, ...]:
    """The kinds of task that a metric of this name, with its numbers, fits; none for a name that is no metric's.

    A function fits the kinds that it was declared for; one that was not declared, all.
    """
    if not isinstance(name, str):
        record = record_of(name)
        return tuple(TASKS) if record is None else tuple(sorted(_kinds(record)))
    return tuple(kind for kind in sorted(TASKS) if _fits(name, kind))


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
        UnknownNameError: For a kind of task that there is none of.
    """
    view = get_task(task).view
    fitting = [record for record in records() if record.fits(task, view)]
    return tuple(record.example for record in sorted(fitting, key=lambda record: bool(record.numbers)))


def _make(entry: MetricRecord, name: str, arguments: str | None, task: str) -> Metric:
    view = get_task(task).view
    if entry.numbers:
        return entry.make(view, _numbers(entry, name, arguments or ""))
    if arguments is not None:
        raise OptionError(f"metric {entry.name} takes no numbers, got {name!r}; write {entry.name}")
    return entry.make(view)


def _numbers(family: MetricRecord, name: str, arguments: str) -> dict[str, float]:
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

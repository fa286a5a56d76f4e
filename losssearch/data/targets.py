"""What is to be predicted: the kind of task, the classes, and the target as numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from losssearch.data.columns import LARGEST, LARGEST_JUDGED, LEAST_SPREAD, read_column, read_text
from losssearch.data.target_kind import Classes, Numbers, TargetKind, Values, named, target_kind, task_names
from losssearch.data.target_text import number_text
from losssearch.data.wide_integers import distances, origin_of, whole_numbers
from losssearch.errors import DataError, OptionError
from losssearch.option_names import option

MINIMUM_ROWS = 50
MINIMUM_CLASS_ROWS = 5
"""What the search, confirmation and test parts and the validation splits need."""

MOST_INTEGER_CLASSES = 20
MOST_INTEGER_SHARE = 0.05

_YES = frozenset({"yes", "true", "positive"})
_YES_OF_PAIR = {"1": ("0", "-1"), "y": ("n",), "t": ("f",)}


@dataclass(frozen=True, eq=False)
class Target:
    """The target in numbers: class ids int64 with ``classes`` by id, or float64 with no classes, ``[rows]``.

    A task of several target columns has ``values`` ``[rows, columns]``.

    ``origin``: what the values are distances from, where float64 does not hold them as they are.
    """

    values: NDArray[Any]
    classes: tuple[str, ...]
    task: str
    notes: tuple[str, ...]
    origin: int = 0


def read_target(
    column: pd.Series,
    where: str,
    task: str | None,
    positive: object = None,
    kinds: Sequence[str] = (),
    further: Sequence[pd.Series] = (),
) -> Target:
    """Read a target without missing values as ``task``, or as the kind that its values suggest.

    ``kinds``: those that the study's metric is for, all where empty. Where they are of one sort, classes or numbers,
    they decide. ``further``: the other columns of a target of several.

    Booleans, text, categories, two distinct values, and at most 20 distinct whole numbers that are at most
    5 % of the rows are classes; anything else is regression. A binary target has id 1 for the positive
    class: ``positive`` if given, else 1 or true, else a word for yes, else the rarer one.

    Raises `DataError` if the values cannot be that target, `OptionError` for an unfitting ``positive``
    and `UnknownNameError` for an unknown task.
    """
    name = f"target {str(column.name)!r} of {where}"
    kinds = [kind for kind in kinds if kind in task_names(inferred=True)] or kinds  # others are asked for by name
    wanted = task or _asked(kinds)
    reads = None if wanted is None else target_kind(wanted)
    _check_columns(wanted, reads, [column, *further], where)
    if isinstance(reads, Values) or (reads is not None and reads.columns > 1):
        return _several([column, *further], where, str(wanted), positive, reads)
    origin = origin_of(column)
    values, nominal = _wide_values(column, origin, reads) if origin else _values(column, name, reads)
    labels = sorted(values.unique())
    suggested = _infer(labels, nominal, len(values))
    inferred = named(suggested)
    kind = wanted or (_of_classes(kinds) if not suggested.nominal else "") or inferred
    goal = target_kind(kind)
    if isinstance(goal, Classes) and goal.ordered:
        labels = _in_order(column, labels, nominal=nominal, name=name)
    how = "as asked, with" if task else "inferred from" if kind == inferred else "as the metric asks, with"
    if positive is not None and not goal.pair:
        raise OptionError(f"a positive class needs a binary task; {name} is read as {kind}, got positive={positive!r}")
    if len(labels) < 2:
        raise DataError(f"a target must have two or more distinct values; {name} is always {_shown(labels, 1)}")
    if not goal.nominal:
        if nominal and not all(isinstance(label, bool) for label in labels):
            asked = "" if task else ", which the metric asks for,"
            raise DataError(
                f"{kind}{asked} needs numbers; {name} holds text such as {_shown(labels, 3)}: give {option('task')} "
                f"{named(Classes())} ({named(Classes(2))} for two values) and a metric for it"
            )
        _require_rows(len(values), where)
        _check_spread(values, name)
        notes = _inference(kind, how, len(labels), column)
        if origin:
            notes += (f"the target is read as its distance from {origin}, because float64 has fewer digits",)
        return Target(values.to_numpy(dtype=np.float64), (), kind, notes, 0 if nominal else origin)
    if goal.count is not None and len(labels) != goal.count:
        count = "two" if goal.pair else str(goal.count)
        raise DataError(f"a {kind} target has {count} values; {name} has {len(labels)}: {_shown(labels, 5)}")
    _require_rows(len(values), where)
    counts = values.value_counts()
    if counts.min() < MINIMUM_CLASS_ROWS:
        rarest = _class_name(counts.index[-1])
        numbers = named(Numbers())
        hint = "" if nominal else f", or read it as {numbers} ({option('task', numbers)}, and a metric for it)"
        raise DataError(
            f"every class needs {MINIMUM_CLASS_ROWS} rows for the splits; {name} has {len(labels)} classes, and class "
            f"{rarest!r} has {counts.min()}: merge or leave out rare classes{hint}"
        )
    notes = _inference(kind, how, len(labels), column)
    if goal.pair:
        labels = _negative_first(labels, counts, positive, name)
        notes = (f"{notes[0]}; positive class is {_class_name(labels[1])!r}",)
    ids = values.map({label: index for index, label in enumerate(labels)})
    return Target(ids.to_numpy(dtype=np.int64), tuple(map(_class_name, labels)), kind, notes)


def missing_values(column: pd.Series) -> NDArray[np.bool_]:
    """Where a target has no value: NaN, null, and in text an empty field or a question mark."""
    if pd.api.types.infer_dtype(column, skipna=True) in ("string", "mixed", "categorical"):
        column = read_text(column)
    return column.isna().to_numpy(dtype=bool)


def _asked(kinds: Sequence[str]) -> str | None:
    """The one kind that the metric is for, where that settles it; classes still depend on how many there are."""
    if len(set(kinds)) != 1:
        return None
    (kind,) = set(kinds)
    return None if target_kind(kind).nominal and kind in task_names(inferred=True) else kind


def _of_classes(kinds: Sequence[str]) -> str:
    """The kind for any number of classes, where the metric is for classes alone; otherwise empty."""
    if not all(target_kind(kind).nominal for kind in kinds):
        return ""
    return next((kind for kind in kinds if target_kind(kind) == Classes()), "")


def _check_columns(task: str | None, kind: TargetKind | None, columns: Sequence[pd.Series], where: str) -> None:
    """Raise `DataError` if a task reads another number of target columns than were named."""
    wanted = 1 if kind is None else kind.columns
    if len(columns) == wanted:
        return
    several = [name for name in task_names() if target_kind(name).columns == len(columns)]
    what = "the task" if task is None else f"task {task}"
    shown = ", ".join(repr(str(column.name)) for column in columns)
    hint = (
        f"name {wanted} with {option('target')}"
        if not several
        else (f"name {wanted}, or give {option('task')} {' or '.join(several)}")
    )
    raise DataError(
        f"{what} reads {wanted} target column{'s' * (wanted > 1)}, got {len(columns)} of {where} ({shown}): {hint}"
    )


def _several(columns: Sequence[pd.Series], where: str, task: str, positive: object, reads: TargetKind) -> Target:
    """A target of one or several columns of numbers, ``[rows]`` or ``[rows, columns]``, that is asked for by name."""
    if positive is not None:
        raise OptionError(f"a positive class needs a target of two classes; task {task} reads numbers")
    found = []
    for column in columns:
        name = f"target {str(column.name)!r} of {where}"
        values, nominal = _values(column, name, Numbers())
        if nominal and not all(isinstance(label, bool) for label in values.unique()):
            raise DataError(f"{task} needs numbers; {name} holds text such as {_shown(sorted(values.unique()), 3)}")
        if isinstance(reads, Values):
            values = values.astype(np.float64)
        else:
            _check_spread(values, name)
        found.append(values.to_numpy(dtype=np.float64))
    _require_rows(len(found[0]), where)
    shown = ", ".join(repr(str(column.name)) for column in columns)
    target = found[0] if reads.columns == 1 else np.stack(found, axis=1)
    if isinstance(reads, Values):
        reads.check(target, [str(column.name) for column in columns], where)
    of = f"the columns {shown}" if len(columns) > 1 else f"the column {shown}"
    return Target(target, (), task, (f"task {task} as asked, with {of}",))


def _values(column: pd.Series, name: str, kind: TargetKind | None) -> tuple[pd.Series, bool]:
    """The values in one comparable form, and whether they name classes rather than measure."""
    held = pd.api.types.infer_dtype(column, skipna=True)
    if held in ("string", "mixed", "mixed-integer"):
        column = number_text(column, name, kind)
    many = column.nunique() > MOST_INTEGER_CLASSES if held == "string" else False
    # Text is classes even where it spells numbers, unless those can only be measurements.
    numbers = kind is not None and not kind.nominal
    if held == "categorical" or (held == "string" and not numbers and not many):
        text = read_text(column)
        if text.str.lower().isin(["true", "false"]).all():  # some programs write True, others true
            return (text.str.lower() == "true").astype("object"), True
        return text.astype("object"), True
    values, sort = read_column(column.reset_index(drop=True), name)
    if sort == "date":
        raise DataError(f"a target must be classes or numbers; {name} holds dates")
    if sort == "categorical":
        return values.astype("object"), True
    infinite = values.abs().to_numpy() > LARGEST
    if infinite.any():
        first = int(infinite.argmax())
        raise DataError(
            f"a target must be finite; {name} has {infinite.sum()} infinite values, the first in row {first + 1}"
        )
    if sort == "boolean":
        return values.map({0.0: False, 1.0: True}).astype("object"), True
    return values, False


def _wide_values(column: pd.Series, origin: int, kind: TargetKind | None) -> tuple[pd.Series, bool]:
    """As `_values`, for whole numbers that float64 would merge."""
    distinct, rows = column.nunique(), len(column)
    few = distinct <= 2 or distinct <= min(MOST_INTEGER_CLASSES, MOST_INTEGER_SHARE * rows)
    if few if kind is None else kind.nominal:
        return whole_numbers(column).map(str).astype("object"), True
    return distances(column, origin), False


def _infer(labels: list[Any], nominal: bool, rows: int) -> TargetKind:
    """What the values suggest."""
    if len(labels) <= 2:
        return Classes(2)
    if nominal:
        return Classes()
    whole = all(float(label).is_integer() for label in labels[: MOST_INTEGER_CLASSES + 1])
    few = len(labels) <= min(MOST_INTEGER_CLASSES, MOST_INTEGER_SHARE * rows)
    return Classes() if whole and few else Numbers()


def _check_spread(values: pd.Series, name: str) -> None:
    """Raise `DataError` for numbers so large or so alike that squares of their errors are infinite or 0."""
    numbers = values.to_numpy(dtype=np.float64)
    largest = float(np.abs(numbers).max())
    if largest > LARGEST_JUDGED:
        row = int(np.abs(numbers).argmax())
        raise DataError(
            f"a target must be at most {LARGEST_JUDGED:g} in size; {name} has {numbers[row]:g} in row {row + 1}: give "
            "it in a larger unit, or leave that row out"
        )
    if not (spread := float(numbers.std())) >= LEAST_SPREAD:
        raise DataError(
            f"a target must spread by at least {LEAST_SPREAD:g}; the standard deviation of {name} is {spread:g}: give "
            "it in a smaller unit"
        )


def _in_order(column: pd.Series, labels: list[Any], *, nominal: bool, name: str) -> list[Any]:
    """Grades from the lowest, by their numbers or the order of a category; `DataError` for text without an order."""
    if not nominal or all(isinstance(label, bool) for label in labels):
        return labels
    if isinstance(column.dtype, pd.CategoricalDtype) and column.dtype.ordered:
        known = {str(label): label for label in labels}
        return [known[str(one)] for one in column.dtype.categories if str(one) in known]
    try:
        return sorted(labels, key=float)
    except ValueError:
        raise DataError(
            f"grades must be in an order; {name} holds text such as {_shown(labels, 3)}: number the grades from the "
            "lowest, or give a pandas column of an ordered category"
        ) from None


def _inference(kind: str, how: str, distinct: int, column: pd.Series) -> tuple[str, ...]:
    return (f"task {kind} {how} {distinct} distinct values of {str(column.name)!r}",)


def _require_rows(rows: int, where: str) -> None:
    if rows < MINIMUM_ROWS:
        raise DataError(f"the splits need at least {MINIMUM_ROWS} rows; {where} has {rows}")


def _negative_first(labels: list[Any], counts: pd.Series, positive: object, name: str) -> list[Any]:
    names = [_class_name(label) for label in labels]
    if positive is not None:
        given = _class_name(positive)
        if set(names) == {"False", "True"}:
            given = given.capitalize()
        if given not in names:
            raise OptionError(f"the positive class must be a value of the target; {name} has {names}, got {given!r}")
        index = names.index(given)
    else:
        index = _positive_index(names, [int(counts[label]) for label in labels])
    return [labels[1 - index], labels[index]]


def _positive_index(names: list[str], counts: list[int]) -> int:
    words = [name.lower() for name in names]
    for index, (word, other) in enumerate(zip(words, reversed(words), strict=True)):
        if (word in _YES and other not in _YES) or other in _YES_OF_PAIR.get(word, ()):
            return index
    return 0 if counts[0] < counts[1] else 1


def _class_name(label: object) -> str:
    if isinstance(label, bool | np.bool_):
        return str(bool(label))
    if isinstance(label, float | np.floating) and float(label).is_integer():
        return str(int(label))
    return str(label)


def _shown(labels: list[Any], most: int) -> str:
    return ", ".join(repr(_class_name(label)) for label in labels[:most]) + (" …" if len(labels) > most else "")

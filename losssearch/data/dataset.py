"""A dataset: features, target, what is known of both, and a fingerprint of the content."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from losssearch.data import columnar_files
from losssearch.data.by_query import by_query
from losssearch.data.chosen_rows import PLACE, check_classes, chosen_rows
from losssearch.data.columns import read_columns
from losssearch.data.documents import Documents
from losssearch.data.encoding import Features
from losssearch.data.fingerprint import fingerprint_of
from losssearch.data.given_splits import Given, GivenSplit, read_given
from losssearch.data.groups import (
    SMALLEST,
    Grouping,
    Sensitive,
    SensitiveNumber,
    read_groups,
    sensitive_columns,
    without_columns,
)
from losssearch.data.named_parts import announced
from losssearch.data.row_fields import row_fields
from losssearch.data.schema import Column, Schema
from losssearch.data.sources import Data, Source, read_source
from losssearch.data.streamed.groups import GroupReader
from losssearch.data.streamed.table import RESIDENT_SHARE, Stored, row_keys, row_numbers, store
from losssearch.data.target_columns import TargetName
from losssearch.data.target_kind import Values, target_kind
from losssearch.data.targets import MINIMUM_ROWS, Target, read_target
from losssearch.errors import DataError, OptionError
from losssearch.option_names import option

COARSE = 0.1
"""Equal rows are no copies where this share of rows has an equal, and this share of the sets differs in its target."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """What a study is given.

    ``features``: a data frame with the columns of ``schema``, such rows in lists, or float32 [rows, columns] for arrays
    and flattened images. ``target``: class ids int64 [rows], or numbers float64, [rows, columns] for a task of several
    target columns. ``classes``: the name of each id, empty for numbers; a task of two classes has the positive one at
    id 1. ``task``: the name of the kind of task. ``weight`` [rows], above zero, where there is one. ``group`` [rows]:
    ids of the sensitive groups, and ``groups`` their names, where there is a sensitive attribute; ``attribute`` its
    numbers, where it is one. ``fingerprint``: 16 hexadecimal digits of the content, the same in every run. ``notes``:
    sentences that say what was inferred and left out. ``stored``: all rows of a table that does not fit memory, on
    disk; the other fields then hold a sample of it.
    """

    name: str
    features: Features
    target: NDArray[Any]
    classes: tuple[str, ...]
    task: str
    schema: Schema
    fingerprint: str
    weight: NDArray[np.float64] | None = None
    group: NDArray[np.int64] | None = None
    groups: tuple[str, ...] = ()
    attribute: SensitiveNumber | None = None
    notes: tuple[str, ...] = ()
    stored: Stored | None = None
    given: GivenSplit | None = None
    """How the user wants the rows split; None if that is left to chance."""
    cells: NDArray[np.int64] | None = None
    fields: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    """Further fields of each row [rows] that the kind of task reads, by name: ``exposure``, ``query``."""
    places: NDArray[np.int64] | None = None
    """The number of each row [rows] in the data as given, from 0; of a test file, in that. None of a table on disk."""

    @property
    def judged(self) -> NDArray[Any]:
        """What the metric reads of each row [rows]: the target, or the cell of label and group where it is by cell.

        Of a target in its own unit, what the kind of task says: ``[rows]`` or ``[rows, columns]``.
        """
        if self.cells is not None:
            return self.cells
        kind = target_kind(self.task)
        return kind.judged(self.target, self.fields) if isinstance(kind, Values) else self.target

    @property
    def rows(self) -> int:
        """How many rows there are in memory."""
        return len(self.target)

    @property
    def listed(self) -> int:
        """How many documents the longest query has, where rows are queries; otherwise 1."""
        return self.features.longest if isinstance(self.features, Documents) else 1

    @property
    def mean_listed(self) -> float:
        """How many documents a query has on average, where rows are queries; otherwise 1."""
        return float(self.features.present.mean() * self.listed) if isinstance(self.features, Documents) else 1.0

    @property
    def size(self) -> int:
        """Columns of the target: the documents of the longest query where rows are queries, 1 for a single number."""
        return 1 if self.target.ndim == 1 else int(self.target.shape[1])

    @property
    def all_rows(self) -> int:
        """How many rows there are, in memory or on disk."""
        return self.rows if self.stored is None else self.stored.file.rows

    @cached_property
    def row_keys(self) -> NDArray[np.uint64]:
        """A number for each row [rows]; rows with equal features have equal numbers."""
        if isinstance(self.features, pd.DataFrame):
            return row_keys(self.features)
        if isinstance(self.features, Documents):
            return self.features.keys(row_keys(self.features.frame))
        contiguous = np.ascontiguousarray(self.features)
        digests = b"".join(hashlib.blake2b(row.tobytes(), digest_size=8).digest() for row in contiguous)
        return np.frombuffer(digests, dtype="<u8").astype(np.uint64)

    @cached_property
    def coarse(self) -> bool:
        """Whether rows with equal features are different cases and not copies of one."""
        key = pd.factorize(self.row_keys)[0]
        size = np.bincount(key)
        repeated = size > 1
        if size[repeated].sum() < COARSE * len(key):
            return False
        target = pd.DataFrame(self.target).groupby(key)
        differ = np.asarray(np.any(target.max() != target.min(), axis=1))
        return bool(differ[repeated].mean() >= COARSE)


def load(
    data: Data,
    *,
    target: TargetName | None = None,
    task: str | None = None,
    drop: str | Sequence[str] = (),
    positive: object = None,
    drop_missing_target: bool = False,
    max_rows: int | None = None,
    memory: int | None = None,
    stream: bool = True,
    sensitive: Sensitive | None = None,
    sensitive_as_feature: bool = False,
    given: Given | None = None,
    kinds: Sequence[str] = (),
) -> Dataset:
    """Read data and infer their schema and task.

    ``data``: a path (.csv, .csv.gz, .tsv, .parquet, .arrow, .feather, or .npz with images or features and
    labels), ``builtin:NAME``, ``openml:ID``, a data frame, or a pair (X, y) of arrays, tensors or frames.
    ``target``: the column, or the array of an NPZ file; may be left out for built-in sets, OpenML and pairs. Several
    columns, for a task that reads as many: a list of names, or the names with commas between them.
    ``drop``: columns that must not be features. ``positive``: the positive class of a binary target.
    ``drop_missing_target``: leave out rows without a target instead of refusing them. ``max_rows``: if there
    are more rows, use a seeded sample of that size, in which the target's classes keep their shares and a rare class
    keeps 50 rows. Without it, a Parquet or Arrow file that does not fit ``memory`` bytes (a quarter of the machine's)
    is streamed: see `losssearch.data.streamed.table`. Without ``stream``, or with a sensitive number, a sample that
    fits is used instead. A note says which rows are used. A file of another format that does not fit ``memory`` is
    refused before it is unpacked. ``sensitive``: columns whose values, or combinations of values, are the groups to be
    treated equally; they are not features unless ``sensitive_as_feature``. See `losssearch.data.groups`.
    ``given``: the user's own splits. See `losssearch.data.given_splits`. ``kinds``: the tasks that the study's metric
    is for, which decide the task where its values leave it open; all where empty.

    Raises `DataError`, `OptionError` or `UnknownNameError`, each in one line: for a file that is missing or
    no table, a missing column, a target that is constant, not finite or missing in places, fewer than 50
    rows or fewer than 5 of a class, duplicate column names, or no feature left.
    """
    if max_rows is not None and max_rows < MINIMUM_ROWS:
        raise OptionError(f"max_rows must be at least {MINIMUM_ROWS}, which the splits need, got {max_rows}")
    named, dropped = sensitive_columns(sensitive), (drop,) if isinstance(drop, str) else tuple(drop)
    for name in () if target is None else (target,) if isinstance(target, str) else target:
        if name in named:
            raise OptionError(f"the sensitive attribute must not be the target; {name!r} is both")
    given = given or Given()
    if task is not None and isinstance(kind := target_kind(task), Values):
        stream = False  # what is made of its rows is made in memory
        if max_rows is not None and kind.lists:
            raise OptionError(
                f"{option('max_rows')} takes single rows, and task {task} judges whole queries: leave it out"
            )
    streamable = not isinstance(sensitive, np.ndarray | pd.Series)  # labels given with a file are one per row of it
    needed = (*named, *given.columns.values())
    unnamed = tuple(name for name in dropped if name not in needed)
    source = read_source(data, target, unnamed, max_rows, memory=memory, stream=stream and streamable)
    source, notes, held = chosen_rows(source, given, target, unnamed, max_rows, drop_missing_target, memory)
    source, grouping, reader = _read_groups(source, sensitive)
    weight = source.extra["weight"].to_numpy(dtype=np.float64) if given.weight is not None else None
    places = source.extra[PLACE].to_numpy(dtype=np.int64)
    hidden = [name for name in named if name in dropped or not sensitive_as_feature]
    unseen = list(dict.fromkeys((*hidden, *given.hidden, *(name for name in needed if name in dropped))))
    source = without_columns(source, unseen)
    if isinstance(source.features, pd.DataFrame):
        notes = (*notes, *announced(source.features, list(given.columns.values())))
    goal = read_target(source.target, source.where, task, positive, kinds, source.targets[1:])
    check_classes(goal, held, str(given.test))
    split = read_given(source, given, goal.task, held)
    fields = row_fields(source, goal.task)
    source = _without_row_numbers(source)
    features, schema, read_notes = _read_features(source)
    if not schema.columns:
        reasons = f" ({'; '.join(read_notes)})" if read_notes else ""
        raise DataError(f"there must be a feature besides the target; {source.where} has none left{reasons}")
    if source.large is not None:
        told = (*goal.notes, *notes, *source.notes, *read_notes, *_said(grouping, hidden, " in the sample"))
        return _streamed(source, features, goal, schema, told, drop_missing_target, grouping, reader)
    found = Dataset(
        name=source.name,
        features=features,
        target=goal.values,
        classes=goal.classes,
        task=goal.task,
        schema=schema,
        fingerprint=fingerprint_of(features, schema, goal, grouping, split, weight, fields),
        weight=weight,
        fields=fields,
        group=None if grouping is None else grouping.ids,
        groups=() if grouping is None else grouping.names,
        attribute=None if grouping is None else grouping.attribute,
        notes=(*goal.notes, *notes, *source.notes, *read_notes, *_said(grouping, hidden)),
        given=split,
        places=places,
    )
    return by_query(found)


def _read_groups(source: Source, sensitive: Sensitive | None) -> tuple[Source, Grouping | None, GroupReader | None]:
    """The groups of the rows, and what reads those of further rows where the source is the sample of a large table.

    A sensitive number is not streamed: its sample is then all there is.
    """
    if sensitive is None:
        return source, None, None
    large = source.large
    smallest = SMALLEST if large is None else math.ceil(SMALLEST / RESIDENT_SHARE)
    grouping = read_groups(source, sensitive, smallest)
    if large is None or not isinstance(source.features, pd.DataFrame):
        return source, grouping, None
    if grouping.attribute is not None:
        note = columnar_files.said(len(source.target), large.rows, "a sensitive number is not streamed")
        return replace(source, large=None, notes=(note, *source.notes)), grouping, None
    return source, grouping, GroupReader(grouping, source.features, source.where)


def _streamed(
    source: Source,
    features: pd.DataFrame | NDArray[np.float32],
    goal: Target,
    schema: Schema,
    notes: tuple[str, ...],
    drop_missing_target: bool,
    grouping: Grouping | None,
    group: GroupReader | None,
) -> Dataset:
    """All rows of a file to disk, and a part of its sample as the rows in memory."""
    assert source.large is not None  # noqa: S101  (the caller looked)
    assert isinstance(features, pd.DataFrame)  # noqa: S101  (files that can be streamed hold tables)
    assert isinstance(source.features, pd.DataFrame)  # noqa: S101
    labels = source.target.reset_index(drop=True)
    stored, kept, fingerprint, said = store(
        source.large,
        source.features,
        features,
        labels,
        goal,
        schema,
        drop_missing_target=drop_missing_target,
        group=group,
    )
    return Dataset(
        name=source.name,
        features=features.iloc[kept].reset_index(drop=True),
        target=goal.values[kept],
        classes=goal.classes,
        task=goal.task,
        schema=schema,
        fingerprint=fingerprint,
        group=None if grouping is None else grouping.ids[kept],
        groups=() if grouping is None else grouping.names,
        notes=(*said, *notes),
        stored=stored,
    )


def _without_row_numbers(source: Source) -> Source:
    """The source without columns that number the rows of the file that it is a sample of."""
    if source.large is None or not isinstance(source.features, pd.DataFrame):
        return source
    names = row_numbers(source.features, source.large.rows)
    if not names:
        return source
    note = f"ignored {', '.join(map(repr, names))}: row numbers or identifiers"
    return replace(source, features=source.features.drop(columns=names), notes=(*source.notes, note))


def _said(grouping: Grouping | None, hidden: Sequence[str], where: str = "") -> tuple[str, ...]:
    """What a user must know of the groups: how many, and whether the model sees the attribute."""
    if grouping is None:
        return ()
    shown = ", ".join(
        f"{name!r} ({count})" for name, count in zip(grouping.names, np.bincount(grouping.ids), strict=True)
    )
    seen = [name for name in grouping.columns if name not in hidden]
    how = f"the model sees {', '.join(seen)}" if seen else "the model does not see the sensitive attribute"
    return f"{len(grouping.names)} groups, by rows{where}: {shown}; {how}", *grouping.notes


def _read_features(source: Source) -> tuple[pd.DataFrame | NDArray[np.float32], Schema, tuple[str, ...]]:
    if isinstance(source.features, pd.DataFrame):
        return read_columns(source.features, source.where)
    values = np.asarray(source.features, dtype=np.float32) + np.float32(0)
    infinite = np.isinf(values)
    notes: tuple[str, ...] = ()
    if infinite.any():
        values[infinite] = np.nan
        notes = (f"{int(infinite.sum())} infinite values of the features count as missing",)
    if len(values) >= MINIMUM_ROWS and (np.isnan(values) | (values == values[:1])).all():
        return values, Schema(()), (*notes, "every column is constant")
    missing = np.isnan(values).sum(axis=0)
    columns = tuple(Column(f"x{i}", "numeric", int(count)) for i, count in enumerate(missing))
    return values, Schema(columns, source.shape), notes

"""Where data come from: a file, a built-in set, OpenML, a data frame, or a pair of arrays."""

from __future__ import annotations

import difflib
import sys
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from losssearch.data import builtin, files
from losssearch.data.columns import LARGEST
from losssearch.data.index_columns import with_index
from losssearch.data.room import Room
from losssearch.data.target_columns import TargetName, columns_of, target_columns
from losssearch.errors import DataError, OptionError

Data: TypeAlias = str | Path | pd.DataFrame | tuple[Any, Any]
"""What a user may give: a path, ``builtin:NAME``, ``openml:ID``, a data frame, or a pair (X, y)."""

_FAR = 1e3
"""Means more deviations than this from zero, and deviations this large or small, leave float32 too few digits."""

_FEATURE_ARRAYS = ("images", "X", "x", "features", "data")
_FURTHER = "target "
_TARGET_ARRAYS = ("labels", "y", "target", "targets")


@dataclass(frozen=True, eq=False)
class Source:
    """Features and target as they came, row by row.

    ``features`` is a data frame, or an array [rows, ...]. ``shape`` is that of one image, empty for a table.
    ``where`` names the source in messages. ``large``: the file that these rows are a sample of, if all of its rows
    are to be streamed. ``extra``: additional values per row, by their role, such as its group; of a
    target of several columns, all but the first.
    """

    name: str
    where: str
    features: pd.DataFrame | NDArray[Any]
    target: pd.Series
    shape: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()
    large: files.LargeFile | None = None
    extra: Mapping[str, pd.Series] = field(default_factory=dict)

    @property
    def targets(self) -> tuple[pd.Series, ...]:
        """The columns of the target."""
        return (self.target, *(values for role, values in self.extra.items() if role.startswith(_FURTHER)))

    def rows(self, chosen: NDArray[Any]) -> Source:
        """The source with these rows alone, given by number or as a mask; their index still names them."""
        features = self.features
        return replace(
            self,
            features=features.iloc[chosen] if isinstance(features, pd.DataFrame) else features[chosen],
            target=self.target.iloc[chosen],
            extra={role: values.iloc[chosen].reset_index(drop=True) for role, values in self.extra.items()},
        )


def read_source(
    data: object,
    target: TargetName | None,
    drop: Sequence[str],
    max_rows: int | None = None,
    *,
    memory: int | None = None,
    stream: bool = False,
) -> Source:
    """Find the data and separate the target from the features; columns in ``drop`` are left out.

    A file may take ``memory`` bytes (a quarter of the machine's by default). A Parquet or Arrow file with more rows
    than ``max_rows``, or than fit, is sampled; with ``stream``, such a sample of a file that does not fit names the
    file.

    Raises `DataError` for data that cannot be read or lack a named column, `OptionError` for arguments that
    do not fit together, `UnknownNameError` for an unknown built-in set.
    """
    for name in [] if target is None else [target] if isinstance(target, str) else target:
        if name in drop:
            raise OptionError(f"the target must not be dropped; {name!r} is both target and in drop")
    if isinstance(data, pd.DataFrame):
        return _from_table(with_index(data, "the data frame"), "data", "the data frame", target, drop)
    if isinstance(data, tuple):
        return _from_pair(data, target, drop)
    if not isinstance(data, str | Path):
        kind = type(data).__name__
        raise OptionError(f"data must be a path, builtin:NAME, openml:ID, a data frame or a pair (X, y), got {kind}")
    scheme, _, name = str(data).partition(":")
    if scheme == "builtin":
        return _from_builtin(name, target, drop)
    if scheme == "openml":
        return _from_openml(name, target, drop)
    path, room = Path(data).expanduser(), Room.of(memory)
    suffix = files.suffix_of(path)
    stem = path.name[: -len(suffix)] or path.name
    if suffix in files.ARRAY_SUFFIXES:
        return _from_archive(files.read_arrays(path, room), stem, str(path), target, drop)
    frame, notes, large = files.read_large_table(path, suffix, target, max_rows, room=room, stream=stream)
    source = _from_table(frame, stem, str(path), target, drop)
    return replace(source, notes=(*notes, *source.notes), large=large)


def _extra(columns: Sequence[pd.Series]) -> dict[str, pd.Series]:
    return {f"{_FURTHER}{place}": values.reset_index(drop=True) for place, values in enumerate(columns, start=2)}


def _from_table(frame: pd.DataFrame, name: str, where: str, target: TargetName | None, drop: Sequence[str]) -> Source:
    frame = frame.rename(columns=str)
    files.refuse_duplicate_names(frame.columns, where)
    if target is None:
        raise OptionError(f"a target column must be named; {where} has {_listed(frame.columns)}")
    columns = target_columns(target, frame.columns)
    for column in columns:
        require_column(column, frame, where, "target column")
        if column in drop:
            raise OptionError(f"the target must not be dropped; {column!r} is both target and in drop")
    features = _without(frame, drop, where).drop(columns=list(columns))
    first, *further = (frame[column] for column in columns)
    return Source(name, where, features, first, extra=_extra(further))


def _from_pair(pair: tuple[Any, ...], target: TargetName | None, drop: Sequence[str]) -> Source:
    if len(pair) != 2:
        raise OptionError(f"a tuple of data must be a pair (X, y), got {len(pair)} items")
    where = "the pair (X, y)"
    labels, *further = columns_of(_plain(pair[1]), target, "y")
    features = _plain(pair[0])
    if isinstance(features, pd.DataFrame):
        features = features.rename(columns=str).reset_index(drop=True)
        files.refuse_duplicate_names(features.columns, "X")
        for name in (str(column.name) for column in (labels, *further)):
            if name in features.columns:
                raise DataError(f"X must not hold the target; it has a column {name!r}")
        features = _without(features, drop, "X")
    else:
        _refuse_drop(drop, "X is an array")
        features = np.asarray(features)
    return replace(_from_arrays(features, labels, "data", where), extra=_extra(further))


def _from_archive(
    arrays: Mapping[str, NDArray[Any]], name: str, where: str, target: TargetName | None, drop: Sequence[str]
) -> Source:
    _refuse_drop(drop, f"{where} holds arrays")
    target = target or next((key for key in _TARGET_ARRAYS if key in arrays), None)
    if target is None:
        raise OptionError(f"a target array must be named; {where} has {_listed(arrays)}")
    if not isinstance(target, str):
        raise OptionError(f"the target of {where} is one array; it may be [rows, columns]")
    if target not in arrays:
        raise DataError(f"{where} has no target array {target!r}; {_nearest(target, arrays)}")
    others = [key for key in arrays if key != target]
    wide = [key for key in others if arrays[key].ndim >= 2]
    chosen = next((key for key in _FEATURE_ARRAYS if key in others), wide[0] if len(wide) == 1 else None)
    if chosen is None:
        expected = ", ".join(_FEATURE_ARRAYS)
        raise DataError(f"{where} must hold one array of features, named one of {expected}; it has {_listed(arrays)}")
    ignored = [key for key in others if key != chosen]
    notes = (f"ignored the arrays {', '.join(map(repr, ignored))}",) if ignored else ()
    array = arrays[target]
    several = None if array.ndim == 2 and array.shape[1] > 1 else target
    labels, *further = columns_of(array, several, f"{where}: {target!r}")
    return replace(_from_arrays(arrays[chosen], labels, name, where, notes), extra=_extra(further))


def _from_arrays(
    features: pd.DataFrame | NDArray[Any], target: pd.Series, name: str, where: str, notes: tuple[str, ...] = ()
) -> Source:
    if features.ndim < 1 or len(features) != len(target):
        rows = len(features) if features.ndim else 0
        raise DataError(f"features and target must have as many rows, {where} has {rows} and {len(target)}")
    if isinstance(features, pd.DataFrame):
        return Source(name, where, features, target, (), notes)
    if features.dtype == object:
        if features.ndim != 2:
            raise DataError(f"an array of objects must be [rows, columns]; {where} has shape {features.shape}")
        table = pd.DataFrame(features, columns=[f"x{i}" for i in range(features.shape[1])]).infer_objects()
        return Source(name, where, table, target, (), notes)
    if features.dtype.kind not in "biuf":
        raise DataError(f"an array of features must hold numbers; {where} has {features.dtype}")
    flat = features.reshape(len(features), -1)
    if features.ndim <= 2:  # a table: read as a data frame of the same numbers is
        return Source(name, where, pd.DataFrame(flat).rename(columns="x{}".format), target, (), notes)
    shape = features.shape[1:]
    scaled = _pixels(flat)
    if features.dtype == np.uint8:
        scaled /= 255
        notes = (*notes, f"images of {' x '.join(map(str, shape))} bytes are read as pixels in [0, 1]")
    return Source(name, where, scaled, target, shape, notes)


def _pixels(values: NDArray[Any]) -> NDArray[np.float32]:
    """Values as float32; where that would lose their differences, centred and scaled first, as the encoder does too."""
    wide = values.dtype.itemsize > (4 if values.dtype.kind == "f" else 2)
    if wide and len(values):
        finite = np.asarray(values[np.isfinite(values)], dtype=np.float64)
        finite = finite[np.abs(finite) <= LARGEST]
        centre, scale = (float(finite.mean()), float(finite.std())) if len(finite) else (0.0, 0.0)
        if scale > 0 and (abs(centre) > _FAR * scale or not 1 / _FAR < scale < _FAR):
            values = np.where(np.abs(values) <= LARGEST, (values - centre) / scale, np.nan)
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and then missing
        return values.astype(np.float32)


def _from_builtin(name: str, target: TargetName | None, drop: Sequence[str]) -> Source:
    where = f"builtin:{name}"
    loaded = builtin.load_builtin(name)
    if isinstance(loaded, pd.DataFrame):
        return _from_table(loaded, name, where, target or builtin.TARGET, drop)
    _refuse_drop(drop, f"{where} holds images")
    if target not in (None, builtin.TARGET):
        raise DataError(f"{where} has no target column {target!r}; it is {builtin.TARGET!r}")
    return _from_arrays(*loaded, name, where)


def _from_openml(identifier: str, target: TargetName | None, drop: Sequence[str]) -> Source:
    from sklearn.datasets import fetch_openml

    where = f"openml:{identifier}"
    if not identifier.isdecimal():
        raise DataError(f"openml:ID takes the number of a dataset, got {where}")
    try:
        with warnings.catch_warnings():
            # The failure itself is told below, in one line.
            warnings.filterwarnings("ignore", message="A network error occurred", category=UserWarning)
            bunch = fetch_openml(data_id=int(identifier), as_frame=True, n_retries=1)
    except (OSError, ValueError) as error:  # URLError and OpenMLError are kinds of these
        raise DataError(f"{where} could not be fetched: {' '.join(str(error).split())[:200]}") from error
    target = target or next(iter(bunch["target_names"]), None)
    return _from_table(pd.DataFrame(bunch["frame"]), f"openml-{identifier}", where, target, drop)


def _plain(values: Any) -> Any:
    torch = sys.modules.get("torch")  # whoever hands over a tensor has imported it
    if torch is not None and isinstance(values, torch.Tensor):
        values = values.detach().cpu()
        return (values.float() if values.dtype in (torch.bfloat16, torch.float16) else values).numpy()
    if isinstance(values, pd.DataFrame) and values.shape[1] == 1 and values.columns.nlevels > 1:
        return values.droplevel(0, axis=1)
    return values


def _refuse_drop(drop: Sequence[str], why: str) -> None:
    if drop:
        raise OptionError(f"drop takes column names, but {why}; got {', '.join(drop)}")


def _without(frame: pd.DataFrame, drop: Sequence[str], where: str) -> pd.DataFrame:
    for column in drop:
        require_column(column, frame, where, "column to drop,")
    return frame.drop(columns=list(drop))


def require_column(column: str, frame: pd.DataFrame, where: str, role: str) -> None:
    """Raise `DataError`, with the nearest names, where ``frame`` has no such column; ``role`` says what it is for."""
    if column not in frame.columns:
        raise DataError(f"{where} has no {role} {column!r}; {_nearest(column, frame.columns)}")


def _nearest(name: str, known: Iterable[str]) -> str:
    names = list(known)
    holding = [known for known in names if len(name) > 2 and name.lower() in known.lower()]  # sex in sex_derived
    near = list(dict.fromkeys((*difflib.get_close_matches(name, names, n=3, cutoff=0.5), *holding)))[:3]
    return f"did you mean {', '.join(map(repr, near))}?" if near else f"it has {_listed(names)}"


def _listed(names: Iterable[str]) -> str:
    every = list(names)
    shown = ", ".join(map(repr, every[:12]))
    return f"{shown} and {len(every) - 12} more" if len(every) > 12 else shown

"""A test file put behind the rows of the other data, once its columns are seen to be the same."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from losssearch.data.columns import read_column, read_text
from losssearch.data.schema import ColumnKind
from losssearch.data.sources import Source
from losssearch.errors import DataError, OptionError
from losssearch.option_names import option


def joined(source: Source, held: Source) -> Source:
    """The rows of ``source``, and then those of ``held``.

    A column that only ``held`` has is left out, with a note.

    Raises:
        OptionError: Where one of them is a table and the other is not.
        DataError: For a column that ``held`` lacks, values of another kind, and classes that ``source`` does not have.
    """
    _check_target(source, held)
    target = pd.concat(_alike(source.target, held.target, "target", held.where), ignore_index=True)
    extra = {
        role: pd.concat(
            _alike(values, held.extra[role].rename(str(values.name)), f"{role} column", held.where), ignore_index=True
        )
        for role, values in source.extra.items()
    }
    if not isinstance(source.features, pd.DataFrame) or not isinstance(held.features, pd.DataFrame):
        if isinstance(source.features, pd.DataFrame) or isinstance(held.features, pd.DataFrame):
            raise OptionError(
                f"data and {option('test')} must both be tables or both be arrays; {held.where} is of another kind"
            )
        if source.features.shape[1:] != held.features.shape[1:] or source.shape != held.shape:
            raise DataError(
                f"the test rows must have the columns of the others; {held.where} has shape "
                f"{list(held.features.shape)}, {source.where} {list(source.features.shape)}"
            )
        features = np.concatenate([source.features, held.features])
        return replace(source, features=features, target=target.rename(str(source.target.name)), extra=extra)
    names, others = list(source.features.columns), list(held.features.columns)
    if lacking := [name for name in names if name not in others]:
        raise DataError(
            f"{option('test')} needs the columns of the other rows; {held.where} lacks "
            f"{', '.join(map(repr, lacking[:5]))}"
            f"{' and more' if len(lacking) > 5 else ''}: add them, or leave them out with {option('drop')}"
        )
    further = [name for name in others if name not in names]
    notes = (f"ignored {', '.join(map(repr, further))}: only {held.where} has them",) if further else ()
    columns = {
        name: pd.concat(
            _alike(source.features[name], held.features[name], "column", held.where),
            ignore_index=True,
        )
        for name in names
    }
    table = pd.DataFrame(columns, columns=names, index=range(len(target)))
    return replace(
        source,
        features=table,
        target=target.rename(str(source.target.name)),
        notes=(*source.notes, *notes),
        extra=extra,
    )


def _check_target(source: Source, held: Source) -> None:
    """Classes that are words must be those of the other rows; numbers are looked at once the task is known."""
    kinds = [
        read_column(own.target.reset_index(drop=True), f"target {str(own.target.name)!r} of {own.where}")[1]
        for own in (source, held)
    ]
    if kinds[0] != "categorical":
        return
    known = set(read_text(source.target).dropna().unique())
    text = _as_text(held.target.reset_index(drop=True))
    unseen = (text.notna() & ~text.isin(known)).to_numpy()
    if unseen.any():
        row = int(unseen.argmax())
        raise DataError(unseen_class(text.iloc[row], f"row {row + 1} of {held.where}"))


def unseen_class(label: object, where: str) -> str:
    """What to say of a class that only the test part has."""
    return (
        f"every class of the test part must occur in the other rows, or no model could learn it; {label!r} in {where} "
        "does not: correct it, or leave those rows out"
    )


def _alike(first: pd.Series, second: pd.Series, role: str, where: str) -> list[pd.Series]:
    """Both columns in forms that make one column; raise `DataError` if their kinds do not go together."""
    first, second = first.reset_index(drop=True), second.reset_index(drop=True)
    if _missing(first) or _missing(second):
        return [first, second] if not _missing(second) else [first, pd.Series(np.nan, second.index, dtype="object")]
    place = f"{role} {str(first.name)!r} of {where}"
    (one, kind), (other, found) = read_column(first, f"{role} {str(first.name)!r}"), read_column(second, place)
    if kind == "categorical":
        return [first, second] if found == kind else [read_text(first), _as_text(second)]
    if found != kind and not _fits(other, kind, found):
        row, value = _first_odd(second, kind)
        raise DataError(
            f"{option('test')} needs values of the same kind; {place} holds {value!r} in row {row}, the other "
            f"rows hold {kind} "
            "values there"
        )
    if kind != found or kind == "date" or first.dtype != second.dtype:
        return [one, other]
    return [first, second]


def _fits(values: pd.Series, wanted: ColumnKind, found: ColumnKind) -> bool:
    """Whether numbers stand where the others have true and false, as 0 and 1, or the other way round."""
    if wanted == "numeric":
        return found == "boolean"
    return wanted == "boolean" and found == "numeric" and bool(values.dropna().isin([0.0, 1.0]).all())


def _first_odd(values: pd.Series, wanted: ColumnKind) -> tuple[int, object]:
    """The first row, from 1, whose value is not of the wanted kind, and that value."""
    present = read_text(values)
    if wanted == "date":
        odd = pd.to_datetime(present, errors="coerce", format="mixed", utc=True).isna() & present.notna()
    elif wanted == "boolean":
        odd = ~present.str.lower().isin(["true", "false", "0", "1", "0.0", "1.0"]) & present.notna()
    else:
        odd = pd.to_numeric(present, errors="coerce").isna() & present.notna()
    row = int(odd.to_numpy().argmax()) if odd.any() else int(present.notna().to_numpy().argmax())
    return row + 1, present.iloc[row]


def _as_text(values: pd.Series) -> pd.Series:
    """Values as the text that a table of text would hold: whole numbers without a point."""
    if pd.api.types.is_float_dtype(values.dtype):
        return values.map(lambda value: f"{value:.15g}", na_action="ignore").astype("object").astype("str")
    return read_text(values)


def _missing(values: pd.Series) -> bool:
    return bool(values.isna().all())

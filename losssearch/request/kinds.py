"""What an option may be: in words, as a check, on the command line, and in JSON."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Integral, Real
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Kind:
    """A kind of value.

    Args:
        words: completes "must be …".
        fits: whether a value of Python's is of this kind.
        written: the type of one value on the command line; a ``bool`` is a flag.
        several: whether the command line takes several: with ``"commas"`` between them, or the flag ``"again"``.
        schema: the JSON Schema of a value; None if it has no form in JSON.
        after_flag: texts that may follow the flag of the command line, which stands alone otherwise and means True.
    """

    words: str
    fits: Callable[[Any], bool]
    written: type = str
    several: str = ""
    schema: Mapping[str, Any] | None = field(default_factory=lambda: {"type": "string"})
    after_flag: tuple[str, ...] = ()


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_flag(value: Any) -> bool:
    import numpy as np

    return isinstance(value, bool | np.bool_)


def _is_whole(value: Any) -> bool:
    return isinstance(value, Integral) and not _is_flag(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not _is_flag(value)


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def _is_names(value: Any) -> bool:
    return _is_text(value) or (_is_list(value) and all(map(_is_text, value)))


def _is_numbers(value: Any) -> bool:
    import numpy as np

    listed = value.ndim == 1 if isinstance(value, np.ndarray) else _is_list(value)
    return listed and all(map(_is_number, value))


def _is_data(value: Any) -> bool:
    import pandas as pd

    return isinstance(value, str | Path | pd.DataFrame | tuple)


def _is_labels(value: Any) -> bool:
    import numpy as np
    import pandas as pd
    from torch import Tensor

    return isinstance(value, np.ndarray | pd.Series | Tensor)


def _is_duration(value: Any) -> bool:
    return _is_text(value) or _is_number(value)


def _is_path(value: Any) -> bool:
    return isinstance(value, str | os.PathLike)


def _names(words: str, several: str = "commas") -> Kind:
    schema = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
    return Kind(words, _is_names, several=several, schema=schema)


def text(words: str = "a text") -> Kind:
    """A text that says what ``words`` do."""
    return Kind(words, _is_text)


def function(words: str) -> Kind:
    """A function, which only Python can give."""
    return Kind(words, callable, schema=None)


TEXT = text()
FLAG = Kind("True or False", _is_flag, bool, schema={"type": "boolean"})
RESUME = Kind(
    "True, False or 'auto'",
    lambda value: _is_flag(value) or (_is_text(value) and value == "auto"),
    schema={"enum": [False, True, "auto"]},
    after_flag=("auto",),
)
WHOLE = Kind("a whole number", _is_whole, int, schema={"type": "integer"})
NUMBER = Kind("a number", _is_number, float, schema={"type": "number"})
SIZE = text("a size such as '2G'")
URL = Kind("a URL", lambda value: _is_text(value) and bool(value))
PATH = Kind("a path", _is_path)
NAMED = Kind("the name of a column, or one value for each row", lambda v: _is_text(v) or _is_labels(v) or _is_list(v))
COLUMNS = _names("the name of a column, or a list of them")
TARGET = _names("the name of a column, or a list of them", several="")
METRIC = Kind(
    "the name of a metric, such as 'roc_auc', 'rmse' or 'cost(fp=1,fn=5)', or a function of (outputs, target)",
    lambda value: _is_text(value) or callable(value),
)
LIMITS = _names("a text such as 'demographic_parity_difference <= 0.05', or a list of them", several="again")
MODULES = Kind(
    "the name of a module or the path of a .py file, or a list of them",
    lambda value: _is_path(value) or (_is_list(value) and all(map(_is_path, value))),
    several="again",
    schema=COLUMNS.schema,
)
SENSITIVE = Kind(
    "a column, a list of columns, or one label for each row",
    lambda value: _is_names(value) or _is_labels(value),
    several="commas",
    schema=COLUMNS.schema,
)
GOALS = Kind(
    "a list of names: a metric and a gap between groups",
    lambda value: _is_list(value) and _is_names(value),
    several="commas",
    schema={"type": "array", "items": {"type": "string"}},
)
RATES = Kind(
    "a list of learning rates",
    _is_numbers,
    float,
    several="commas",
    schema={"type": "array", "items": {"type": "number", "exclusiveMinimum": 0}},
)
SHARES = Kind(
    "a list of shares, one for each class", _is_numbers, float, "commas", {"type": "array", "items": {"type": "number"}}
)
DATA = Kind("a path, builtin:NAME, openml:ID, a data frame or a pair (X, y)", _is_data)
MORE_DATA = Kind("data of the same form as data", _is_data)
MODEL = Kind("the name of a model, or a factory called with (features, outputs)", lambda v: _is_text(v) or callable(v))
LIBRARY = Kind("'library'", lambda value: _is_text(value) and value == "library", schema={"enum": ["library"]})
SPACE = Kind("the name of a search space, or the path of a YAML file", _is_path)
DURATION = Kind("a number of seconds, or a duration such as '10m'", _is_duration, schema={"type": ["string", "number"]})
RESOURCES = Kind(
    "a mapping such as {'num_cpus': 2}",
    lambda value: isinstance(value, Mapping),
    schema={"type": "object", "additionalProperties": {"type": ["number", "string"]}},
)
ANYTHING = Kind("", lambda value: True, schema={"type": ["string", "number", "boolean"]})
VERBOSITY = Kind("0, 1, True or False", lambda v: _is_flag(v) or (_is_whole(v) and v in (0, 1)), schema=None)

"""The types of what `losssearch.search` was given: an argument of the wrong type is told at once, in one line."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from torch import Tensor, nn

from losssearch.errors import OptionError, shown

Check = Callable[[Any], bool]


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool | np.bool_)


def _is_whole(value: Any) -> bool:
    return isinstance(value, Integral) and not _is_flag(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not _is_flag(value)


def _is_path(value: Any) -> bool:
    return isinstance(value, str | os.PathLike)


def _is_names(value: Any) -> bool:
    return _is_text(value) or (_is_list(value) and all(map(_is_text, value)))


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def _is_numbers(value: Any) -> bool:
    listed = value.ndim == 1 if isinstance(value, np.ndarray) else _is_list(value)
    return listed and all(map(_is_number, value))


def _is_data(value: Any) -> bool:
    return isinstance(value, str | Path | pd.DataFrame | tuple)


def _is_labels(value: Any) -> bool:
    return isinstance(value, np.ndarray | pd.Series | Tensor)


_TEXT = ("a text", _is_text)
_FLAG = ("True or False", _is_flag)
_WHOLE = ("a whole number", _is_whole)
_NUMBER = ("a number", _is_number)
_PATH = ("a path", _is_path)
_NAMED = ("the name of a column, or one value for each row", lambda v: _is_text(v) or _is_labels(v) or _is_list(v))
_NAMES = ("a text, or a list of texts", _is_names)

_TYPES: dict[str, tuple[str, Check]] = {
    "data": ("a path, builtin:NAME, openml:ID, a data frame or a pair (X, y)", _is_data),
    "train": ("a function of (loss, trial)", callable),
    "target": ("the name of a column, or a list of them", _is_names),
    "metric": (
        "the name of a metric, such as 'roc_auc', 'rmse' or 'cost(fp=1,fn=5)', or a function of (outputs, target)",
        lambda v: _is_text(v) or callable(v),
    ),
    "direction": ("'maximize' or 'minimize'", _is_text),
    "task": ("'binary', 'multiclass' or 'regression'", _is_text),
    "classes": _WHOLE,
    "class_prior": ("a list of shares, one for each class", _is_numbers),
    "model": (
        "the name of a model, or a factory called with (features, outputs)",
        lambda v: _is_text(v) or callable(v),
    ),
    "space": ("the name of a search space, or the path of a YAML file", _is_path),
    "drop": ("the name of a column, or a list of them", _is_names),
    "drop_missing_target": _FLAG,
    "max_rows": _WHOLE,
    "test": ("data of the same form as data", _is_data),
    "group": _NAMED,
    "time": _NAMED,
    "split": _NAMED,
    "weight": _NAMED,
    "sample_weight": _NAMED,
    "time_as_feature": _FLAG,
    "data_memory": ("a size such as '2G'", _is_text),
    "sensitive": ("a column, a list of columns, or one label for each row", lambda v: _is_names(v) or _is_labels(v)),
    "sensitive_as_feature": _FLAG,
    "constraints": ("a text such as 'demographic_parity_difference <= 0.05', or a list of them", _is_names),
    "objectives": ("a list of names: a metric and a gap between groups", lambda v: _is_list(v) and _is_names(v)),
    "confidence": _NUMBER,
    "group_thresholds": _FLAG,
    "references": _FLAG,
    "private_epsilon": _NUMBER,
    "private_delta": _NUMBER,
    "trials": _WHOLE,
    "time_budget": ("a number of seconds, or a duration such as '10m'", lambda v: _is_text(v) or _is_number(v)),
    "epochs": _WHOLE,
    "rates": ("a list of learning rates", _is_numbers),
    "draws": _WHOLE,
    "confirm_seeds": _WHOLE,
    "workers": _WHOLE,
    "ray_address": _TEXT,
    "cpus_per_worker": _NUMBER,
    "gpus_per_worker": _NUMBER,
    "memory_per_worker": ("a size such as '2G'", _is_text),
    "resources": ("a mapping such as {'num_cpus': 2}", lambda v: isinstance(v, Mapping)),
    "device": ("'auto', 'cpu' or 'cuda'", _is_text),
    "study": _TEXT,
    "resume": _FLAG,
    "prefer_known": _FLAG,
    "storage": ("a URL", lambda v: _is_text(v) and bool(v)),
    "tracking_uri": ("a URL", lambda v: _is_text(v) and bool(v)),
    "mlflow": _FLAG,
    "out": _PATH,
    "imports": ("the name of a module or the path of a .py file, or a list of them", _is_names),
    "seed": _WHOLE,
    "verbose": ("0, 1, True or False", lambda v: _is_flag(v) or (_is_whole(v) and v >= 0)),
}
"""What each argument must be, and how that is seen. One that is not named here may be anything."""

_NEVER_NONE = frozenset({"model", "drop", "constraints", "objectives", "confidence", "private_delta"}) | frozenset(
    {"imports", "confirm_seeds", "device", "seed", "verbose"}
    | {name for name, (_, check) in _TYPES.items() if check is _is_flag}
)
"""Arguments whose default is not None, which stands for one that is left out."""


def check_types(arguments: Mapping[str, Any]) -> None:
    """Raise `OptionError` for the first of ``arguments``, by name, that is of the wrong type."""
    _refuse_model(arguments.get("model"))
    for name, value in arguments.items():
        if name not in _TYPES or (value is None and name not in _NEVER_NONE):
            continue
        expected, fits = _TYPES[name]
        if not fits(value):
            found = "None" if value is None else f"{_brief(value)}, which is a {type(value).__name__}"
            raise OptionError(f"{name} must be {expected}, got {found}")


def plain(value: Any) -> Any:
    """A scalar of NumPy as Python's own, which is what a study's record holds."""
    return value.item() if isinstance(value, np.generic) else value


def _refuse_model(model: Any) -> None:
    """A model in place of its factory comes with advice."""
    if isinstance(model, nn.Module):
        name = type(model).__name__
        raise OptionError(
            "model must be a factory that makes a new model for each training, called with (features, outputs); got a "
            f"model, {name}(…): give a function, such as lambda features, outputs: {name}(…)"
        )


def _brief(value: object) -> str:
    """A value in one line."""
    return " ".join(shown(value).split())

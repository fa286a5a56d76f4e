"""Datasets that come with scikit-learn, under the names that ``builtin:NAME`` takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from losssearch.errors import UnknownNameError

TARGET = "target"
"""The target column of every built-in dataset."""

LONGTAIL_IMBALANCE = 0.08
"""Rows of the rarest class of ``digits_longtail`` for each row of the most frequent one."""


def _breast_cancer() -> pd.DataFrame:
    from sklearn.datasets import load_breast_cancer

    return _with_class_names(load_breast_cancer(as_frame=True))


def _wine() -> pd.DataFrame:
    from sklearn.datasets import load_wine

    return _with_class_names(load_wine(as_frame=True))


def _diabetes() -> pd.DataFrame:
    from sklearn.datasets import load_diabetes

    return pd.DataFrame(load_diabetes(as_frame=True, scaled=False).frame)


def _with_class_names(bunch: Mapping[str, Any]) -> pd.DataFrame:
    frame = pd.DataFrame(bunch["frame"])
    names = dict(enumerate(map(str, bunch["target_names"])))
    return frame.assign(**{TARGET: frame[TARGET].map(names)})


def _digits() -> tuple[NDArray[np.float32], pd.Series]:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    return (bunch.images / 16).astype(np.float32), pd.Series(bunch.target, name=TARGET)


def _digits_longtail() -> tuple[NDArray[np.float32], pd.Series]:
    """Digits where class c keeps ``round(174 * 0.08 ** (c / 9))`` rows: 174 zeros down to 14 nines.

    174 is the size of the smallest class. The rows kept stand at equal distances in the order of the file;
    all 14 nines give 8, 3 and 3 rows to the search, confirmation and test parts.
    """
    images, target = _digits()
    labels = target.to_numpy()
    most = int(np.bincount(labels).min())
    kept = []
    for label in range(10):
        rows = np.flatnonzero(labels == label)
        count = round(most * LONGTAIL_IMBALANCE ** (label / 9))
        kept.append(rows[np.arange(count) * len(rows) // count])
    chosen = np.sort(np.concatenate(kept))
    return images[chosen], pd.Series(labels[chosen], name=TARGET)


_TABLES: Mapping[str, Callable[[], pd.DataFrame]] = MappingProxyType(
    {"breast_cancer": _breast_cancer, "wine": _wine, "diabetes": _diabetes}
)
_IMAGES: Mapping[str, Callable[[], tuple[NDArray[np.float32], pd.Series]]] = MappingProxyType(
    {"digits": _digits, "digits_longtail": _digits_longtail}
)

BUILTIN_NAMES: tuple[str, ...] = (*sorted(_TABLES), *sorted(_IMAGES))
"""Every name that ``builtin:NAME`` takes."""


def load_builtin(name: str) -> pd.DataFrame | tuple[NDArray[np.float32], pd.Series]:
    """A table with a column ``target``, or images [rows, height, width] in [0, 1] and their labels.

    Raises `UnknownNameError` for a name that is not built in.
    """
    if name in _TABLES:
        return _TABLES[name]()
    if name in _IMAGES:
        return _IMAGES[name]()
    raise UnknownNameError("built-in dataset", name, BUILTIN_NAMES)

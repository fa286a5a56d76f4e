"""Data: from a file, a built-in set, OpenML or arrays to splits and encoded tensors.

``load`` → ``Dataset`` → ``partition`` → ``draws`` → ``make_replicas``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from losssearch.data.builtin import BUILTIN_NAMES
    from losssearch.data.dataset import Dataset, load
    from losssearch.data.encoding import Encoder
    from losssearch.data.replicas import Replicas, make_replicas
    from losssearch.data.schema import Column, Schema
    from losssearch.data.sources import Data
    from losssearch.data.splits import Draw, Partition, draws, partition

__all__ = [
    "BUILTIN_NAMES",
    "Column",
    "Data",
    "Dataset",
    "Draw",
    "Encoder",
    "Partition",
    "Replicas",
    "Schema",
    "draws",
    "load",
    "make_replicas",
    "partition",
]

_MODULES = {
    "BUILTIN_NAMES": "builtin",
    "Column": "schema",
    "Data": "sources",
    "Dataset": "dataset",
    "Draw": "splits",
    "Encoder": "encoding",
    "Partition": "splits",
    "Replicas": "replicas",
    "Schema": "schema",
    "draws": "splits",
    "load": "dataset",
    "make_replicas": "replicas",
    "partition": "splits",
}


def __getattr__(name: str) -> Any:
    # pandas, scikit-learn and torch load when first needed, so that the command line answers at once.
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)

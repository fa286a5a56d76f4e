"""Dataclasses of tensors as plain arrays and back, so that an object store shares them without a copy.

Pickled tensors travel inside the pickle and are copied by each reader; NumPy arrays travel outside it.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch


@dataclass(frozen=True)
class _Packed:
    kind: type
    content: dict[str, Any]


def pack(value: Any) -> Any:
    """``value`` with each tensor as an array; walks dataclasses, mappings, tuples and lists."""
    if isinstance(value, torch.Tensor):
        return value.detach().cpu().numpy()
    if is_dataclass(value) and not isinstance(value, type):
        return _Packed(type(value), {entry.name: pack(getattr(value, entry.name)) for entry in fields(value)})
    if isinstance(value, Mapping):
        return {name: pack(item) for name, item in value.items()}
    if isinstance(value, tuple | list):
        return type(value)(pack(item) for item in value)
    return value


def unpack(value: Any, *, copy: bool) -> Any:
    """What was packed. Without ``copy``, tensors look into the arrays' own memory: nobody may write to them."""
    if isinstance(value, np.ndarray):
        return _tensor(value, copy)
    if isinstance(value, _Packed):
        return value.kind(**{name: unpack(item, copy=copy) for name, item in value.content.items()})
    if isinstance(value, dict):
        return {name: unpack(item, copy=copy) for name, item in value.items()}
    if isinstance(value, tuple | list):
        return type(value)(unpack(item, copy=copy) for item in value)
    return value


def _tensor(array: npt.NDArray[Any], copy: bool) -> torch.Tensor:
    if copy:
        return torch.tensor(array)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array)

"""The heads of a module concatenated to one tensor, one head after another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from losssearch.errors import OptionError


def joined(output: Any, heads: Mapping[str, int]) -> Tensor:
    """What a module put out for one batch, as one tensor.

    Args:
        output: A tensor, which is returned as it is; a mapping from the name of each head to its tensor; or a tuple or
            list of them, in order. A head is ``[batch, width]``, or ``[batch]`` where its width is 1.
        heads: The width of each head by its name, in order.

    Returns:
        ``[batch, columns]``, or ``[batch]`` or ``[batch, 1]`` as it came.

    Raises:
        OptionError: Where the heads are not those of ``heads``.
    """
    if isinstance(output, Tensor):
        return output
    wanted = ", ".join(f"{name} [batch, {width}]" for name, width in heads.items())
    rule = f"the model must put out one tensor, or the heads {wanted} in a mapping or a tuple"
    if isinstance(output, Mapping):
        if set(output) != set(heads):
            raise OptionError(f"{rule}; it put out a mapping with {', '.join(map(repr, output)) or 'nothing'}")
        found = [output[name] for name in heads]
    elif isinstance(output, Sequence) and not isinstance(output, str):
        if len(output) != len(heads):
            raise OptionError(f"{rule}; it put out {len(output)} values")
        found = list(output)
    else:
        raise OptionError(f"{rule}; it put out {type(output).__name__}")
    columns = []
    for (name, width), value in zip(heads.items(), found, strict=True):
        if not isinstance(value, Tensor):
            raise OptionError(f"{rule}; it put out {type(value).__name__} for {name}")
        column = value.unsqueeze(-1) if value.dim() == 1 and width == 1 else value
        if column.dim() != 2 or column.shape[1] != width:
            raise OptionError(f"{rule}; it put out {list(value.shape)} for {name}")
        columns.append(column)
    return torch.cat(columns, -1)

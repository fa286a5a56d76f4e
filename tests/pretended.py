"""A device that is pretended: values are computed on the CPU, but tensors say that they lie elsewhere.

So what would make a host wait for a CUDA device can be counted on a machine without one: numbers read out of tensors,
tensors copied to the device or back, and results whose shape depends on values.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, Self

import torch
from torch import Tensor
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

DEVICE = torch.device("meta")
_ATEN = torch.ops.aten
_READS = {_ATEN._local_scalar_dense.default, _ATEN.equal.default}
_COPIES = {_ATEN._to_copy.default, _ATEN.copy_.default}
_MASKED = {_ATEN.index.Tensor, _ATEN.index_put.default, _ATEN.index_put_.default}


class Remote(Tensor):
    """A tensor of the pretended device; ``inner`` holds its values."""

    inner: Tensor

    @staticmethod
    def __new__(cls, inner: Tensor) -> Self:
        shape = torch.empty_strided(inner.shape, inner.stride(), dtype=inner.dtype, device=DEVICE)
        made: Self = torch.Tensor._make_subclass(cls, shape)
        made.inner = inner
        return made

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise AssertionError(f"{func} was called on a pretended tensor outside `Pretended`")


class Pretended(TorchDispatchMode):
    """Within it, tensors on `DEVICE` are pretended ones; ``waits`` counts by kind what a host would wait for."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        given = [x for x in pytree.tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
        remote = [x for x in given if isinstance(x, Remote)]
        made = [x for x in given if x.device == DEVICE and not isinstance(x, Remote)]
        assert not made, f"{func} reads a tensor that was made of numbers of the host, on the device, by a copy"
        there = kwargs.get("device")
        self._count(func, args, given, remote, there)
        goes = there == DEVICE if there is not None else bool(remote)
        if remote and func not in _COPIES:
            odd = [x for x in given if not isinstance(x, Remote) and x.dim()]
            assert not odd, f"{func} mixes tensors of the host and of the device"
        inner = pytree.tree_map_only(Remote, lambda x: x.inner, (args, kwargs))
        if there is not None:
            inner[1]["device"] = torch.device("cpu")
        result = func(*inner[0], **inner[1])
        if func._schema.is_mutable and remote:
            if torch.Tag.inplace_view in func.tags:
                with torch._C._DisableTorchDispatch():
                    func(*args, **kwargs)  # the shape that the tensor shows
            return pytree.tree_map_only(Tensor, lambda x: self._again(x, remote), result)
        return pytree.tree_map_only(Tensor, Remote, result) if goes else result

    @staticmethod
    def _again(result: Tensor, remote: list[Remote]) -> Tensor:
        """An operation in place gives the tensor that it was given."""
        same = [x for x in remote if x.inner is result]
        return same[0] if same else Remote(result)

    def _count(self, func: Any, args: Any, given: list[Tensor], remote: list[Remote], there: Any) -> None:
        if func in _COPIES and isinstance(args[0], Tensor):
            target = there if there is not None else args[0].device
            source = args[1] if func is _ATEN.copy_.default else args[0]
            if torch.device(target).type != source.device.type:
                self.waits["to the device" if torch.device(target) == DEVICE else "from the device"] += 1
        elif not remote:
            return
        elif func in _READS:
            self.waits["read"] += 1
        elif func in _MASKED:
            if any(x is not None and x.dtype == torch.bool for x in args[1]):
                self.waits["mask"] += 1
        elif torch.Tag.dynamic_output_shape in func.tags:
            self.waits[str(func)] += 1

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False

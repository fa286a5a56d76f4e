"""A function of tensors as the bare operations that it comes down to.

The loss of a population is hundreds of small operations. What calls them (``vmap``, autograd, the naming of inputs)
takes longer than they do, and is the same at every step. So the first call is recorded, and the others repeat its
operations: each once, however many parts asked for it, and none whose result is constant or not used.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch._ops import OpOverload
from torch.utils._python_dispatch import TorchDispatchMode

Function: TypeAlias = Callable[..., tuple[Tensor, ...]]
"""Of tensors, some of which may be None, to tensors. It must be pure: no writing in place, no random numbers."""

_ATEN = torch.ops.aten
_SHAPED = frozenset(
    {
        _ATEN.full_like.default,
        _ATEN.new_full.default,
        _ATEN.new_ones.default,
        _ATEN.new_zeros.default,
        _ATEN.ones_like.default,
        _ATEN.zeros_like.default,
    }
)
"""Operations whose result says nothing of their inputs but the shape, so that it is constant."""

_FACTORS = frozenset({_ATEN.mul.Tensor, _ATEN.div.Tensor})
"""Operations that leave their first argument as it is where the second is one."""

_PURE: Mapping[OpOverload, OpOverload] = {
    _ATEN.squeeze_.dim: _ATEN.squeeze.dim,
    _ATEN.squeeze_.dims: _ATEN.squeeze.dims,
    _ATEN.unsqueeze_.default: _ATEN.unsqueeze.default,
    _ATEN.transpose_.default: _ATEN.transpose.int,
    _ATEN.t_.default: _ATEN.t.default,
    _ATEN.masked_fill_.Scalar: _ATEN.masked_fill.Scalar,
    _ATEN.masked_fill_.Tensor: _ATEN.masked_fill.Tensor,
}
"""Operations in place that PyTorch itself uses, with those that make a new tensor. It is the same where they change the
shape alone, or where nothing else shows the memory that they change."""

_QUICK: Mapping[OpOverload, Callable[..., Any]] = {
    _ATEN.add.Tensor: torch.add,
    _ATEN.amax.default: torch.amax,
    _ATEN.amin.default: torch.amin,
    _ATEN.bmm.default: torch.bmm,
    _ATEN.cat.default: torch.cat,
    _ATEN.clamp_min.default: torch.clamp_min,
    _ATEN.div.Tensor: torch.div,
    _ATEN.eq.Tensor: torch.eq,
    _ATEN.exp.default: torch.exp,
    _ATEN.expand.default: Tensor.expand,
    _ATEN.gather.default: torch.gather,
    _ATEN.gt.Scalar: torch.gt,
    _ATEN.index_add.default: torch.index_add,
    _ATEN.index_put.default: torch.index_put,
    _ATEN.index_select.default: torch.index_select,
    _ATEN.log.default: torch.log,
    _ATEN.mean.dim: torch.mean,
    _ATEN.mul.Tensor: torch.mul,
    _ATEN.neg.default: torch.neg,
    _ATEN.permute.default: torch.permute,
    _ATEN.relu.default: torch.relu,
    _ATEN.rsub.Scalar: torch.rsub,
    _ATEN.scatter_add.default: torch.scatter_add,
    _ATEN.select.int: torch.select,
    _ATEN.sigmoid.default: torch.sigmoid,
    _ATEN.squeeze.dim: torch.squeeze,
    _ATEN.stack.default: torch.stack,
    _ATEN.sub.Tensor: torch.sub,
    _ATEN.sum.dim_IntList: torch.sum,
    _ATEN.transpose.int: torch.transpose,
    _ATEN.unsqueeze.default: torch.unsqueeze,
    _ATEN.view.default: Tensor.view,
    _ATEN.where.self: torch.where,
}
"""The same with a binding of its own, which takes half the time to call."""


class Tape:
    """A function, recorded at its first call with tensors of given shapes and repeated at the next.

    What cannot be repeated (it reads a number out of a tensor, draws random numbers, writes in place) is called as it
    is. Results carry no gradient and are not to be written in: some are the same tensor at every call.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[object, ...], Function | None] = {}

    @torch.no_grad()
    def __call__(self, function: Function, *inputs: Tensor | None) -> tuple[Tensor, ...]:
        """What ``function`` gives, which is the same one at every call."""
        key = tuple(None if x is None else (x.shape, x.stride(), x.dtype, x.device) for x in inputs)
        if key in self._known:
            return (self._known[key] or function)(*inputs)
        with _Recorder(inputs) as recorder:
            outputs = function(*inputs)
        self._known[key] = recorder.writer.function(outputs) if recorder.repeatable else None
        return outputs


class _Recorder(TorchDispatchMode):
    """Has every operation written down. Its tensors are kept alive, as a tensor is known by its identity."""

    def __init__(self, inputs: tuple[Tensor | None, ...]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.writer, self.repeatable = _Writer(inputs), True
        self._alive = list[Any]()
        self._shown = Counter(_place(x) for x in inputs if x is not None)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        operation = _PURE.get(func, func)
        kept = operation is func or torch.Tag.inplace_view in func.tags
        alone = kept or self._shown[_place(result)] == 1
        self.repeatable = self.repeatable and alone and _repeatable(operation, args)
        if self.repeatable:
            self._alive.append((args, result))
            self._shown.update(_place(x) for x in _tensors(result) if operation is func)
            self.writer.add(operation, args, kwargs or {}, result)
        return result

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # there is nothing of Dynamo here, whose import takes a second


def _place(x: Tensor) -> int:
    return x.untyped_storage().data_ptr()


def _tensors(result: Any) -> list[Tensor]:
    return [x for x in (result if isinstance(result, list | tuple) else [result]) if isinstance(x, Tensor)]


def _repeatable(operation: OpOverload, arguments: tuple[Any, ...]) -> bool:
    tags = operation.tags
    if torch.Tag.nondeterministic_seeded in tags or torch.Tag.data_dependent_output in tags:
        return False
    if torch.Tag.dynamic_output_shape in tags:  # an index by numbers is not, one by a mask is
        if operation is not _ATEN.index.Tensor:
            return False
        if any(index is not None and index.dtype == torch.bool for index in arguments[1]):
            return False
    return not operation._schema.is_mutable  # noqa: SLF001  (nothing public says it)


@dataclass(frozen=True)
class _Line:
    """The left side of a line of source, the names that it sets and those that it reads."""

    target: str
    sets: tuple[str, ...]
    reads: frozenset[str]


class _Writer:
    """Writes the calls down as the source of a function, line by line."""

    def __init__(self, inputs: tuple[Tensor | None, ...]) -> None:
        self._inputs = tuple(f"i{place}" for place in range(len(inputs)))
        self._names = {id(x): name for name, x in zip(self._inputs, inputs, strict=True) if x is not None}
        self._lines: dict[str, _Line] = {}
        """By their right sides."""
        self._constants: dict[Hashable, str] = {}

    def add(self, operation: OpOverload, args: tuple[Any, ...], kwargs: Mapping[str, Any], result: Any) -> None:
        """Take in one call; the same call a second time is the first."""
        reads: set[str] = set()
        if (same := self._same(operation, args, result)) is not None:
            self._names[id(result)] = self._written(same, reads)
            return
        arguments = [self._written(value, reads) for value in args]
        arguments += [f"{name}={self._written(value, reads)}" for name, value in kwargs.items()]
        if not reads or operation in _SHAPED:
            return  # the result is constant
        results = _tensors(result)
        text = f"{self._constant(_QUICK.get(operation, operation))}({', '.join(arguments)})"
        if text not in self._lines:
            sets = tuple(f"v{len(self._lines)}_{place}" for place in range(len(results)))
            target = sets[0] if result is results[0] else f"{', '.join(sets)},"
            self._lines[text] = _Line(target, sets, frozenset(reads))
        self._names.update({id(x): name for x, name in zip(results, self._lines[text].sets, strict=True)})

    def function(self, outputs: tuple[Tensor, ...]) -> Function:
        """The function that has been written down, of the results that ``outputs`` are."""
        needed: set[str] = set()
        body = [f" return {', '.join([self._written(output, needed) for output in outputs])},"]
        for text, line in reversed(self._lines.items()):
            if needed.isdisjoint(line.sets):
                continue
            # What is read for the last time is let go, so that memory holds no more than it must.
            last = sorted(line.reads - needed - set(self._inputs))
            body.append(f" {line.target} = {text}" + (f"; del {', '.join(last)}" if last else ""))
            needed |= line.reads
        source = "\n".join([f"def function({', '.join(self._inputs)}):", *reversed(body)])
        namespace: dict[str, Any] = {name: value for value, name in self._constants.items()}
        exec(compile(source, "<tape>", "exec"), namespace)  # noqa: S102  (names and numbers, written above)
        function: Function = namespace["function"]
        return function

    def _same(self, operation: OpOverload, args: tuple[Any, ...], result: Any) -> Any:
        """The argument that the result is equal to, if it is one: seen again as it is, or times or over one."""
        if not isinstance(result, Tensor):
            return None
        found: list[Tensor] = [
            x for x in args[:2] if isinstance(x, Tensor) and x.shape == result.shape and x.dtype == result.dtype
        ]
        for x in found:
            if x is not result and x.data_ptr() == result.data_ptr() and x.stride() == result.stride():
                return x
        if operation in _FACTORS and len(args) == 2:
            left, right = args
            if found and found[0] is left and self._is_one(right):
                return found[0]
            if found and found[-1] is right and operation is _ATEN.mul.Tensor and self._is_one(left):
                return found[-1]
        return None

    def _is_one(self, value: Any) -> bool:
        if isinstance(value, Tensor):
            return id(value) not in self._names and bool((value == 1).all())
        return bool(value == 1)

    def _written(self, value: Any, reads: set[str]) -> str:
        """``value`` as source; adds what it reads of inputs and results."""
        if isinstance(value, Tensor):
            name = self._names.get(id(value))
            if name is None:
                return self._constant(value)
            if name[0] in "iv":
                reads.add(name)
            return name
        if isinstance(value, list | tuple):
            return f"[{', '.join([self._written(item, reads) for item in value])}]"
        plain = value is None or isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value))
        return repr(value) if plain else self._constant(value)

    def _constant(self, value: Hashable) -> str:
        return self._constants.setdefault(value, f"c{len(self._constants)}")

"""What a term, a weighting or a balance keeps while a model trains: its shape, how it starts and what moves it."""

from __future__ import annotations

import hashlib
import math
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, TypeAlias, get_args

import torch
from torch import Tensor

from losssearch.errors import SpecError, shown

Mover: TypeAlias = Literal["loss", "ascent", "update", "row update", "frozen"]
MOVERS: tuple[str, ...] = get_args(Mover)
OPTIMISED = frozenset({"loss", "ascent"})
"""Movers of what the optimiser moves together with the model."""


@dataclass(frozen=True)
class Sizes:
    """What the shape of a state may depend on.

    ``classes``: 2 for a binary task and for regression. ``groups``: sensitive groups, 0 without. ``rows``: rows of the
    training part, 0 where they are not known. ``parts``: parts of the loss, for a balance. ``choices``: the term's
    choices by name.
    """

    classes: int = 2
    groups: int = 0
    rows: int = 0
    parts: int = 1
    choices: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True)
class _Array:
    """A constant array, which is equal to another of the same content."""

    sha256: str
    tensor: Tensor = field(compare=False, repr=False)

    @classmethod
    def of(cls, tensor: Tensor) -> _Array:
        kept = tensor.detach().to(torch.float32).cpu().contiguous().clone()
        return cls(hashlib.sha256(kept.numpy().tobytes()).hexdigest(), kept)


@dataclass(frozen=True)
class State:
    """One tensor that is kept from batch to batch, declared beside the hyperparameters as a keyword-only parameter.

    Args:
        shape: The shape, or a function of the `Sizes` that gives it.
        init: A number that fills it, a tensor of that shape, or a function ``init(shape, generator)``.
        moved_by: What changes it. ``"loss"``: the optimiser, with the model, down the gradient. ``"ascent"``: the
            same, up the gradient, for the inner maximum of a min-max problem. ``"update"``: ``update``, after each
            batch. ``"row update"``: the same with one row per training row; the function is given the rows of the
            batch, ``[batch, *shape]``. ``"frozen"``: nothing.
        update: A function of what the term itself takes that gives the next value; nothing is differentiated
            through it.

    Raises:
        SpecError: for another mover, or where ``update`` is missing or left over.

    Example:
        >>> State((8, 3), lambda shape, generator: 0.1 * torch.randn(shape, generator=generator)).moved_by
        'loss'
    """

    shape: tuple[int, ...] | Callable[[Sizes], tuple[int, ...]] = ()
    init: float | Callable[[tuple[int, ...], torch.Generator], Tensor] | Tensor | _Array = 0.0
    moved_by: Mover = "loss"
    update: Callable[..., Tensor] | None = None

    def __post_init__(self) -> None:
        if str(self.moved_by) == "validation":
            raise SpecError("a state cannot be moved by the validation loss yet; choose another mover")
        if self.moved_by not in MOVERS:
            raise SpecError(f"a state is moved by one of {', '.join(MOVERS)}; got {shown(self.moved_by)}")
        if (self.update is not None) is not (self.moved_by in ("update", "row update")):
            raise SpecError(f"a state needs an update function just where an update moves it, got {self.moved_by!r}")
        if isinstance(self.init, Tensor):
            object.__setattr__(self, "init", _Array.of(self.init))
        elif not callable(self.init) and not isinstance(self.init, _Array):
            if isinstance(self.init, bool) or not isinstance(self.init, int | float) or not math.isfinite(self.init):
                raise SpecError(f"a state starts from a finite number, a tensor or a function; got {shown(self.init)}")
            object.__setattr__(self, "init", float(self.init))
        if not callable(self.shape):
            object.__setattr__(self, "shape", _checked_shape(self.shape))
        if self.moved_by == "frozen" and not isinstance(self.init, _Array):
            raise SpecError("a frozen state is an array: give init as a tensor")

    @property
    def optimised(self) -> bool:
        """Whether the optimiser moves it with the model."""
        return self.moved_by in OPTIMISED

    def size(self, sizes: Sizes) -> tuple[int, ...]:
        """The shape at ``sizes``; raises `SpecError` where the declared function gives no shape."""
        if not callable(self.shape):
            return self.shape
        return _checked_shape(self.shape(sizes))

    def start(self, sizes: Sizes, name: str, seed: int = 0) -> Tensor:
        """The initial value, float32: of the shape at ``sizes``, one per row where it is moved by a row update.

        A random one is the same for the same ``name`` and ``seed``.
        """
        shape = self.size(sizes)
        whole = (sizes.rows, *shape) if self.moved_by == "row update" else shape
        if isinstance(self.init, float):
            return torch.full(whole, self.init)
        if isinstance(self.init, _Array):
            value = self.init.tensor
        else:
            generator = torch.Generator().manual_seed((zlib.crc32(name.encode()) + seed * 1_000_003) % (1 << 63))
            assert callable(self.init)  # noqa: S101  (no tensor is left after `__post_init__`)
            value = self.init(shape, generator).detach().to(torch.float32)
        if tuple(value.shape) != shape:
            raise SpecError(f"the initial value of {name} must have the shape {list(shape)}, got {list(value.shape)}")
        return value.expand(whole).clone()


def Learned(initial: float = 0.0) -> State:  # noqa: N802  (stands among the domains, which are classes)
    """A scalar that is learned together with the model, from ``initial``."""
    return State((), initial, "loss")


def ascending(value: Tensor) -> Tensor:
    """``value`` itself, whose gradient has the other sign: descending it climbs the loss."""
    return 2 * value.detach() - value


def _checked_shape(shape: object) -> tuple[int, ...]:
    whole = isinstance(shape, tuple | list | torch.Size) and all(
        isinstance(side, int) and not isinstance(side, bool) and side >= 0 for side in shape
    )
    if not whole:
        raise SpecError(f"the shape of a state is a tuple of whole numbers, got {shown(shape)}")
    return tuple(shape)  # type: ignore[arg-type]

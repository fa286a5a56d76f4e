"""States: what a term, a weighting or a balance keeps while a model trains; shape, initial value and mover."""

from __future__ import annotations

import inspect
import math
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

import torch
from torch import Tensor

from losssearch.arguments import named_fields
from losssearch.errors import SpecError, shown
from losssearch.losses.arrays import array_named, hash_of

if TYPE_CHECKING:
    from losssearch.data.batch import Sizes

Mover: TypeAlias = Literal["loss", "ascent", "validation", "update", "row update", "frozen"]
MOVERS: tuple[str, ...] = get_args(Mover)
OPTIMISED = frozenset({"loss", "ascent"})
"""Movers of what the optimiser moves together with the model."""

TOLD = frozenset({"target", "loss"})
"""What a state that is kept for each training row may say of a row."""

RATE = 0.02
"""Rate at which Adam moves a state by the validation loss, unless the state has another."""


@dataclass(frozen=True)
class Dimensions:
    """What the shape of a state may depend on.

    ``classes``: 2 for a binary task and for regression. ``groups``: sensitive groups, 1 for an attribute that is a
    number, 0 without either. ``rows``: training rows of a replica; ``features``: encoded features of a row;
    ``outputs``: what a model puts out for one row; each 0 where it is not known. ``columns``: what is predicted for one
    row, 0 where that is one share per class. ``parts``: parts of the loss, for a
    balance. ``choices``: the term's choices by name.
    """

    classes: int = 2
    groups: int = 0
    rows: int = 0
    features: int = 0
    outputs: int = 0
    parts: int = 1
    choices: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    columns: int = 0

    @classmethod
    def of(cls, sizes: Sizes, *, choices: Mapping[str, str] = MappingProxyType({}), parts: int = 1) -> Dimensions:
        """Those of data with these sizes."""
        data = (max(sizes.classes, 2), sizes.groups, sizes.rows, sizes.features, sizes.outputs)
        return cls(*data, parts, choices, sizes.columns)


@dataclass(frozen=True)
class _Array:
    """A constant array, which is equal to another of the same content."""

    sha256: str
    tensor: Tensor = field(compare=False, repr=False)

    @classmethod
    def of(cls, tensor: Tensor) -> _Array:
        kept = tensor.detach().to(torch.float32).cpu().contiguous().clone()
        return cls(hash_of(kept), kept)


@dataclass(frozen=True)
class Stored:
    """An array of the library (`losssearch.losses.arrays`), read when it is needed first.

    ``name``: its SHA-256, or the hyperparameter whose value that is.
    """

    name: str

    def array(self, dimensions: Dimensions) -> Tensor:
        """The array; raises `SpecError` where it is not known."""
        return array_named(dimensions.choices.get(self.name, self.name))


@named_fields
@dataclass(frozen=True)
class State:
    """One tensor that is kept from batch to batch, declared with the hyperparameters as a keyword-only parameter.

    Args:
        shape: The shape, or a function of the `Dimensions` that gives it.
        init: A number that fills it, a tensor of that shape, a function ``init(shape, generator)``, or an array of the
            library.
        moved_by: What changes it. ``"loss"``: the optimiser, with the model, down the gradient. ``"ascent"``: the
            same, up the gradient, for the inner maximum of a min-max problem. ``"validation"``: the hypergradient, down
            the loss of training rows that the model itself does not descend; see `losssearch.training.bilevel`. In the
            final training, and in an exported loss, it stays as it was found. ``"update"``: ``update``, after each
            batch. ``"row update"``: the same with one row per training row; the function is given the rows of the
            batch, ``[batch, *shape]``. ``"frozen"``: nothing.
        update: A function of what the term itself takes that gives the next value; nothing is differentiated
            through it.
        restarts: Whether a new training, that with an exported loss included, begins again from ``init``, as after a
            window over recent batches. Otherwise, what a training has found is exported: the value at the epoch whose
            weights count, as of what the optimiser moves. States that are frozen, or per training row, always restart.
        within: The range that it is projected to after each step, where the validation loss moves it.
        rate: The rate of these steps, which fall to a tenth over a training as those of the model do.
        tells: What one per training row says of its row, by name: ``"target"`` ``[rows, classes]``, the target that is
            kept, or ``"loss"`` ``[rows]``, a running loss; each a function of what is kept ``[rows, *shape]`` and of
            the labels as shares of classes ``[rows, classes]``.

    Raises:
        SpecError: the mover is unknown, ``update`` is missing or not needed, or a range or rate is none.

    Example:
        >>> import torch
        >>> from losssearch.losses.state import State
        >>> State((8, 3), lambda shape, generator: 0.1 * torch.randn(shape, generator=generator)).moved_by
        'loss'
    """

    shape: tuple[int, ...] | Callable[[Dimensions], tuple[int, ...]] = ()
    init: float | Callable[[tuple[int, ...], torch.Generator], Tensor] | Tensor | _Array | Stored = 0.0
    moved_by: Mover = "loss"
    update: Callable[..., Tensor] | None = None
    restarts: bool = False
    within: tuple[float, float] = (-math.inf, math.inf)
    rate: float = RATE
    tells: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = field(default_factory=dict, compare=False, repr=False)

    def __post_init__(self) -> None:
        if self.moved_by not in MOVERS:
            raise SpecError(f"a state is moved by one of {', '.join(MOVERS)}; got {shown(self.moved_by)}")
        if (self.update is not None) is not (self.moved_by in ("update", "row update")):
            raise SpecError(f"a state needs an update function just where an update moves it, got {self.moved_by!r}")
        if not self.within[0] < self.within[1]:
            raise SpecError(f"a state lies within (low, high), where low < high, got {shown(self.within)}")
        if not 0 < self.rate < math.inf:
            raise SpecError(f"the rate of a state must be finite and above 0, got {shown(self.rate)}")
        if self.tells and (self.moved_by != "row update" or not set(self.tells) <= TOLD):
            known = ", ".join(sorted(map(repr, TOLD)))
            raise SpecError(f"a state with one per training row may tell {known}, got {shown(list(self.tells))}")
        if isinstance(self.init, Tensor):
            object.__setattr__(self, "init", _Array.of(self.init))
        elif not callable(self.init) and not isinstance(self.init, _Array | Stored):
            if isinstance(self.init, bool) or not isinstance(self.init, int | float) or not math.isfinite(self.init):
                raise SpecError(f"a state starts from a finite number, a tensor or a function; got {shown(self.init)}")
            object.__setattr__(self, "init", float(self.init))
        if not callable(self.shape):
            object.__setattr__(self, "shape", _checked_shape(self.shape))
        if self.moved_by == "frozen" and not isinstance(self.init, _Array | Stored):
            raise SpecError("a frozen state is an array: give init as a tensor")

    @property
    def optimised(self) -> bool:
        """Whether the optimiser moves it with the model."""
        return self.moved_by in OPTIMISED

    @property
    def handed_over(self) -> bool:
        """Whether an exported loss begins with the value that a training has found."""
        return self.optimised or self.by_validation or (self.moved_by == "update" and not self.restarts)

    @property
    def by_validation(self) -> bool:
        """Whether the hypergradient moves it."""
        return self.moved_by == "validation"

    @property
    def carried(self) -> bool:
        """Whether a population carries it from batch to batch, apart from the parameters of its models."""
        return self.by_validation or self.update is not None

    @property
    def by_row(self) -> bool:
        """Whether there is one for each training row."""
        return self.moved_by == "row update"

    def size(self, dimensions: Dimensions) -> tuple[int, ...]:
        """The declared shape; raises `SpecError` where the function that declares it gives none."""
        if not callable(self.shape):
            return self.shape
        return _checked_shape(self.shape(dimensions))

    def start(self, dimensions: Dimensions, name: str, seed: int = 0) -> Tensor:
        """The initial value, float32, of the declared shape; ``[rows, *shape]`` where there is one per row.

        A random one is the same for the same ``name`` and ``seed``.

        Raises:
            SpecError: where the value has another shape, or there is one per row and the rows are not known.
        """
        if not self.by_row:
            return self.first(dimensions, name, seed)
        if not dimensions.rows:
            raise SpecError(f"{name} is kept for each training row: give their number, rows=")
        first = self.first(dimensions, name, seed)
        return first.expand(dimensions.rows, *first.shape).clone()

    def first(self, dimensions: Dimensions, name: str, seed: int = 0) -> Tensor:
        """The initial value, float32, of the declared shape: of each row, where there is one per row."""
        shape = self.size(dimensions)
        if isinstance(self.init, float):
            return torch.full(shape, self.init)
        if isinstance(self.init, _Array):
            value = self.init.tensor
        elif isinstance(self.init, Stored):
            value = self.init.array(dimensions)
        else:
            generator = torch.Generator().manual_seed((zlib.crc32(name.encode()) + seed * 1_000_003) % (1 << 63))
            assert callable(self.init)  # noqa: S101  (no tensor is left after `__post_init__`)
            value = self.init(shape, generator).detach().to(torch.float32)
        if tuple(value.shape) != shape:
            raise SpecError(f"the initial value of {name} must have the shape {list(shape)}, got {list(value.shape)}")
        return value.clone()


def Learned(initial: float = 0.0) -> State:  # noqa: N802  (stands among the domains, which are classes)
    """A scalar that is learned together with the model, from ``initial``."""
    return State((), initial, "loss")


def ascending(value: Tensor) -> Tensor:
    """``value`` itself, whose gradient has the other sign: descending it climbs the loss."""
    return 2 * value.detach() - value


def check_updates(name: str, declared: Mapping[str, object], taken: Sequence[str]) -> None:
    """Raise `SpecError` where an update function of a declaration takes something else than ``name`` itself."""
    for own, state in declared.items():
        if isinstance(state, State) and state.update is not None:
            found = list(inspect.signature(state.update).parameters)
            if found != list(taken):
                raise SpecError(
                    f"the update of {name}'s state {own} must take what {name} takes, {list(taken)}, got {found}"
                )


def _checked_shape(shape: object) -> tuple[int, ...]:
    whole = isinstance(shape, tuple | list | torch.Size) and all(
        isinstance(side, int) and not isinstance(side, bool) and side >= 0 for side in shape
    )
    if not whole:
        raise SpecError(f"the shape of a state is a tuple of whole numbers, got {shown(shape)}")
    return tuple(shape)  # type: ignore[arg-type]

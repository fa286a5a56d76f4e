"""What is known of a loss when it is handed over: the spec, and where it comes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from losssearch.data.batch import Sizes, sensitive
from losssearch.data.target_columns import Moments, per_column
from losssearch.errors import SpecError
from losssearch.losses.compose import ComposedLoss
from losssearch.losses.domains import CLASSES, GROUPS, LEARNED, TARGET_MEAN, TARGET_SCALE, Float, Int
from losssearch.losses.kept import Kept, kept_states
from losssearch.losses.spec import LossSpec
from losssearch.losses.term import TermReduction
from losssearch.tasks import KINDS, TaskKind, get_kind

ROWS = 10_000
"""Training rows that an exported loss with a state for each of them has room for, unless it is told of more."""

STATE = "state."
"""How the names of arrays begin that are not learned."""

LARGEST_ZERO = 1e30
"""Standardised targets are float32, and so is the place of their zero."""

_DOMAINS: Mapping[str, Float | Int] = MappingProxyType({"classes": CLASSES, "groups": GROUPS})


@dataclass(frozen=True)
class LossFacts:
    """What an exported loss states about where it comes from.

    ``class_prior``: share of each class in the searched data's training part, [classes]; None for regression.
    ``learned``: what the loss hands over from its training, named as in the state of the composed loss
    (``learned.0_alpha`` or ``0_alpha``): numbers, and tensors of more than one number; the initial value by default.
    ``groups``: how many sensitive groups the searched data has, 0 without a sensitive attribute.
    ``target_mean``, ``target_scale``: the searched data's standardisation of a target of numbers, one per column.
    """

    spec: LossSpec
    task: str
    classes: int = 2
    class_prior: tuple[float, ...] | None = None
    learned: Mapping[str, float | Tensor] = field(default_factory=dict)
    metric: Mapping[str, Any] = field(default_factory=dict)
    study: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)
    verdict_text: str = ""
    target_mean: Moments = 0.0
    target_scale: Moments = 1.0
    version: str = ""
    groups: int = 0

    def __post_init__(self) -> None:
        if self.task not in KINDS:
            *names, last = KINDS
            raise SpecError(f"the task of an exported loss is {', '.join(names)} or {last}, got {self.task!r:.80}")
        count, columns = self.kind.target.count, self.kind.target.columns
        for name, moment in (("target_mean", TARGET_MEAN), ("target_scale", TARGET_SCALE)):
            given = getattr(self, name)
            if columns > 1 and isinstance(given, int | float):
                given = (given,) * columns
            if len(per_column(given)) != columns:
                raise SpecError(f"{name} must hold {columns} numbers, one per target column, got {given!r:.80}")
            checked = tuple(moment.check(name, one) for one in per_column(given))
            object.__setattr__(self, name, checked[0] if columns == 1 else checked)
        for name, domain in _DOMAINS.items():
            object.__setattr__(self, name, domain.check(name, getattr(self, name)))
        if abs(self.zero) > LARGEST_ZERO:
            raise SpecError(
                f"the target's mean must be at most {LARGEST_ZERO:g} of its scales from 0, got "
                f"{per_column(self.target_mean)[0]:g} and {per_column(self.target_scale)[0]:g}"
            )
        if count is not None and self.classes != count:
            raise SpecError(f"a {self.task} task has {count} classes, got {self.classes}")
        if self.reads_prior and self.class_prior is None:
            raise SpecError(f"this loss reads class_prior: give the shares of all {self.classes} classes")
        if "group" in self.spec.reads and self.groups < 1:
            raise SpecError(f"this loss reads sensitive groups: give how many there are, got {self.groups}")
        expected = {kept.key: kept for kept in self.kept() if kept.state.handed_over}
        given = {name.removeprefix("learned."): value for name, value in self.learned.items()}
        if unknown := set(given) - set(expected):
            raise SpecError(f"this loss learns {', '.join(expected) or 'nothing'}; got {', '.join(sorted(unknown))}")
        learned = {name: _learned(kept, given.get(name)) for name, kept in expected.items()}
        object.__setattr__(self, "learned", learned)
        self._check_prior()

    def _check_prior(self) -> None:
        if self.class_prior is None:
            return
        if len(self.class_prior) != self.classes or not all(0 <= share <= 1 for share in self.class_prior):
            raise SpecError(f"class_prior must be {self.classes} shares in [0, 1], got {self.class_prior!r:.80}")

    @property
    def kind(self) -> TaskKind:
        """The record of its task."""
        return get_kind(self.task)

    @property
    def remembers(self) -> bool:
        """Whether it keeps something from batch to batch, or as a search has found it, apart from its parameters."""
        return any(kept.state.carried for kept in self.kept())

    @property
    def zero(self) -> float:
        """Where the target's own zero lies among the searched data's standardised targets."""
        return 0 - per_column(self.target_mean)[0] / per_column(self.target_scale)[0]

    @property
    def reads_prior(self) -> bool:
        """Whether a term needs the share of each class."""
        return "class_prior" in self.spec.reads

    @property
    def reads_labels(self) -> bool:
        """Whether a term needs labels, or something that is made of them."""
        return "labels" in self.kind.task.offer.reading(self.spec.reads).names

    @property
    def reads_zero(self) -> bool:
        """Whether a term needs to know where the target's own zero lies."""
        return "zero" in self.spec.reads

    @property
    def counts_groups(self) -> bool:
        """Whether the exported class must know how many groups there are: of a number there is nothing to count."""
        return "group" in self.spec.reads and (self.groups > 1 or self.remembers)

    @property
    def scheduled(self) -> bool:
        """Whether something in the loss changes with training progress."""
        return "progress" in self.spec.reads

    def module(self, reduction: TermReduction = "mean", rows: int = ROWS) -> ComposedLoss:
        """The searched loss itself: the class prior and the zero as buffers, the learned scalars as they were found."""
        prior = None if self.class_prior is None else torch.tensor(self.class_prior, dtype=torch.float32)
        sizes: dict[str, Any] = {"groups": self.groups, "classes": self.classes, "rows": rows}
        offer = self.kind.task.offer
        loss = ComposedLoss(self.spec, prior, zero=self.zero, reduction=reduction, offer=offer, **sizes)
        loss.set_learned(self.learned)
        return loss

    def extra(self) -> tuple[str, ...]:
        """What ``forward`` takes in addition to output and target, in order."""
        needs = {"group": "group", "features": "distance"}
        found = (*(name for name, read in needs.items() if read in self.spec.reads), *self.own_fields())
        return (*found, "index") if self.knows_rows else found

    def own_fields(self) -> tuple[str, ...]:
        """Fields of a batch that terms of this kind of task read, in order."""
        read = self.kind.task.offer.reading(self.spec.reads).fields
        return tuple(name for name in self.kind.export.fields if name in read)

    def kept(self) -> list[Kept]:
        """What the loss keeps, learned or not."""
        sizes = Sizes(self.classes, sensitive(self.groups), rows=ROWS)
        return list(kept_states(self.spec, self.kind.task.offer.sized(sizes)))

    @property
    def by_class(self) -> bool:
        """Whether what it keeps has a place for each class, which the outputs that it is given must have too."""
        sizes = Sizes(self.classes + 1, sensitive(self.groups), rows=ROWS)
        wider = kept_states(self.spec, self.kind.task.offer.sized(sizes))
        return "logits" in self.spec.reads and [own.shape for own in self.kept()] != [own.shape for own in wider]

    @property
    def counts_classes(self) -> bool:
        """Whether the exported class may be told another number of classes: not where it holds what each had found."""
        kept = self.kept()
        return self.by_class and not any(own.state.handed_over or callable(own.state.init) for own in kept)

    @property
    def knows_rows(self) -> bool:
        """Whether it keeps something for each training row."""
        return any(kept.state.by_row for kept in self.kept())

    def is_by_row(self, place: int | None, name: str) -> bool:
        """Whether a state of this part is kept for each training row."""
        return any((own.place, own.name) == (place, name) and own.state.by_row for own in self.kept())

    def attributes(self) -> dict[tuple[int | None, str], str]:
        """The attribute of every state in the exported class, by its part's number (None: the balance) and its name.

        Learned ones are called after their term, with the part's number where that is not unique.
        """
        kept = self.kept()
        learned = {
            (own.place, own.name): f"{'balance' if own.place is None else self.spec.parts[own.place].name}_{own.name}"
            for own in kept
            if own.state.optimised
        }
        taken = list(learned.values())
        named = {key: f"{name}_{key[0]}" if taken.count(name) > 1 else name for key, name in learned.items()}
        others = {
            (own.place, own.name): f"{own.name}_{'balance' if own.place is None else own.place + 1}"
            for own in kept
            if not own.state.optimised
        }
        return {**named, **others}

    def arrays(self) -> dict[str, Tensor]:
        """The content of the loss's weights file: what it has learned, and other states that are not plain numbers."""
        found = {f"learned.{name}": torch.as_tensor(value) for name, value in self.learned.items()}
        for kept in self.kept():
            if not kept.state.handed_over and not isinstance(kept.state.init, float):
                found[f"{STATE}{kept.buffer}"] = kept.start()
        return found


def _learned(kept: Kept, value: float | Tensor | None) -> float | Tensor:
    """A learned state as facts hold it, by default its initial value; raises `SpecError` where it cannot be one."""
    tensor = kept.start() if value is None else torch.as_tensor(value)
    fixed = not callable(kept.state.shape)
    if tensor.shape != kept.shape if fixed else tensor.dim() != len(kept.shape):
        raise SpecError(f"the learned {kept.key} must have the shape {list(kept.shape)}, got {list(tensor.shape)}")
    if tensor.dim() == 0:
        return LEARNED.check(f"the learned scalar {kept.key}", tensor.item())
    if not bool((tensor.abs() <= LEARNED.high).all()):
        raise SpecError(f"the learned {kept.key} must hold numbers in [{LEARNED.low:g}, {LEARNED.high:g}]")
    return tensor.detach().to(torch.float32).cpu()


def plain(text: object) -> str:
    """``text`` made safe inside a docstring: one line, printable, no backslash and no double quote."""
    printable = "".join(c if c.isprintable() else " " for c in str(text))
    return " ".join(printable.encode("utf-8", "replace").decode().replace("\\", "/").replace('"', "'").split())

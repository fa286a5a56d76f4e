"""What is known of a loss when it is handed over: the spec, and where it comes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import torch

from losssearch.data.target_columns import Moments, per_column
from losssearch.errors import SpecError
from losssearch.losses.compose import ComposedLoss
from losssearch.losses.domains import CLASSES, GROUPS, LEARNED, TARGET_MEAN, TARGET_SCALE, Float, Int
from losssearch.losses.part import learned_scalars, memory_rows
from losssearch.losses.spec import LossSpec
from losssearch.losses.term import TermReduction
from losssearch.tasks import KINDS, TaskKind, get_kind

LARGEST_ZERO = 1e30
"""Standardised targets are float32, and so is the place of their zero."""

_DOMAINS: Mapping[str, Float | Int] = MappingProxyType({"classes": CLASSES, "groups": GROUPS})


@dataclass(frozen=True)
class LossFacts:
    """What an exported loss states about where it comes from.

    ``class_prior``: share of each class in the searched data's training part, [classes]; None for regression.
    ``learned``: learned scalars, named as in the state of the composed loss (``learned.0_alpha`` or ``0_alpha``).
    ``groups``: how many sensitive groups the searched data has, 0 without a sensitive attribute.
    ``target_mean``, ``target_scale``: the searched data's standardisation of a target of numbers, one per column.
    """

    spec: LossSpec
    task: str
    classes: int = 2
    class_prior: tuple[float, ...] | None = None
    learned: Mapping[str, float] = field(default_factory=dict)
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
        if self.spec.reads & {"group", "memory"} and self.groups < 1:
            raise SpecError(f"this loss reads sensitive groups: give how many there are, got {self.groups}")
        expected = {
            f"{index}_{name}": initial
            for index, part in enumerate(self.spec.parts)
            for name, initial in learned_scalars(part).items()
        }
        given = {
            name.removeprefix("learned."): LEARNED.check(f"the learned scalar {name}", value)
            for name, value in self.learned.items()
        }
        if unknown := set(given) - set(expected):
            raise SpecError(f"this loss learns {', '.join(expected) or 'nothing'}; got {', '.join(sorted(unknown))}")
        object.__setattr__(self, "learned", {name: given.get(name, initial) for name, initial in expected.items()})
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
        """Whether a term carries something from batch to batch."""
        return any(part.term.memory for part in self.spec.parts)

    @property
    def zero(self) -> float:
        """Where the target's own zero lies among the searched data's standardised targets."""
        return 0 - per_column(self.target_mean)[0] / per_column(self.target_scale)[0]

    @property
    def reads_prior(self) -> bool:
        """Whether a term needs the share of each class."""
        return "class_prior" in self.spec.reads

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

    def module(self, reduction: TermReduction = "mean") -> ComposedLoss:
        """The searched loss itself: the class prior and the zero as buffers, the learned scalars as they were found."""
        prior = None if self.class_prior is None else torch.tensor(self.class_prior, dtype=torch.float32)
        loss = ComposedLoss(
            self.spec,
            prior,
            groups=self.groups,
            classes=self.classes,
            zero=self.zero,
            reduction=reduction,
            offer=self.kind.task.offer,
        )
        with torch.no_grad():
            for name, value in self.learned.items():
                loss.learned[name].fill_(value)
        return loss

    def beside(self) -> tuple[str, ...]:
        """What ``forward`` takes beside output and target, in order."""
        needs = {"group": "group", "features": "distance"}
        return tuple(name for name, read in needs.items() if read in self.spec.reads)

    def memories(self) -> dict[int, tuple[str, int]]:
        """Attribute and rows of what each part carries from batch to batch, by the part's number."""
        return {
            index: (f"memory_{index + 1}", memory_rows(part, self.classes))
            for index, part in enumerate(self.spec.parts)
            if part.term.memory
        }

    def learned_names(self) -> dict[tuple[int, str], str]:
        """Attribute of every learned scalar: term and name, with the part's number where that is not unique."""
        names = {
            (index, name): f"{part.name}_{name}"
            for index, part in enumerate(self.spec.parts)
            for name in learned_scalars(part)
        }
        taken = list(names.values())
        return {key: f"{name}_{key[0]}" if taken.count(name) > 1 else name for key, name in names.items()}


def plain(text: object) -> str:
    """``text`` made safe inside a docstring: one line, printable, no backslash and no double quote."""
    printable = "".join(c if c.isprintable() else " " for c in str(text))
    return " ".join(printable.encode("utf-8", "replace").decode().replace("\\", "/").replace('"', "'").split())

"""The record of a kind of task: all that the rest of the program must know of it, so that nobody compares kinds.

A kind is declared in one file, by one call of `task_kind`. The built-in ones are in `losssearch.tasks.kinds`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TypeAlias

from torch import Tensor

from losssearch.data.target_kind import TargetKind, Units, declare_target
from losssearch.errors import SpecError, UnknownNameError
from losssearch.losses.inputs import offer_also
from losssearch.losses.readable import offer_names
from losssearch.tasks.export_text import ExportText, of_heads
from losssearch.tasks.heads import Head
from losssearch.tasks.picture import Picture
from losssearch.tasks.task import Baseline, Task
from losssearch.tasks.view import View

OwnUnit: TypeAlias = Callable[[Tensor, Tensor, Tensor], Tensor]
"""From outputs ``[..., N]`` or ``[..., N, columns]``, and the mean and the scale of the targets, to outputs in the
target's own unit. Mean and scale broadcast to the target, with one entry per column at the end where it has several."""


def affine(values: Tensor, mean: Tensor, scale: Tensor) -> Tensor:
    """Standardised values in their own unit, in double precision."""
    return values.double() * scale + mean


@dataclass(frozen=True)
class GroupMenu:
    """What a kind of task has for studies with a sensitive attribute.

    Args:
        disparity: The term that measures a gap between groups.
        correlation: The term for the linear dependence on a sensitive number.
        distance: The term for dependence of any shape on a sensitive number.
        baselines: What joins the menu of a study under constraints, after the penalty on the gap.
        cells: What joins the menu of a study whose metric is that of the worst cell; None where there is none.
        front: Whether a front has a space of its own.
    """

    disparity: str
    correlation: str
    distance: str
    baselines: tuple[Baseline, ...]
    cells: tuple[Baseline, ...] | None = None
    front: bool = False


@dataclass(frozen=True)
class TaskKind:
    """A kind of task.

    Args:
        name: Its name, as ``--task`` and space files give it.
        target: What it reads from the data: classes or numbers, and how many.
        task: Its heads, what a loss may read, how a metric reads its outputs, and the defaults of a study: metric,
            space, menu and model.
        decided: What its outputs are called when two models agree on them.
        groups: Its fairness terms and menus; None where it has none.
        own_unit: From outputs of a model that was trained on standardised targets to the target's own unit, in which
            metrics are told outputs and targets; None where the target has no unit.
        export: Its part of the text of an exported loss.
        picture: How the loss of one sample is drawn; None where it is not.
        space: Its search space as the text of a YAML file, where none comes with losssearch.
        units: What stays whole in splits, and what intervals resample.
        module: The module that declares it.
    """

    name: str
    target: TargetKind
    task: Task
    decided: str = "predictions"
    groups: GroupMenu | None = None
    own_unit: OwnUnit | None = None
    export: ExportText = field(default_factory=lambda: of_heads(()))
    picture: Picture | None = None
    space: str | None = None
    units: Units = field(default_factory=Units)
    module: str = "losssearch"

    @property
    def nominal(self) -> bool:
        """Whether its target is class ids, and not numbers in a unit of their own."""
        return self.target.nominal

    @property
    def view(self) -> View:
        """How metrics read its outputs and targets."""
        return self.task.view

    def heads(self, classes: int) -> tuple[Head, ...]:
        """The named column ranges of what a model puts out."""
        return self.task.heads(classes)


_kinds: dict[str, TaskKind] = {}
_adopted: set[str] = set()


def enter(kind: TaskKind, *, inferred: bool = False) -> TaskKind:
    """Enter a kind in the registry.

    Args:
        kind: The record.
        inferred: Whether a target's values alone may suggest it.

    Raises:
        SpecError: Where another kind has its name.
    """
    if kind.name in _kinds and kind.name not in _adopted:
        raise SpecError(f"names of task kinds must be unique, got a second {kind.name!r}")
    if not kind.name.isidentifier():
        raise SpecError(f"a task kind's name must be an identifier, got {kind.name!r}")
    _kinds[kind.name] = kind
    declare_target(kind.name, kind.target, inferred=inferred, units=kind.units)
    own = kind.module.partition(".")[0] == "losssearch"
    offer_names(kind.task.offers, common=own and kind.task.shared)
    if own and kind.task.providers:
        offer_also(kind.name, kind.task.offer.only(kind.task.offers))
    return kind


def adopt(kind: TaskKind) -> None:
    """Enter a kind that another process declared, where this one has none of its name.

    If this process imports the kind's module later on, the declaration there replaces this one.
    """
    if kind.name not in _kinds:
        enter(kind)
        _adopted.add(kind.name)


class _Tasks(Mapping[str, Task]):
    """The task of every kind, by name; kinds that are declared later join it."""

    def __getitem__(self, name: str) -> Task:
        return _kinds[name].task

    def __iter__(self) -> Iterator[str]:
        return iter(_kinds)

    def __len__(self) -> int:
        return len(_kinds)


KINDS: Mapping[str, TaskKind] = MappingProxyType(_kinds)
"""Every kind of task by its name; complete once ``losssearch.tasks`` is imported."""

TASKS: Mapping[str, Task] = _Tasks()
"""The task of every kind, by its name."""


def get_kind(name: str) -> TaskKind:
    """The kind of task of this name.

    Raises:
        UnknownNameError: With the nearest names, where there is none.
    """
    if name not in _kinds:
        raise UnknownNameError("task", name, _kinds)
    return _kinds[name]


def get_task(name: str) -> Task:
    """The task of the kind of this name.

    Raises:
        UnknownNameError: With the nearest names, where there is no such kind.
    """
    return get_kind(name).task

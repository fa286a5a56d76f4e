"""Which heads the losses of a study read, where heads share a model's columns."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from losssearch.errors import SpecError
from losssearch.losses.term import registry
from losssearch.space import SearchSpace
from losssearch.tasks import Task


def with_heads(task: Task, space: SearchSpace, classes: int) -> Task:
    """The task whose models are as wide as the widest head that its menu or the space reads.

    Raises:
        SpecError: A loss of the menu or the portfolio reads what no head gives together.
    """
    if not task.shared:
        return task
    whole = [*space.portfolio, *(baseline.spec() for baseline in (*task.menu, *task.further))]
    return task.using([*(spec.reads for spec in whole), *_sums(task, space, classes)], classes)


def _sums(task: Task, space: SearchSpace, classes: int) -> Iterator[frozenset[str]]:
    """What each term of the space reads, and what terms of two slots read together where one head gives it."""
    slots = [[frozenset(registry[name].reads) for name in slot.terms] for slot in space.slots]
    for slot in slots:
        yield from slot
    for first, second in combinations(slots, 2):
        for reads in {one | other for one in first for other in second}:
            try:
                task.head(reads, classes)
            except SpecError:
                continue
            yield reads

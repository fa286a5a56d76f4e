"""Two spaces as one: what a study's data ask for joins the space of its task."""

from __future__ import annotations

from dataclasses import replace

from losssearch.errors import SpaceError
from losssearch.space.slot import Slot
from losssearch.space.space import SearchSpace


def join(space: SearchSpace, other: SearchSpace) -> SearchSpace:
    """The space in which a loss may have what either allows.

    A term of ``other`` joins the slot of its slot's name, which is new where ``space`` has none; a term that stands
    there already keeps its ranges. Terms that one of them keeps apart stay apart. The losses of ``other`` are tried
    first, because somebody has a reason to join it. Weights, weightings and reductions stay those of ``space``.

    Args:
        space: The first space; its slots come first.
        other: A space for the same kind of task.

    Raises:
        SpaceError: The spaces are for different kinds of task.

    Example:
        >>> from losssearch.space import load_space_text
        >>> first = load_space_text("{task: binary, slots: {base: {terms: {focal: {gamma: [1, 2]}}}}}")
        >>> second = load_space_text("{task: binary, slots: {base: {terms: {focal: , brier: }}}}")
        >>> joined = join(first, second)
        >>> sorted(joined.slots[0].terms), joined.slots[0].terms["focal"]["gamma"].high
        (['brier', 'focal'], 2.0)
    """
    if space.task != other.task:
        raise SpaceError(
            f"spaces that are joined must be for one kind of task, got {space.name} for {space.task} and {other.name} "
            f"for {other.task}"
        )
    given = {slot.name: slot for slot in other.slots}
    slots = [_joined(slot, given.pop(slot.name, None)) for slot in space.slots]
    made = replace(
        space,
        name=f"{space.name}+{other.name}",
        slots=(*slots, *given.values()),
        max_parts=max(space.max_parts, other.max_parts),
        never_together=space.never_together | other.never_together,
        portfolio=(),
        aimed=(*other.aimed, *(one for one in space.aimed if one not in other.aimed)),
    )
    tried = dict.fromkeys((*other.portfolio, *space.portfolio))
    return replace(made, portfolio=tuple(spec for spec in tried if made.encode(spec) is not None))


def _joined(slot: Slot, other: Slot | None) -> Slot:
    if other is None:
        return slot
    new = other.terms.keys() - slot.terms.keys()
    return replace(
        slot,
        terms={**slot.terms, **{name: ranges for name, ranges in other.terms.items() if name in new}},
        constrained={**slot.constrained, **{name: own for name, own in other.constrained.items() if name in new}},
        courses={**slot.courses, **{key: own for key, own in other.courses.items() if key.partition(".")[0] in new}},
    )

"""The value of one part of a loss: term, reduction, scale, weighting. Works under ``torch.func.vmap``.

The one evaluator of a part: a population maps it over its members, a composed loss calls its pieces with all that can
be looked up beforehand, and an exported loss is made of the text of the same functions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import Tensor

from losssearch.errors import InputError, ModelError, stops
from losssearch.losses.schedule import Number, Scheduled, flat_numbers, number_at
from losssearch.losses.spec import Part
from losssearch.losses.state import State, ascending
from losssearch.losses.term import LossTerm
from losssearch.losses.term_module import weighed_inputs
from losssearch.losses.term_rules import SAMPLE_WEIGHT

EVALUATED = "losses of samples"
"""The name of a term's values where they were computed for all members together; no term reads it."""


def part_states(part: Part) -> dict[str, State]:
    """What the part keeps, by name: the term's states and those of its weighting."""
    return {**part.term.states, **part.weighting.record.states}


def part_choices(part: Part) -> dict[str, str]:
    """The choices of the part by name."""
    return {**part.term.fixed, **{k: v for k, v in part.hyperparameters.items() if isinstance(v, str)}}


def part_numbers(part: Part) -> dict[str, float]:
    """Every number of the part that may differ between members of a population."""
    found: dict[str, float] = {}
    for name, value in _numeric(part).items():
        found |= flat_numbers(f"hyper.{name}", value)
    for place, settings in (("reduction", part.reduction), ("weight", part.weighting)):
        for name, number in settings.numbers:
            found |= flat_numbers(f"{place}.{name}", number)
    return {**found, "scale": part.scale}


def part_kind(part: Part) -> tuple[object, ...]:
    """What must be equal for two parts to be evaluated together: all of the part but its numbers."""
    choices = {} if part.term.together else part_choices(part)
    places = {"hyper": _numeric(part), "reduction": part.reduction.values, "weight": part.weighting.values}
    schedules = [
        (place, name, *number.course)
        for place, numbers in places.items()
        for name, number in numbers.items()
        if isinstance(number, Scheduled)
    ]
    return part.name, tuple(sorted(choices.items())), part.reduction.kind, part.weighting.kind, tuple(schedules)


def _numeric(part: Part) -> dict[str, Number]:
    return {k: v for k, v in part.hyperparameters.items() if not isinstance(v, str)}


def part_value(
    part: Part, named: Mapping[str, Tensor], numbers: Mapping[str, Tensor], learned: Mapping[str, Tensor]
) -> Tensor:
    """Weighted, reduced and scaled value of ``part``'s kind at ``numbers`` and ``learned``: a scalar.

    ``part`` gives the kind alone; `part_numbers` and `part_states` name the entries of the mappings.
    """
    return weighted(part, reduced(part, named, numbers, learned), named["progress"], numbers, learned)


def reduced(
    part: Part, named: Mapping[str, Tensor], numbers: Mapping[str, Tensor], learned: Mapping[str, Tensor]
) -> Tensor:
    """The term over one batch, reduced to a scalar, before scale and weight."""
    term, weight = part.term, named.get(SAMPLE_WEIGHT)
    if EVALUATED in named:
        return reduce(part, named[EVALUATED], weight, numbers, named["progress"])
    with _blamed(term):
        losses = term(*term_inputs(term, named), **term_arguments(part, named, numbers, learned))
    _check_shape(term, losses, named)
    if not term.per_sample:
        return losses
    return reduce(part, losses, weight, numbers, named["progress"])


def _check_shape(term: LossTerm, losses: object, named: Mapping[str, Tensor]) -> None:
    """Raise `ModelError` where a user's own term returns another shape than it declares.

    Else the mean would hide it: a scalar or ``[batch, 2]`` has one as well.
    """
    if _is_built_in(term):
        return
    rows = {named[name].shape[0] for name in term.reads if named[name].dim()}
    if not isinstance(losses, Tensor):
        found = type(losses).__name__
    elif losses.dim() == term.per_sample and (not term.per_sample or losses.shape[0] in rows):
        return
    else:
        found = f"the shape {list(losses.shape)}"
    due = "one value per sample, [batch]" if term.per_sample else "a scalar, as declared by per_sample=False"
    raise ModelError(f"the loss term {_where(term)} must return {due}, got {found}")


def reduce(
    part: Part, losses: Tensor, sample_weight: Tensor | None, numbers: Mapping[str, Any], progress: Tensor
) -> Tensor:
    """The losses of samples ``[batch]`` under the part's reduction, a scalar."""
    own = part.reduction
    given = {name: number_at(f"reduction.{name}", number, numbers, progress) for name, number in own.numbers}
    read = {"losses": losses, "sample_weight": sample_weight, "progress": progress}
    return own.record.function(*(read[name] for name in own.record.reads), **given)


def term_inputs(term: LossTerm, named: Mapping[str, Tensor]) -> list[Tensor | None]:
    """What a term's function takes by position, given the named tensors of a batch."""
    return weighed_inputs(term, [named[name] for name in term.reads], named.get(SAMPLE_WEIGHT))


def next_states(
    part: Part, named: Mapping[str, Tensor], numbers: Mapping[str, Tensor], states: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """The states of the part that an update moves, after one batch; takes what `part_value` takes."""
    term, own = part.term, part.weighting.record
    found: dict[str, Tensor] = {}
    if updated(term.states):
        read, given = term_inputs(term, named), term_arguments(part, named, numbers, states)
        with _blamed(term):
            found |= {name: update(*read, **given) for name, update in updated(term.states).items()}
    if updated(own.states):
        value = reduced(part, named, numbers, states)
        taken, given = weighting_arguments(part, value, named["progress"], numbers, states)
        found |= {name: update(*taken, **given) for name, update in updated(own.states).items()}
    return found


def updated(states: Mapping[str, State]) -> dict[str, Callable[..., Tensor]]:
    """The update functions of the states that one moves."""
    return {name: state.update for name, state in states.items() if state.update is not None}


@contextmanager
def _blamed(term: LossTerm) -> Iterator[None]:
    """Turn what a user's own term raises into a `ModelError` that names it; memory that ran out stays what it is."""
    try:
        yield
    except BaseException as error:
        own = _is_built_in(term)
        if own or stops(error) or isinstance(error, InputError | MemoryError) or "alloc" in f"{error!r}".lower():
            raise
        said = " ".join(str(error).split())[:300]
        raise ModelError(f"the loss term {_where(term)} raised {type(error).__name__}: {said}") from error


def _is_built_in(term: LossTerm) -> bool:
    """Whether the term comes with losssearch; such terms are held to their declarations by tests."""
    return term.function.__module__.partition(".")[0] == "losssearch"


def _where(term: LossTerm) -> str:
    return f"{term.function.__module__}.{term.name}"


def term_arguments(
    part: Part, named: Mapping[str, Tensor], numbers: Mapping[str, Any], states: Mapping[str, Tensor]
) -> dict[str, Any]:
    """What the term's function takes by keyword: hyperparameters at the present progress, and states."""
    term, progress = part.term, named["progress"]
    given: dict[str, Any] = {
        name: value if isinstance(value, str) else number_at(f"hyper.{name}", value, numbers, progress)
        for name, value in part.hyperparameters.items()
    }
    return {**term.fixed, **given, **received(term.states, states)}


def received(declared: Mapping[str, State], states: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The states as a function takes them: one that climbs the loss with its gradient reversed."""
    return {
        name: ascending(states[name]) if state.moved_by == "ascent" else states[name]
        for name, state in declared.items()
    }


def weighted(
    part: Part, value: Tensor, progress: Tensor, numbers: Mapping[str, Any], states: Mapping[str, Tensor]
) -> Tensor:
    """A reduced ``value`` under scale and weight.

    Where the weighting is elementwise, ``value`` may be one part's or those of all that are of its kind.
    """
    read, given = weighting_arguments(part, value, progress, numbers, states)
    return part.weighting.record.function(*read, **given)


def weighting_arguments(
    part: Part, value: Tensor, progress: Tensor, numbers: Mapping[str, Any], states: Mapping[str, Tensor]
) -> tuple[list[Tensor], dict[str, Any]]:
    """What the weighting's function takes by position and by keyword."""
    own = part.weighting
    given = {name: number_at(f"weight.{name}", number, numbers, progress) for name, number in own.numbers}
    read = {"value": value / numbers["scale"], "scale": numbers["scale"], "progress": progress}
    return [read[name] for name in own.record.reads], given | received(own.record.states, states)

"""The value of one part of a loss: term, reduction, weighting, scale. Works under ``torch.func.vmap``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor

from losssearch.errors import InputError, ModelError, stops
from losssearch.losses.domains import Choice
from losssearch.losses.spec import Part
from losssearch.losses.term import SAMPLE_WEIGHT, LossTerm, weighed_inputs
from losssearch.losses.weights import weighted_mean

UNCERTAINTY = "log_variance"
"""The learned scalar of an uncertainty weighting."""


def learned_scalars(part: Part) -> dict[str, float]:
    """Name and initial value of every scalar that the part learns with the model."""
    scalars = {name: domain.initial for name, domain in part.term.learned.items()}
    return {**scalars, UNCERTAINTY: 0.0} if part.weighting.kind == "uncertainty" else scalars


def learned_alone(learned: Mapping[str, float | Tensor], *places: int) -> dict[str, float | Tensor]:
    """The learned scalars of the parts at ``places`` of a spec, named as `LossSpec.alone` of them has them.

    ``learned``: by name in the composed loss's state, ``0_alpha`` or ``learned.0_alpha``.
    """
    found: dict[str, float | Tensor] = {}
    for name, value in learned.items():
        index, own = name.removeprefix("learned.").split("_", 1)
        if int(index) in places:
            found[f"{sorted(places).index(int(index))}_{own}"] = value
    return found


def part_numbers(part: Part) -> dict[str, float]:
    """Every number of the part that may differ between members of a population."""
    domains = part.term.domains
    numeric = {k: float(v) for k, v in part.hyperparameters.items() if not isinstance(domains[k], Choice)}
    return {
        **{f"hyper.{name}": value for name, value in numeric.items()},
        "share": part.reduction.share,
        "start": part.weighting.start,
        "end": part.weighting.end,
        "scale": part.scale,
    }


def part_kind(part: Part) -> tuple[object, ...]:
    """What must be equal for two parts to be evaluated together: all of the part but its numbers."""
    choices = [(k, v) for k, v in part.hyperparameters.items() if isinstance(part.term.domains[k], Choice)]
    return part.name, tuple(sorted(choices)), part.reduction.kind, part.weighting.kind


def mean_of_worst(losses: Tensor, share: Tensor, sample_weight: Tensor | None = None) -> Tensor:
    """Mean of the ``share`` of ``losses`` ``[batch]`` that is largest (CVaR); the last one counts in part.

    With weights ``[batch]`` the share is one of their sum, and a sample counts as much as its weight.
    """
    if sample_weight is not None:
        ordered, order = losses.sort(descending=True)
        weight = sample_weight.gather(0, order)
        before = weight.cumsum(0) - weight
        kept = torch.minimum((share * weight.sum() - before).clamp_min(0), weight)
        total = kept.sum()
        return (kept * ordered).sum() / torch.where(total > 0, total, 1.0)
    ordered = losses.sort(descending=True).values
    count = share * losses.shape[0]
    rank = torch.arange(losses.shape[0], dtype=losses.dtype, device=losses.device)
    kept = (count - rank).clamp(0, 1)
    return (kept * ordered).sum() / kept.sum()


def part_value(
    part: Part, named: Mapping[str, Tensor], numbers: Mapping[str, Tensor], learned: Mapping[str, Tensor]
) -> Tensor:
    """Weighted, reduced and scaled value of ``part``'s kind at ``numbers`` and ``learned``: a scalar.

    ``part`` gives the kind alone; `part_numbers` and `learned_scalars` name the entries of the mappings.
    """
    return weighted(part, reduced(part, named, numbers, learned), named["progress"], numbers, learned)


def reduced(
    part: Part, named: Mapping[str, Tensor], numbers: Mapping[str, Tensor], learned: Mapping[str, Tensor]
) -> Tensor:
    """The term over one batch, reduced to a scalar, before scale and weight."""
    term, weight = part.term, named.get(SAMPLE_WEIGHT)
    with _blamed(term):
        losses = term(*term_inputs(term, named), **_hyperparameters(part, numbers, learned))
    if not term.per_sample:
        return losses
    if part.reduction.kind == "cvar":
        return mean_of_worst(losses, numbers["share"], weight)
    return losses.mean() if weight is None else weighted_mean(losses, weight)


def term_inputs(term: LossTerm, named: Mapping[str, Tensor]) -> list[Tensor | None]:
    """What a term's function takes by position, given the named tensors of a batch."""
    return weighed_inputs(term, [named[name] for name in term.reads], named.get(SAMPLE_WEIGHT))


def next_memory(
    part: Part, named: Mapping[str, Tensor], numbers: Mapping[str, Tensor], learned: Mapping[str, Tensor]
) -> Tensor:
    """The memory ``[rows, groups]`` of a part that has one, after one batch."""
    term = part.term
    assert term.memory is not None  # noqa: S101  (asked of parts that have one)
    with _blamed(term):
        return term.memory.update(*term_inputs(term, named), **_hyperparameters(part, numbers, learned))


@contextmanager
def _blamed(term: LossTerm) -> Iterator[None]:
    """Turn what a user's own term raises into a `ModelError` that names it; memory that ran out stays what it is."""
    try:
        yield
    except BaseException as error:
        own = term.function.__module__.partition(".")[0] == "losssearch"
        if own or stops(error) or isinstance(error, InputError | MemoryError) or "alloc" in f"{error!r}".lower():
            raise
        said = " ".join(str(error).split())[:300]
        where = f"{term.function.__module__}.{term.name}"
        raise ModelError(f"the loss term {where} raised {type(error).__name__}: {said}") from error


def memory_rows(part: Part, classes: int) -> int:
    """How many rows of memory the part has; 0 where it carries nothing from batch to batch."""
    return part.term.memory_rows(classes, part.hyperparameters)


def _hyperparameters(
    part: Part, numbers: Mapping[str, Tensor], learned: Mapping[str, Tensor]
) -> dict[str, Tensor | str]:
    term = part.term
    given: dict[str, Tensor | str] = {
        name: str(value) if isinstance(term.domains[name], Choice) else numbers[f"hyper.{name}"]
        for name, value in part.hyperparameters.items()
    }
    return {**given, **{name: learned[name] for name in term.learned}}


def weighted(
    part: Part, value: Tensor, progress: Tensor, numbers: Mapping[str, Tensor], learned: Mapping[str, Tensor]
) -> Tensor:
    """A reduced ``value`` under scale and weight; elementwise, so it serves one part or all of a kind."""
    value = value / numbers["scale"]
    if part.weighting.kind == "uncertainty":
        return torch.exp(-learned[UNCERTAINTY]) * value + learned[UNCERTAINTY] / 2
    if part.weighting.kind == "linear":
        return (numbers["start"] + (numbers["end"] - numbers["start"]) * progress) * value
    return numbers["start"] * value

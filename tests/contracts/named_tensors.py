"""The tensors that terms of single kinds of task read, for the contract of terms: draws, ends, and better values.

A kind of task whose terms read names of its own adds them here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

EXTREME = 1e4
LEVELS, COMPONENTS, DOCUMENTS = 19, 3, 4
WIDE = torch.float64


@dataclass(frozen=True)
class Named:
    """One tensor that terms read.

    Args:
        draw: From the rows and a generator to a random tensor ``[rows, ...]``, float64.
        ends: Rows ``[ends, ...]`` of its extremes and of what lies between, float32.
        output: Whether it is made of what the model puts out, so that losses are differentiated by it.
        toward: From all tensors by name to the direction in which a better value lies; None where none is simple.
    """

    draw: Callable[[int, torch.Generator], Tensor]
    ends: Tensor
    output: bool = True
    toward: Callable[[Mapping[str, Tensor]], Tensor] | None = None


def normal(*shape: int) -> Callable[[int, torch.Generator], Tensor]:
    return lambda rows, source: torch.randn(rows, *shape, generator=source, dtype=WIDE)


def positive(*shape: int) -> Callable[[int, torch.Generator], Tensor]:
    return lambda rows, source: 0.2 + torch.rand(rows, *shape, generator=source, dtype=WIDE)


def ascending(rows: int, source: torch.Generator) -> Tensor:
    return torch.randn(rows, LEVELS, generator=source, dtype=WIDE).sort(-1).values


WIDTHS = torch.tensor([1e-3, 1.0, EXTREME])

NAMED: dict[str, Named] = {
    "mean": Named(normal(), torch.tensor([-EXTREME, 0.0, EXTREME]), toward=lambda m: (m["target"] - m["mean"]).sign()),
    "scale": Named(positive(), WIDTHS),
    "spread": Named(positive(), WIDTHS),
    "freedom": Named(lambda rows, source: 2 + 20 * positive()(rows, source), torch.tensor([2.0, 5.0, 100.0])),
    "quantiles": Named(
        ascending,
        torch.stack([torch.linspace(low, high, LEVELS) for low, high in ((-1.0, 1.0), (-EXTREME, EXTREME))]),
        toward=lambda m: (m["target"][:, None] - m["quantiles"]).sign(),
    ),
    "component_means": Named(
        normal(COMPONENTS),
        torch.tensor([[-EXTREME, 0.0, EXTREME], [0.0, 0.0, 0.0], [EXTREME, EXTREME, EXTREME]]),
        toward=lambda m: (m["target"][:, None] - m["component_means"]).sign(),
    ),
    "document_scores": Named(
        normal(DOCUMENTS),
        torch.tensor([[-EXTREME, 0.0, EXTREME, 1.0], [0.0, 0.0, 0.0, 0.0]]),
    ),
    "relevance": Named(
        lambda rows, source: torch.randint(4, (rows, DOCUMENTS), generator=source).to(WIDE),
        torch.tensor([[0.0, 1.0, 4.0, 2.0], [0.0, 0.0, 0.0, 0.0]]),
        output=False,
    ),
    "present": Named(
        lambda rows, source: (torch.arange(DOCUMENTS) < torch.randint(2, 5, (rows, 1), generator=source)).to(WIDE),
        torch.tensor([[1.0, 1.0, 1.0, 1.0], [1.0, 1.0, 0.0, 0.0]]),
        output=False,
    ),
    "component_scales": Named(positive(COMPONENTS), torch.tensor([[1e-3] * 3, [1e-3, 1.0, EXTREME], [EXTREME] * 3])),
    "component_logits": Named(normal(COMPONENTS), torch.tensor([[-EXTREME, 0.0, EXTREME], [0.0, 0.0, 0.0]])),
    "rate": Named(
        normal(),
        torch.tensor([-EXTREME, 0.0, EXTREME]),
        toward=lambda m: (m["target"] / m["exposure"] - m["rate"]).sign(),
    ),
    "log_rate": Named(
        normal(),
        torch.tensor([-EXTREME, 0.0, EXTREME]),
        toward=lambda m: torch.where(m["target"] > 0, (m["target"] / m["exposure"] - m["log_rate"].exp()).sign(), 0.0),
    ),
    "zero_logit": Named(normal(), torch.tensor([-EXTREME, 0.0, EXTREME])),
    "exposure": Named(positive(), torch.tensor([0.01, 1.0, 100.0]), output=False),
}
TARGETS = torch.tensor([-10.0, 0.0, 1.0])
"""Ends of the target where the terms that read it read one of these, unless `OWN_TARGETS` has others."""

OWN_TARGETS: dict[str, tuple[Callable[[int, torch.Generator], Tensor], Tensor]] = {
    "exposure": (
        lambda rows, source: torch.randint(5, (rows,), generator=source).double(),
        torch.tensor([0.0, 1.0, 50.0]),
    ),
}
"""By the name of a tensor that a term reads: how its target is drawn, and the ends of it."""


def times_and_events(shape: torch.Size, source: torch.Generator) -> Tensor:
    """Log times, some of them equal, whether the event was seen, and the number of a bin: ``[..., 3]``."""
    time = torch.randint(-3, 4, shape, generator=source) / 2
    event = torch.rand(shape, generator=source) < 0.6
    return torch.stack((time.double(), event.double(), torch.randint(15, shape, generator=source).double()), -1)


def grades(shape: torch.Size, source: torch.Generator) -> Tensor:
    """Grades of the documents of queries ``[..., documents]``, -1 for padding."""
    return torch.randint(-1, 4, (*shape, DOCUMENTS), generator=source).double()


TARGETS_OF: dict[str, Callable[[torch.Size, torch.Generator], Tensor]] = {
    "survival": times_and_events,
    "ranking": grades,
    "count": lambda shape, source: torch.randint(5, shape, generator=source).double(),
}
"""By kind of task, how its target is drawn where any number will not do."""

FIELDS_OF: dict[str, dict[str, Callable[[tuple[int, ...], torch.Generator], Tensor]]] = {
    "count": {"exposure": lambda shape, source: 0.2 + torch.rand(shape, generator=source, dtype=WIDE)},
}
"""By kind of task, how further fields of its batches are drawn."""


def own_fields(task: str, shape: tuple[int, ...], source: torch.Generator) -> dict[str, Tensor]:
    """The further fields of a kind of task, ``[..., rows]``."""
    return {name: draw(shape, source) for name, draw in FIELDS_OF.get(task, {}).items()}


def drawn(reads: tuple[str, ...], rows: int, source: torch.Generator) -> dict[str, Tensor]:
    """Random tensors of those of ``reads`` that are in the table, and of the target that goes with them."""
    found = {name: NAMED[name].draw(rows, source) for name in reads if name in NAMED}
    for name in reads:
        if name in OWN_TARGETS:
            found["target"] = OWN_TARGETS[name][0](rows, source)
    return found


def at_the_ends(reads: tuple[str, ...]) -> dict[str, Tensor]:
    """Every combination of the ends of what is read; empty where nothing of it is in the table."""
    own = {name: NAMED[name].ends for name in reads if name in NAMED}
    if not own:
        return {}
    targets = next((OWN_TARGETS[name][1] for name in reads if name in OWN_TARGETS), TARGETS)
    sizes = [*(len(ends) for ends in own.values()), len(targets)]
    places = torch.cartesian_prod(*(torch.arange(size) for size in sizes))
    found = {name: ends[places[:, column]] for column, (name, ends) in enumerate(own.items())}
    return {**found, "target": targets[places[:, -1]]}

"""The menu: the losses that a good practitioner would try, each tuned with trials of its own.

Half of a study's trials belong to the menu, so that the searched loss wins by what it is and not by how
often it was tried; a space may give it less (`losssearch.space.SearchSpace`). Which entries are trained together
depends on their places among those that are trained, and on nothing else, so that a resumed study trains the rest in
the same populations.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

from scipy.stats import qmc

from losssearch.losses.domains import Float, Int
from losssearch.losses.spec import LossSpec
from losssearch.space.space import MENU
from losssearch.tasks import Task
from losssearch.tasks.task import Baseline

T = TypeVar("T")

EARLY = 4
"""The first populations of a study are half as large, so the first values come sooner; this is their number."""


@dataclass(frozen=True)
class MenuEntry:
    """A baseline at one setting of what it may tune."""

    name: str
    spec: LossSpec
    default: bool


def menu_trials(trials: int, share: float = MENU) -> int:
    """How many of a study's trials the menu has at that share of them: at least one."""
    return max(1, int(trials * share))


def menu_entries(task: Task, trials: int, seed: int, share: float = MENU) -> list[MenuEntry]:
    """The first `menu_trials` entries: every baseline's default, then settings in turn.

    Settings are Halton points over the ranges of the terms: even coverage, whatever the number.
    """
    wanted = menu_trials(trials, share)
    entries = [MenuEntry(baseline.name, baseline.spec(), default=True) for baseline in task.menu]
    tunable = [baseline for baseline in task.menu if baseline.tunable]
    rounds = -(-max(0, wanted - len(entries)) // max(1, len(tunable)))
    points = {b.name: qmc.Halton(len(b.tunable), seed=seed).random(rounds) for b in tunable if rounds}
    for turn in range(rounds):
        entries += [_at(baseline, points[baseline.name][turn]) for baseline in tunable]
    return entries[:wanted]


def _at(baseline: Baseline, point: list[float]) -> MenuEntry:
    values: dict[str, float | int] = {}
    for name, share in zip(baseline.tunable, point, strict=True):
        domain = baseline.domain(name)
        assert isinstance(domain, Float | Int)  # noqa: S101  (the menu tunes numbers alone; a contract test says so)
        if isinstance(domain, Int):
            values[name] = min(domain.high, domain.low + int(share * (domain.high - domain.low + 1)))
        elif domain.log:
            values[name] = float(domain.low * (domain.high / domain.low) ** share)
        else:
            values[name] = float(domain.low + share * (domain.high - domain.low))
    return MenuEntry(baseline.name, baseline.spec(_rounded(values)), default=False)


def _rounded(values: Mapping[str, float | int]) -> dict[str, float | int]:
    return {name: float(f"{value:.4g}") if isinstance(value, float) else value for name, value in values.items()}


def population_of(place: int, chunk: int) -> int:
    """The number of the population that the loss at ``place`` (from 0) is trained in; ``chunk`` are in most."""
    half = -(-chunk // 2)
    early = EARLY * half
    return place // half if place < early else EARLY + (place - early) // chunk


def grouped(placed: Iterable[tuple[int, T]], chunk: int) -> Iterator[list[T]]:
    """Items with their places, in populations of ``chunk``; each comes as soon as it is full.

    Places ascend and may have gaps.
    """
    held: list[T] = []
    current = -1
    for place, item in placed:
        population = population_of(place, chunk)
        if held and population != current:
            yield held
            held = []
        current = population
        held.append(item)
        if population_of(place + 1, chunk) != population:
            yield held
            held = []
    if held:
        yield held

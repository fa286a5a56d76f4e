"""The menu: the losses that a good practitioner would try, each tuned with trials of its own.

Half of a study's trials belong to the menu, so that the searched loss wins by what it is and not by how
often it was tried.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from scipy.stats import qmc

from losssearch.losses.domains import Float, Int
from losssearch.losses.spec import LossSpec
from losssearch.tasks import Task
from losssearch.tasks.task import Baseline


@dataclass(frozen=True)
class MenuEntry:
    """A baseline at one setting of what it may tune."""

    name: str
    spec: LossSpec
    default: bool


def menu_entries(task: Task, trials: int, seed: int) -> list[MenuEntry]:
    """The first ``trials // 2`` entries (at least one): every baseline's default, then settings in turn.

    Settings are Halton points over the ranges of the terms: even coverage, whatever the number.
    """
    wanted = max(1, trials // 2)
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

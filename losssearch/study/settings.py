"""What a study is asked to do, and how thorough its selection is: in full, or less within a short time budget."""

from __future__ import annotations

import hashlib
import math
from dataclasses import asdict, dataclass, field
from typing import Any

from losssearch.errors import OptionError, shown
from losssearch.option_names import option
from losssearch.request import check_range
from losssearch.training.plan import TrainingPlan


@dataclass(frozen=True)
class StudySettings:
    """The settings that decide the result of a study, so that a resume must find them unchanged.

    ``sensitive``: columns whose groups are to be treated alike, by ``constraints``, or as the ``front`` of the metric
    and this gap shows; ``confidence`` is that with which a constraint is to hold on new data.
    ``trials`` and ``time_budget`` (seconds) may be raised on resume; they and ``workers`` do not enter
    `fixed`. ``prefer_known`` asks more of a searched loss before it is recommended. No ``rates`` at all leave the
    learning rate to a user's training function.
    """

    study: str
    task: str
    metric: str
    space: dict[str, Any]
    model: str
    plan: TrainingPlan
    rates: tuple[float, ...]
    seed: int
    trials: int
    fingerprint: str
    confirm_seeds: int = 5
    prefer_known: bool = False
    time_budget: float | None = None
    replicas: int = 3
    sensitive: tuple[str, ...] = ()
    sensitive_as_feature: bool = False
    constraints: tuple[str, ...] = ()
    front: str = ""
    confidence: float = 0.95
    group_thresholds: bool = False
    data: dict[str, Any] = field(default_factory=dict)
    """What a training function's user says of its data and metric; empty for a dataset."""
    metric_source: str = ""
    """Where a metric of the user's own was defined, with a hash of its text: see `losssearch.evaluation.source`."""
    splits: dict[str, Any] = field(default_factory=dict)
    """The user's own splits, and columns of the data that are no features; empty if there are none."""

    def __post_init__(self) -> None:
        for name, value in (("confidence", self.confidence), ("trials", self.trials), ("seed", self.seed)):
            check_range(name, value)
        check_range("confirm_seeds", self.confirm_seeds)
        check_range("draws", self.replicas)
        if self.constraints and self.front:
            raise OptionError(
                f"a study has constraints or draws a front, not both; leave out {option('constraints')} or "
                f"{option('objectives')}"
            )
        if any(isinstance(rate, bool) or not 0 < rate < math.inf for rate in self.rates):
            raise OptionError(f"{option('rates')} must be finite and above 0, got {shown(self.rates)}")
        if len(set(self.rates)) < len(self.rates):
            raise OptionError(f"{option('rates')} must differ, got {shown(self.rates)}")
        if self.time_budget is not None and not 0 < self.time_budget < math.inf:
            raise OptionError(f"{option('time_budget')} must be finite and above 0 seconds, got {self.time_budget}")

    def fixed(self) -> dict[str, Any]:
        """What a resume must find unchanged, as JSON."""
        values = asdict(self)
        unset = [name for name in ("data", "metric_source", "splits") if not values[name]]
        for name in ("trials", "time_budget", *unset):
            del values[name]
        if not self.prefer_known:
            del values["prefer_known"]
        if not self.sensitive:
            for name in ("sensitive", "sensitive_as_feature", "constraints", "front", "confidence", "group_thresholds"):
                del values[name]
        values["plan"] = asdict(self.plan) | {"rungs": list(self.plan.rungs)}
        if self.plan.average is None:
            del values["plan"]["average"]
        lists = {name: list(values[name]) for name in ("sensitive", "constraints") if name in values}
        return values | lists | {"rates": list(self.rates)}


def derived_seed(seed: int, *names: object) -> int:
    """A seed for one purpose, from the study's seed and the purpose's name; the same on every platform."""
    digest = hashlib.sha256(repr((seed, *map(str, names))).encode()).digest()
    return int.from_bytes(digest[:4], "big")


FIELDS = ((8, 5), (4, 10))
"""For each round of re-evaluation: how many of either side are kept, without the incumbent, and the fresh draws."""

BASELINES, SEARCHED = 4, 2
"""Losses of either side that are confirmed at most: plain, incumbent and the best two others; the best two searched."""


@dataclass(frozen=True)
class Effort:
    """``fields`` as in `FIELDS`, seeds and losses of the confirmation, and whether there is an ablation."""

    fields: tuple[tuple[int, int], ...]
    seeds: int
    baselines: int
    searched: int
    ablation: bool

    def __str__(self) -> str:
        rounds = ", ".join(f"{2 * places + 1} on {draws} draws" for places, draws in self.fields) or "none"
        ablation = "with" if self.ablation else "without"
        return (
            f"re-evaluation {rounds}; {self.baselines} baselines and {self.searched} searched confirmed on "
            f"{self.seeds} seeds; {ablation} ablation"
        )


def ladder(seeds: int, menu: int) -> tuple[Effort, ...]:
    """Selections from the full one to the least: the plain and the best baseline against the best searched."""
    some = min(seeds, 3)
    all_four, three, two = min(menu, BASELINES), min(menu, 3), min(menu, 2)
    steps = (
        Effort(FIELDS, seeds, all_four, SEARCHED, True),
        Effort(((8, 4), (3, 8)), seeds, all_four, SEARCHED, True),
        Effort(((6, 4), (2, 6)), seeds, all_four, SEARCHED, True),
        Effort(((6, 3), (2, 4)), seeds, all_four, SEARCHED, True),
        Effort(((6, 3), (2, 3)), min(seeds, 4), all_four, SEARCHED, True),
        Effort(((5, 3), (2, 3)), min(seeds, 4), three, SEARCHED, True),
        Effort(((4, 2), (2, 3)), some, three, 1, True),
        Effort(((3, 2), (1, 3)), some, three, 1, True),
        Effort(((2, 4),), some, three, 1, False),
        Effort(((2, 2),), some, two, 1, False),
        Effort((), some, two, 1, False),
    )
    return tuple(dict.fromkeys(steps))

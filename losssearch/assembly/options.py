"""What a user asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from losssearch.data.given_splits import Given, Named
from losssearch.data.groups import Sensitive
from losssearch.data.sources import Data
from losssearch.data.target_columns import TargetName
from losssearch.errors import OptionError
from losssearch.evaluation.record import MetricFunction
from losssearch.models import ModelFactory
from losssearch.training.user_function import TrainFunction

CONFIDENCE = 0.95
DELTA = 1e-5


@dataclass(frozen=True)
class Options:
    """What `losssearch.search` was asked for; see there. Either ``data`` or ``train`` is given."""

    data: Data | None = None
    train: TrainFunction | None = None
    target: TargetName | None = None
    metric: str | MetricFunction | None = None
    direction: str | None = None
    task: str | None = None
    classes: int | None = None
    class_prior: Sequence[float] | None = None
    model: str | ModelFactory = "mlp"
    space: str | Path | None = None
    drop: Sequence[str] = ()
    positive: object = None
    drop_missing_target: bool = False
    max_rows: int | None = None
    test: Data | None = None
    group: Named | None = None
    time: Named | None = None
    split: Named | None = None
    time_as_feature: bool = False
    weight: Named | None = None
    sample_weight: Named | None = None
    sensitive: Sensitive | None = None
    sensitive_as_feature: bool = False
    constraints: Sequence[str] = ()
    objectives: Sequence[str] = ()
    confidence: float = CONFIDENCE
    group_thresholds: bool = False
    references: bool = True
    private_epsilon: float | None = None
    private_delta: float = DELTA
    data_memory: str | None = None
    trials: int | None = None
    time_budget: float | None = None
    epochs: int | None = None
    rates: Sequence[float] | None = None
    draws: int | None = None
    confirm_seeds: int = 5
    prefer_known: bool = False
    workers: int | None = None
    ray_address: str | None = None
    cpus_per_worker: float | None = None
    gpus_per_worker: float | None = None
    memory_per_worker: str | None = None
    resources: Mapping[str, float | str] | None = None
    device: str = "auto"
    study: str | None = None
    resume: bool = False
    storage: str | None = None
    tracking_uri: str | None = None
    mlflow: bool = True
    out: str | Path | None = None
    imports: Sequence[str] = ()
    seed: int = 0
    started: float | None = None
    """When the clock of a time budget began, of ``time.monotonic``; now where left out."""
    explicit: frozenset[str] | None = None
    """Names of the options that were given; where left out, those that differ from their defaults."""

    @property
    def given(self) -> Given:
        """The user's own splits and weights; raises `OptionError` for those that contradict each other."""
        if self.weight is not None and self.sample_weight is not None:
            raise OptionError("weight and sample_weight are one and the same: give one of them")
        weight = self.sample_weight if self.weight is None else self.weight
        return Given(self.test, self.group, self.time, self.split, self.time_as_feature, weight)

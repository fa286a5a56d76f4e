"""A study on a dataset: its rows, its draws, and what its groups must be held to."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from losssearch.data import Dataset, Partition, draws, make_replicas
from losssearch.data.batch import Batch
from losssearch.data.facts import facts_of_rows
from losssearch.data.quality.looking import Seen
from losssearch.data.replicas import Replicas
from losssearch.data.splits import Draw
from losssearch.data.target_kind import Values, target_kind
from losssearch.data.units import bootstrap_groups
from losssearch.data.weights import effective_rows
from losssearch.evaluation import Metric
from losssearch.evaluation.fairness import Constraint, parse_constraints, promise_z
from losssearch.execution import Job
from losssearch.judging import Demands
from losssearch.losses.spec import LossSpec
from losssearch.models import ModelFactory, build_model, is_boosted, is_looped
from losssearch.storage.records import TrialRecord
from losssearch.study.proposing.screening import Screen
from losssearch.study.settings import derived_seed
from losssearch.study.study_context import StudyContext
from losssearch.training import Outcome, TrainingPlan

FRONT_LIMITS = tuple(round(0.01 * step, 2) for step in range(1, 21))
"""Limits on the gap at each of which a front is judged."""

WHOLE = "front"
"""The purpose of draws that train on the whole search part and judge on the confirmation part."""

RANDOM = {"how": "random", "text": "split 60 : 20 : 20 into search, confirmation and test, classes in their shares"}
"""What result.json says of the split where the user gave none."""

MOST_COLUMNS = 200
"""Features that result.json describes one by one."""

STEP_SIZE = 60_000_000
"""Weights × rows that one step of a population should hold: enough to keep a core busy, few enough to share out."""


@dataclass(kw_only=True)
class Context(StudyContext):
    """A study on a dataset. ``model`` is what `losssearch.models.build_model` takes."""

    metric: Metric
    dataset: Dataset
    partition: Partition
    model: str | ModelFactory
    references: bool = True
    """Whether other libraries' mitigations are computed for comparison in a study of groups."""
    seen: Seen | None = None
    """What the rows that are searched on show of the data."""
    rows: dict[str, int] = field(default_factory=dict)
    """Rows of a draw, by part; known once the search has its draws."""
    validated: dict[str, npt.NDArray[np.int64]] = field(default_factory=dict)
    """By purpose, the rows ``[R, V]`` that each draw does not train on."""
    trained: dict[str, npt.NDArray[np.int64]] = field(default_factory=dict)
    """By purpose, the rows ``[R, N]`` that each draw trains on; without those of a table on disk."""

    @cached_property
    def constraints(self) -> tuple[Constraint, ...]:
        """What must hold between the groups."""
        return parse_constraints(self.settings.constraints, self.settings.task)

    def demands(self) -> Demands | None:
        """What trainings are ranked by: with constraints, one standard error to spare."""
        settings = self.settings
        if settings.front:
            return Demands(front=settings.front, limits=FRONT_LIMITS, z=0.0)
        return Demands(constraints=settings.constraints, z=1.0) if self.constraints else None

    def promise(self, rows: int) -> float:
        """Standard errors of margin that a gap on this number of rows needs to hold on as many new rows as test has."""
        groups = len(self.dataset.groups) if self.dataset.attribute is None else 1
        return promise_z(self.settings.confidence, groups, rows, len(self.partition.test))

    @property
    def judged_by(self) -> str | Metric:
        """The metric as a job takes it: by its name, or itself where it is the user's own."""
        return self.metric if self.metric.source else self.settings.metric

    def clusters(self, part: str) -> torch.Tensor | None:
        """The group that each row of a part is resampled with ``[rows]``; None if rows are independent."""
        groups = bootstrap_groups(self.dataset)
        return None if groups is None else torch.as_tensor(groups[getattr(self.partition, part)])

    def weights(self, part: str) -> torch.Tensor | None:
        """The sample weights of a part ``[rows]``; None if all rows count alike."""
        weight = self.dataset.weight
        return None if weight is None else torch.as_tensor(weight[getattr(self.partition, part)])

    def excess(self, trial: TrialRecord) -> float:
        """See `StudyContext.excess`: the mean over replicas."""
        return _mean(trial.details, 1) if self.constraints and trial.details else 0.0

    def values(self, outcome: Outcome) -> tuple[float, ...]:
        """See `StudyContext.values`; constraints play no part in the metric."""
        if self.constraints and outcome.details:
            return tuple(row[0] for row in outcome.details)
        return super().values(outcome)

    def utilities(self, outcome: Outcome) -> tuple[float, ...]:
        """See `StudyContext.utilities`: the metric's where the constraints are kept over all replicas."""
        if self.constraints and outcome.details and _mean(outcome.details, 1) <= 0:
            return tuple(self.metric.utility(value) for value in self.values(outcome))
        return outcome.utilities

    @property
    def finalists(self) -> int:
        """See `StudyContext.finalists`."""
        return 3 if self.constraints else 1

    def screen(self) -> Screen:
        """See `StudyContext.screen`."""
        settings = self.settings
        replicas = self.replicas("search", settings.replicas)
        self.executor.share("search", replicas)
        self.rows = {"train": replicas.rows, "validation": replicas.validation["features"].shape[1]}
        widths = self.task.widths(replicas.classes)
        shared, listed = self.task.shared, replicas.listed
        model = build_model(self.model, replicas.width, widths, self.device, by_column=shared, listed=listed)
        weights = sum(torch.Size(shape).numel() for shape in model.shapes.values())
        size = settings.plan.batch_size * weights * len(settings.rates) * settings.replicas
        self.chunk = 1 if is_looped(model) else max(4, min(16, STEP_SIZE // size))
        if is_boosted(self.model):
            self.chunk = 2  # trees of one candidate gain nothing from those of another but the rungs
        if self.keeper:
            self.keeper.rows, self.keeper.chunk = self.rows["train"], self.chunk
        # On the few rows of a probe the worst cell is one of a handful of rows: it tells nothing of a loss.
        return Screen(model, replicas, None if self.metric.cells else self.judged_by, self.task, self.device)

    def share(self, purpose: str, count: int, *, hold: bool = False) -> None:
        """See `StudyContext.share`."""
        held = {"confirmation": self.partition.confirmation, "test": self.partition.test} if hold else None
        self.executor.share(purpose, self.replicas(purpose, count, held))

    def replicas(self, purpose: str, count: int, held: dict[str, npt.NDArray[np.int64]] | None = None) -> Replicas:
        """Fresh draws of the search part for one purpose, encoded."""
        settings = self.settings
        begun = time.monotonic()
        if purpose == WHOLE:  # thresholds and the front are chosen on confirmation, so all of search may train
            seeds = [derived_seed(settings.seed, purpose, index) for index in range(count)]
            drawn = tuple(Draw(self.partition.search, self.partition.confirmation, seed) for seed in seeds)
        else:
            folded = bool(self.constraints) and held is not None  # so that each row is held out once
            drawn = draws(
                self.dataset, self.partition.search, seed=settings.seed, count=count, purpose=purpose, folded=folded
            )
        rows = min(len(draw.validation) for draw in drawn)
        self.validated[purpose] = np.stack([draw.validation[:rows] for draw in drawn])
        if self.dataset.stored is None:
            trained = min(len(draw.train) for draw in drawn)
            self.trained[purpose] = np.stack([draw.train[:trained] for draw in drawn])
        made = make_replicas(self.dataset, drawn, held=held or {})
        if self.keeper:
            self.keeper.encoding = (time.monotonic() - begun) / count
            self.keeper.draws[purpose] = count
        return made

    def job(
        self,
        replicas: str,
        candidates: Sequence[tuple[LossSpec, tuple[float, ...], bool]],
        plan: TrainingPlan,
        *,
        hold: bool = False,
        trials: Sequence[int] = (),
    ) -> Job:
        """See `StudyContext.job`."""
        return Job(
            number=self.next_number(),
            replicas=replicas,
            candidates=tuple((spec.to_json(), rates, protected) for spec, rates, protected in candidates),
            task=self.settings.task,
            metric=self.judged_by,
            model=self.model,
            plan=plan,
            hold=hold,
            device=self.device,
            trials=tuple(trials),
            demands=self.demands(),
            refit=replicas != "search",
            widths=self.task.widths(len(self.dataset.classes)) if self.task.shared or self.task.by_size else None,
        )

    def described(self) -> dict[str, Any]:
        """See `StudyContext.described`."""
        dataset = self.dataset
        held = {"confirmation": len(self.partition.confirmation), "test": len(self.partition.test)}
        return (
            {
                "name": dataset.name,
                "rows": self.rows | held,
                "features": len(dataset.schema.columns),
                "fingerprint": dataset.fingerprint,
                "classes": list(dataset.classes),
                "notes": list(dataset.notes),
                "columns": [
                    {"name": one.name, "kind": one.kind, "missing": one.missing}
                    for one in dataset.schema.columns[:MOST_COLUMNS]
                ],
                "split": dict(RANDOM if dataset.given is None else dataset.given.facts),
            }
            | ({} if self.seen is None else self.seen.described(dataset.classes))
            | self._described_weights()
            | self._described_groups()
        )

    def _described_weights(self) -> dict[str, Any]:
        weight = self.dataset.weight
        if weight is None:
            return {}
        column = self.settings.splits.get("weight")
        held = {"least": float(weight.min()), "most": float(weight.max()), "effective_rows": effective_rows(weight)}
        return {"weight": {"column": column} | held}

    def _described_groups(self) -> dict[str, Any]:
        dataset, settings = self.dataset, self.settings
        if dataset.group is None:
            return {}
        sizes = np.bincount(dataset.group, minlength=len(dataset.groups)).tolist()
        return {
            "sensitive": list(settings.sensitive),
            "sensitive_as_feature": settings.sensitive_as_feature,
            "groups": dict(zip(dataset.groups, sizes, strict=True)),
        } | ({} if (number := dataset.attribute) is None else {"attribute": number.to_json()})

    def facts(self) -> Batch:
        """See `StudyContext.facts`: over the search part."""
        if isinstance(target_kind(self.dataset.task), Values):
            known = facts_of_rows(self.dataset, self.partition.search)
            return {name: torch.as_tensor(value) for name, value in known.items()}
        target, weight = torch.as_tensor(self.dataset.target[self.partition.search]), self.weights("search")
        share = None if weight is None else weight / weight.sum()
        if self.task.view.labels:
            counts = torch.bincount(target, share, minlength=len(self.dataset.classes))
            return {"class_prior": counts / counts.sum() if share is None else counts}
        numbers = target.double()
        if share is None:
            mean, scale = numbers.mean(0), numbers.std(0, correction=0)
        else:
            share = share.reshape(-1, *[1] * (numbers.dim() - 1))
            mean = (share * numbers).sum(0)
            scale = (share * (numbers - mean).square()).sum(0).sqrt()
        return {"target_mean": mean, "target_scale": scale, "zero": 0 - mean / scale}

    @property
    def groups(self) -> int:
        """See `StudyContext.groups`."""
        return len(self.dataset.groups) if self.dataset.attribute is None else 1


def _mean(details: Sequence[Sequence[float]], place: int) -> float:
    return sum(row[place] for row in details) / len(details)

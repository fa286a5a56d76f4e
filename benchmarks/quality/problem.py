"""One outer split of a scenario: what a method is given, and the rows that judge it.

The outer training part (75 %; 80 % below 1,000 rows) is disturbed as the scenario says; the test part is clean. The
product is handed the training part as a frame and its labels, and never sees the rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from benchmarks.quality import fairly, synthetic
from benchmarks.quality.corruption import add_outliers, long_tail, mislabel
from benchmarks.quality.families import FAMILIES, Family
from benchmarks.quality.scenarios import Scenario, SkippedScenarioError, unmet
from benchmarks.quality.tables import Table, read_table
from benchmarks.quality.watermark import mark_parts
from losssearch.assembly.cells import with_cells
from losssearch.data import Dataset, draws, load, make_replicas
from losssearch.data.columnar_files import draw
from losssearch.data.replicas import Replicas
from losssearch.evaluation import Metric, get_metric
from losssearch.evaluation.fairness import Constraint
from losssearch.tasks import Task, get_task, worst_cell_task

SEED = 5_021
"""Of the outer splits: the same for everyone."""

FEWEST = 10
"""A class with fewer rows is left out: the parts of a study could not all hold it."""


@dataclass(frozen=True, eq=False)
class Problem:
    """A scenario at one outer split. ``dataset`` holds the training rows first, then the test rows."""

    scenario: Scenario
    repeat: int
    dataset: Dataset
    given: Table
    metric: Metric
    """What a method is scored by on the test rows; where groups have a limit, that is part of it."""
    task: Task
    constraint: Constraint | None = None

    @cached_property
    def train(self) -> NDArray[np.int64]:
        """Row numbers of the outer training part."""
        return np.arange(len(self.given.target))

    @cached_property
    def test(self) -> NDArray[np.int64]:
        """Row numbers of the outer test part."""
        return np.arange(len(self.given.target), self.dataset.rows)

    def replicas(self, purpose: str, count: int, *, hold: bool = False) -> Replicas:
        """Draws of training and validation rows out of the outer training part; with ``hold``, the test rows too."""
        drawn = draws(self.dataset, self.train, seed=SEED + self.repeat, count=count, purpose=purpose)
        return make_replicas(self.dataset, drawn, held={"test": self.test} if hold else {})

    @property
    def families(self) -> Mapping[str, Family]:
        """The known losses that are rivals of their own here."""
        fair = fairly.families(self.constraint.gap.statistic) if self.constraint else {}
        return {**FAMILIES[self.task.kind], **fair}

    @property
    def test_target(self) -> NDArray[Any]:
        """The clean target of the test rows, as the metric reads it: class ids, cells, or numbers."""
        return np.asarray(self.dataset.judged[self.test])


def make_problem(scenario: Scenario, repeat: int) -> Problem:
    """Read, split and disturb the data; the same for the same scenario and repeat.

    Raises `SkippedScenarioError` where the data are absent or the product lacks what the scenario needs.
    """
    table = read_table(scenario, seed=repeat)
    if reason := unmet(scenario, table.task):
        raise SkippedScenarioError(f"{scenario.name}: {reason}")
    table = thinned(without_rare_classes(table), scenario.rows)
    clean = _load(table, scenario.sensitive)
    outer = draws(clean, np.arange(clean.rows), seed=SEED, count=repeat + 1, purpose="outer")[repeat]
    given, judged = table.take(outer.train), table.take(outer.validation)
    if table.task != "regression":
        given = given.take(long_tail(given.target, scenario.longtail, repeat))
    given = Table(given.features, _disturbed(given.target, scenario, repeat), given.task, given.positive)
    groups: str | NDArray[Any] = scenario.sensitive
    if scenario.watermark:
        given, judged, groups = mark_parts(scenario, given, judged, repeat)
    dataset = _load(_joined(given, judged), groups)
    metric, task = get_metric(scenario.metric, table.task), get_task(table.task)
    metric.check_target(dataset.target)
    if metric.cells:
        dataset, task = with_cells(dataset, metric), worst_cell_task(task)
    constraint = fairly.constraint_of(scenario, table.task, metric)
    if constraint is not None and dataset.group is not None:
        group = torch.as_tensor(dataset.group[len(given.target) :])
        metric, task = fairly.held_to(metric, constraint, group, len(dataset.groups)), task.with_groups()
    return Problem(scenario, repeat, dataset, given, metric, task, constraint)


def _disturbed(target: pd.Series, scenario: Scenario, repeat: int) -> pd.Series:
    target = add_outliers(mislabel(target, scenario.noise, repeat), scenario.outliers, repeat)
    scheme, _, family = scenario.data.partition(":")
    return synthetic.disturb(family, target, repeat) if scheme == "synthetic" else target


def _load(table: Table, sensitive: str | NDArray[Any]) -> Dataset:
    groups = sensitive if len(sensitive) else None
    return load((table.features, table.target), task=table.task, positive=table.positive, sensitive=groups)


def _joined(first: Table, second: Table) -> Table:
    target = pd.concat([first.target, second.target], ignore_index=True)
    if isinstance(first.features, np.ndarray):
        return Table(np.concatenate([first.features, second.features]), target, first.task, first.positive)
    frames = [pd.DataFrame(part.features) for part in (first, second)]
    return Table(pd.concat(frames, ignore_index=True), target, first.task, first.positive)


def without_rare_classes(table: Table) -> Table:
    """The rows of the classes that have `FEWEST` rows or more; raises `SkippedScenarioError` where one has at most."""
    if table.task == "regression":
        return table
    counts = table.target.value_counts()
    rare = counts.index[counts < FEWEST]
    if len(counts) - len(rare) < 2:
        raise SkippedScenarioError(f"two classes must have {FEWEST} rows, one or none has")
    return table.take(np.flatnonzero(~table.target.isin(rare).to_numpy())) if len(rare) else table


def thinned(table: Table, most: int) -> Table:
    """The table with ``most`` rows at most, in which classes keep their shares."""
    if len(table.target) <= most:
        return table
    strata = np.zeros(len(table.target), dtype=np.int64)
    if table.task != "regression":
        strata = pd.factorize(table.target, use_na_sentinel=False)[0].astype(np.int64)
    return table.take(draw(lambda: iter([strata]), most))

"""What stays whole in splits and in intervals, as a kind of task says: rows, groups, or what is given."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from losssearch.data import draws, load, partition
from losssearch.data.dataset import Dataset
from losssearch.data.given_splits import Given
from losssearch.data.target_kind import Units, _entries
from losssearch.errors import OptionError, SpecError
from losssearch.losses.term import _registry as terms  # to take out what a test declares
from losssearch.study.context import Context
from losssearch.tasks import get_kind, task_kind
from losssearch.tasks.kind import _kinds

MODULE = Path(__file__).parents[1] / "extensions" / "modules" / "own_visits.py"
ROWS, PATIENTS = 240, 60


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    """The module of the extension, known to this test alone."""
    known: list[dict[str, Any]] = [terms, _kinds, _entries]
    before = [dict(one) for one in known]
    spec = importlib.util.spec_from_file_location("own_visits", MODULE)
    assert spec
    assert spec.loader
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
    yield
    for one, old in zip(known, before, strict=True):
        one.clear()
        one.update(old)
    sys.modules.pop("own_visits", None)


def visits() -> pd.DataFrame:
    random = np.random.default_rng(0)
    frame = pd.DataFrame(random.normal(size=(ROWS, 2)), columns=["a", "b"])
    return frame.assign(patient=random.permutation(np.arange(ROWS) % PATIENTS), y=frame["a"] + frame["b"])


def loaded(task: str, **given: Any) -> Dataset:
    return load(visits(), target="y", task=task, given=Given(**given))


def kind_of(unit: Any, bootstrap: Any = None) -> str:
    name = f"own_{unit}_{bootstrap}"
    task_kind(name, heads={"change": 1}, menu=["own_visit_error"], metric="rmse", unit=unit, bootstrap_unit=bootstrap)
    return name


def shared(dataset: Dataset) -> int:
    """How many patients have rows in more than one part, or on both sides of a draw."""
    parts = partition(dataset, 0)
    (draw,) = draws(dataset, parts.search, seed=0, count=1, purpose="search")
    patient = visits()["patient"].to_numpy()
    found = set[int]()
    for sides in ((parts.search, parts.confirmation, parts.test), (draw.train, draw.validation)):
        held = [set(patient[rows].tolist()) for rows in sides]
        found |= set[int]().union(*(a & b for place, a in enumerate(held) for b in held[:place]))
    return len(found)


def resampled(dataset: Dataset, part: str) -> torch.Tensor | None:
    parts = partition(dataset, 0)
    return Context.clusters(SimpleNamespace(dataset=dataset, partition=parts), part)  # type: ignore[arg-type]


def test_a_kind_whose_unit_is_the_group_splits_and_resamples_groups() -> None:
    dataset = loaded("own_visits", group="patient")
    assert shared(dataset) == 0
    units = resampled(dataset, "test")
    assert units is not None
    own = visits()["patient"].to_numpy()[partition(dataset, 0).test]
    assert len(units.unique()) == len(set(own.tolist())) < len(own)
    assert dataset.given
    assert dataset.given.facts["how"] == "group"


def test_it_needs_the_groups() -> None:
    with pytest.raises(OptionError, match="task own_visits splits and resamples whole groups of rows: give group"):
        load(visits(), target="y", task="own_visits")


@pytest.mark.parametrize("task", ["regression", "own_given_None"])
def test_by_default_rows_are_split_unless_groups_are_given(task: str) -> None:
    kind_of("given")
    assert get_kind(task).units == Units("given", "given")
    plain = load(visits(), target="y", task=task)
    assert shared(plain) > 0
    assert resampled(plain, "test") is None
    grouped = loaded(task, group="patient")
    assert shared(grouped) == 0
    assert resampled(grouped, "test") is not None


def test_a_kind_may_split_groups_and_resample_rows() -> None:
    dataset = loaded(kind_of("group", "row"), group="patient")
    assert shared(dataset) == 0
    assert resampled(dataset, "test") is None
    assert dataset.given
    assert "in one part (60 groups), and intervals are over rows" in dataset.given.facts["text"]


def test_a_kind_may_split_rows_and_resample_groups() -> None:
    dataset = loaded(kind_of("row", "group"), group="patient")
    assert shared(dataset) > 0
    assert resampled(dataset, "test") is not None
    assert dataset.given
    assert dataset.given.facts["how"] == "random"
    assert "may be in several parts (60 groups), and intervals are over groups" in dataset.given.facts["text"]


def test_groups_that_nothing_reads_are_refused() -> None:
    with pytest.raises(OptionError, match="splits and resamples single rows, not groups: leave out group"):
        loaded(kind_of("row"), group="patient")


def test_an_unknown_unit_is_refused() -> None:
    with pytest.raises(SpecError, match="the unit of a task is one of row, group, given, got 'patient'"):
        kind_of("patient")

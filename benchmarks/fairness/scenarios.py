"""What is compared on: datasets with a sensitive attribute, their splits, and the boxes that fronts are measured in."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from losssearch.data import Dataset, load, make_replicas, partition
from losssearch.data.batch import Batch
from losssearch.data.splits import Draw, Partition

DATA = Path(os.environ.get("LOSSSEARCH_DATA", "../shared/data"))

CRITERIA = ("demographic_parity", "equalized_odds")


@dataclass(frozen=True)
class Scenario:
    """A dataset and its groups. ``box``: lowest and highest accuracy and the largest gap that count."""

    name: str
    file: str
    target: str
    sensitive: tuple[str, ...]
    drop: tuple[str, ...]
    box: tuple[float, float, float]
    keep: str = ""
    """A boolean column: only its true rows are used."""


ADULT = ("adult", "income", ("fnlwgt", "official_split"))
SCENARIOS = (
    Scenario("adult sex", ADULT[0], ADULT[1], ("sex",), ADULT[2], (0.7607, 0.875, 0.20)),
    Scenario("adult sex x race", ADULT[0], ADULT[1], ("sex", "race"), ADULT[2], (0.7607, 0.875, 0.30)),
    Scenario(
        "compas race",
        "compas_two_years",
        "two_year_recid",
        ("race",),
        ("is_recid", "decile_score", "score_text", "v_decile_score", "v_score_text", "propublica_filter"),
        (0.5297, 0.70, 0.30),
        keep="propublica_filter",
    ),
    Scenario("dutch sex", "dutch_census", "occupation", ("sex",), (), (0.5239, 0.85, 0.40)),
    Scenario("law school race", "law_school", "pass_bar", ("race",), (), (0.8898, 0.91, 0.30)),
    Scenario("german sex", "german_credit", "credit_risk", ("sex_derived",), (), (0.70, 0.78, 0.20)),
    Scenario("bank age", "bank_marketing_full", "y", ("age>=25",), ("duration",), (0.883, 0.905, 0.20)),
)


@dataclass(frozen=True, eq=False)
class Part:
    """Rows of one part: encoded features ``[N, D]``, labels ``[N]`` and group ids ``[N]``."""

    features: NDArray[np.float32]
    labels: NDArray[np.int64]
    group: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Split:
    """Training, validation and test parts, 60 : 20 : 20."""

    scenario: Scenario
    frame: pd.DataFrame
    dataset: Dataset
    parts: Partition
    train: Part
    validation: Part
    test: Part
    groups: int
    seed: int


def frame_of(scenario: Scenario) -> pd.DataFrame:
    """The scenario's table."""
    frame = pd.read_parquet(DATA / "parquet" / f"{scenario.file}.parquet")
    if scenario.keep:
        frame = frame[frame[scenario.keep].astype(bool)].reset_index(drop=True)
    return frame


def split_of(scenario: Scenario, seed: int, *, aware: bool) -> Split:
    """The split of a seed, the same rows as a study of that seed parts them into.

    ``aware``: the attribute is among the features.
    """
    frame = frame_of(scenario)
    dataset = load(
        frame,
        target=scenario.target,
        drop=scenario.drop,
        sensitive=scenario.sensitive,
        sensitive_as_feature=aware,
    )
    parts = partition(dataset, seed)
    made = make_replicas(dataset, [Draw(parts.search, parts.confirmation, seed)], held={"test": parts.test})
    assert dataset.group is not None

    def part(batch: Batch, rows: NDArray[np.int64]) -> Part:
        assert dataset.group is not None
        return Part(batch["features"][0].numpy(), batch["target"][0].numpy(), dataset.group[rows])

    return Split(
        scenario,
        frame,
        dataset,
        parts,
        part(made.train, parts.search),
        part(made.validation, parts.confirmation),
        part(made.held["test"], parts.test),
        len(dataset.groups),
        seed,
    )

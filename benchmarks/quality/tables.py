"""Features and target of a scenario, clean, as a frame or array: from the catalogue, a built-in set or a formula."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.quality import synthetic
from benchmarks.quality.scenarios import Scenario, SkippedScenarioError

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
POOL = 2
"""Images are averaged over squares of this many pixels, so that a small network trains in seconds."""
WORDS = 256
"""Columns that the words of a text are hashed into."""


@dataclass(frozen=True, eq=False)
class Table:
    """``features`` [rows, ...] and ``target`` [rows] with no missing value; ``positive`` of a binary target."""

    features: pd.DataFrame | NDArray[np.float32]
    target: pd.Series
    task: str
    positive: object = None

    def take(self, rows: NDArray[np.int64]) -> Table:
        """The rows of these numbers, in this order."""
        features = self.features[rows] if isinstance(self.features, np.ndarray) else self.features.iloc[rows]
        if isinstance(features, pd.DataFrame):
            features = features.reset_index(drop=True)
        return Table(features, self.target.iloc[rows].reset_index(drop=True), self.task, self.positive)


def data_folder() -> Path:
    """The folder of the catalogue: ``LOSSSEARCH_DATA``, else next to the repository."""
    return Path(os.environ.get("LOSSSEARCH_DATA", SHARED))


def read_table(scenario: Scenario, seed: int = 0) -> Table:
    """The clean data of a scenario, all rows; a synthetic family is drawn by ``seed``.

    Raises `SkippedScenarioError` where the data are not here.
    """
    scheme, _, name = scenario.data.partition(":")
    if scheme == "synthetic":
        table = Table(*synthetic.draw(name, min(scenario.rows, synthetic.ROWS), seed))
    elif scheme == "builtin":
        table = _builtin(name)
    else:
        table = _catalogued(scenario)
    if scenario.classes:
        kept = sorted(table.target.unique())[: scenario.classes]
        table = table.take(np.flatnonzero(table.target.isin(kept).to_numpy()))
    return table


def _builtin(name: str) -> Table:
    from losssearch.data.builtin import TARGET, load_builtin

    found = load_builtin(name)
    if isinstance(found, tuple):
        images, labels = found
        return Table(images.reshape(len(images), -1), labels.astype(str), "multiclass")
    target = found[TARGET]
    frame = found.drop(columns=TARGET)
    if target.dtype.kind == "f" or target.nunique() > 50:
        return Table(frame, target.astype(float), "regression")
    return Table(frame, target.astype(str), "binary" if target.nunique() == 2 else "multiclass")


def _catalogued(scenario: Scenario) -> Table:
    folder = data_folder()
    if not (folder / "CATALOG.json").is_file():
        raise SkippedScenarioError(f"{scenario.name} needs the catalogue of data sets, but {folder} holds none")
    entries = {entry["name"]: entry for entry in json.loads((folder / "CATALOG.json").read_text())}
    derived = {entry["name"]: entry for entry in json.loads((folder / "DERIVED.json").read_text())}
    rule = derived.get(scenario.data)
    entry = entries.get(rule["base"] if rule else scenario.data)
    if entry is None:
        raise SkippedScenarioError(f"{scenario.name} needs {scenario.data}, which the catalogue does not name")
    path = folder / entry["file"]
    if not path.is_file():
        raise SkippedScenarioError(f"{scenario.name} needs {path.name}, which is not in {folder}")
    images = path.suffix == ".npz"
    table = _images(path, entry) if images else _frame(pd.read_parquet(path), entry, scenario.target)
    return _derived(table, rule["positive_when"]) if rule else table


def _frame(frame: pd.DataFrame, entry: Mapping[str, Any], target: str | None) -> Table:
    targets = entry["target"] if isinstance(entry["target"], list) else [entry["target"]]
    name = target or targets[0]
    frame = frame[frame[name].notna()].reset_index(drop=True)
    goal = frame[name]
    features = frame.drop(columns=[*targets, *entry["exclude_from_features"]], errors="ignore")
    if entry["task"].startswith("text"):
        return Table(_hashed(features["text"]), goal.astype(str), "binary", str(entry["positive_label"]))
    if entry["task"] in ("regression", "count"):
        return Table(features, goal.astype(float), "regression")
    positive = None if entry["positive_label"] is None else str(entry["positive_label"])
    return Table(features, goal.astype(str), entry["task"], positive)


def _images(path: Path, entry: Mapping[str, Any]) -> Table:
    with np.load(path) as arrays:
        images, labels = arrays["images"].astype(np.float32), arrays["labels"]
    rows, height, width = images.shape
    pooled = images.reshape(rows, height // POOL, POOL, width // POOL, POOL).mean((2, 4)).reshape(rows, -1)
    task = entry["task"].removeprefix("image-")
    positive = None if entry["positive_label"] is None else str(entry["positive_label"])
    return Table(pooled / 255, pd.Series(labels.astype(str), name="target"), task, positive)


def _derived(table: Table, rule: str) -> Table:
    """A binary task from a rule such as ``quality <= 4`` or ``class not in (High, Bypass)``."""
    found = re.fullmatch(r"\w+ (==|<=|<|>|in|not in) (.+)", rule)
    if found is None:
        raise SkippedScenarioError(f"the rule of a derived task must compare the target, got {rule!r}")
    sign, value = found.groups()
    if sign in ("in", "not in"):
        chosen = table.target.isin([part.strip() for part in value.strip("()").split(",")])
        chosen = ~chosen if sign == "not in" else chosen
    elif sign == "==":
        chosen = table.target.astype(str) == value
    else:
        numbers = table.target.astype(float)
        chosen = {"<=": numbers <= float(value), "<": numbers < float(value), ">": numbers > float(value)}[sign]
    labels = chosen.map({True: "yes", False: "no"}).rename("target")
    return Table(table.features, labels, "binary", "yes")


def _hashed(texts: pd.Series) -> NDArray[np.float32]:
    from sklearn.feature_extraction.text import HashingVectorizer

    return np.asarray(HashingVectorizer(n_features=WORDS).transform(texts).toarray(), dtype=np.float32)

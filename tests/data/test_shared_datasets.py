"""Real datasets, from their files to encoded tensors."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from losssearch.data import load, make_replicas, partition
from losssearch.data.splits import draws

SHARED = Path(os.environ.get("LOSSSEARCH_DATA", Path(__file__).parents[3] / "shared" / "data"))
needs_shared = pytest.mark.skipif(not (SHARED / "CATALOG.json").exists(), reason=f"no shared datasets at {SHARED}")


@needs_shared
@pytest.mark.parametrize(
    ("name", "target", "drop", "task", "width"),
    [
        ("adult", "income", ("official_split", "fnlwgt"), "binary", 95),
        ("california_housing", "median_house_value", (), "regression", 14),
        ("pneumonia_mnist", "labels", (), "binary", 784),
    ],
)
def test_shared_datasets(name: str, target: str, drop: tuple[str, ...], task: str, width: int) -> None:
    entry = next(entry for entry in json.loads((SHARED / "CATALOG.json").read_text()) if entry["name"] == name)
    dataset = load(SHARED / entry["file"], target=target, drop=drop)
    assert dataset.task == task
    assert dataset.rows == entry["rows"]
    if task == "binary":
        assert dataset.classes[1] == str(entry["positive_label"])
    parts = partition(dataset, 0)
    one = draws(dataset, parts.search, seed=0, count=1, purpose="search")
    replicas = make_replicas(dataset, one, {"test": parts.test})
    assert replicas.width == width
    for features in (replicas.train["features"], replicas.validation["features"], replicas.held["test"]["features"]):
        assert features.isfinite().all()

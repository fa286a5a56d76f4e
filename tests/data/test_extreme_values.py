"""Numbers near the ends of float64: features count as missing; targets, weights and sensitive numbers are refused."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from losssearch.data import load
from losssearch.data.given_splits import Given
from losssearch.errors import DataError

ROWS = 400
RANDOM = np.random.default_rng(0)
NORMAL = RANDOM.normal(size=ROWS)


def table(**columns: object) -> pd.DataFrame:
    return pd.DataFrame({"x": NORMAL, "z": NORMAL[::-1], "y": np.arange(ROWS) % 2}).assign(**columns)


def spread(size: float) -> np.ndarray:
    """Distinct numbers, of which the largest has this size."""
    return NORMAL / np.abs(NORMAL).max() * size


@pytest.mark.parametrize(
    ("values", "rule"),
    [
        (spread(1.7e308), "must be finite"),
        (spread(1e99), r"at most 1e\+70 in size"),
        (np.where(NORMAL > 2, 1e90, NORMAL), r"has 1e\+90 in row"),
        (spread(1e-80), "must spread by at least 1e-70"),
        (spread(5e-320), "must spread by at least 1e-70"),
    ],
)
def test_targets_whose_errors_cannot_be_squared_twice(values: np.ndarray, rule: str, tmp_path: Path) -> None:
    table(y=values).to_csv(tmp_path / "t.csv", index=False)
    for data in (table(y=values), tmp_path / "t.csv", (table()[["x", "z"]], values)):
        with pytest.raises(DataError, match=rule):
            load(data, target="y" if not isinstance(data, tuple) else None, task="regression")


def test_a_streamed_target_that_is_too_large(tmp_path: Path) -> None:
    rows = 20_000
    values = np.sin(np.arange(rows))
    values[17] = 1e90
    frame = pd.DataFrame({"x": np.cos(np.arange(rows) ** 2), "z": np.sin(np.arange(rows) ** 3), "y": values})
    frame.to_parquet(tmp_path / "t.parquet")
    with pytest.raises(DataError, match=r"at most 1e\+70 in size; .* has 1e\+90 in row 18"):
        load(tmp_path / "t.parquet", target="y", memory=200_000)


@pytest.mark.parametrize(("largest", "smallest"), [(1e70, 1.0), (1.0, 1e-68)])
def test_targets_at_the_ends_of_the_range_are_read(largest: float, smallest: float) -> None:
    assert load(table(y=spread(largest * smallest)), target="y").task == "regression"


def test_two_numbers_of_any_size_are_classes() -> None:
    assert load(table(y=np.where(NORMAL > 0, 1e99, -1e99)), target="y").task == "binary"


@pytest.mark.parametrize(
    ("value", "rule"),
    [
        (1e308, "finite and at most 1e+30"),
        (5e-324, "must be 0 or at least 1e-30"),
        (1e-31, "must be 0 or at least 1e-30"),
    ],
)
def test_weights_whose_squares_are_infinite_or_nothing(value: float, rule: str) -> None:
    for weight in (np.full(ROWS, value), np.where(NORMAL > 1, value, 1.0)):
        with pytest.raises(DataError, match=re.escape(rule)):
            load(table(w=weight), target="y", given=Given(weight="w"))


def test_a_sensitive_number_without_a_spread_that_counts() -> None:
    with pytest.raises(DataError, match=r"sensitive number must spread by at least 1e-70; .* 's'"):
        load(table(s=spread(5e-320)), target="y", sensitive="s")
    dataset = load(table(s=np.where(NORMAL > 1.5, 1.7e308, NORMAL)), target="y", sensitive="s")
    assert dataset.attribute is not None
    assert np.isfinite(dataset.attribute.values).all()


def test_features_of_any_size_are_read() -> None:
    for size in (1.7e308, 1e99, 1e-300, 5e-324):
        load(table(odd=spread(size)), target="y")

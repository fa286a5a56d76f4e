"""Sample weights in data: read, checked, aligned with rows through draws, and in priors and standardisation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from losssearch.data import Dataset, draws, load, make_replicas, partition
from losssearch.data.given_splits import Given
from losssearch.data.weights import effective_rows
from losssearch.errors import DataError, OptionError


def table(rows: int = 600, *, classes: int = 2) -> pd.DataFrame:
    """A table whose weight can be told from the row's feature ``a``."""
    generator = np.random.default_rng(0)
    label = generator.integers(0, classes, rows)
    frame = pd.DataFrame({"a": generator.normal(size=rows), "b": generator.normal(size=rows), "y": label})
    return frame.assign(w=1 + 3 * (frame.a > 0) + label)


def weighted(frame: pd.DataFrame, **options: Any) -> Dataset:
    return load(frame, target="y", given=Given(weight="w"), **options)


def test_weights_stay_with_their_rows() -> None:
    frame = table()
    dataset = weighted(frame)
    assert [column.name for column in dataset.schema.columns] == ["a", "b"]
    np.testing.assert_array_equal(dataset.weight, frame.w)
    search = partition(dataset, 0).search
    drawn = draws(dataset, search, seed=0, count=3, purpose="search")
    replicas = make_replicas(dataset, drawn)
    for index, draw in enumerate(drawn):
        unit = frame.w[draw.train].mean()
        np.testing.assert_allclose(
            replicas.train["weight"][index] * unit, frame.w[draw.train][: replicas.rows], rtol=1e-6
        )
        held = frame.w[draw.validation][: replicas.validation["weight"].shape[1]]
        np.testing.assert_allclose(replicas.validation["weight"][index] * unit, held, rtol=1e-6)
        share = frame.w[draw.train].groupby(frame.y[draw.train]).sum() / frame.w[draw.train].sum()
        np.testing.assert_allclose(replicas.facts["class_prior"][index], share, rtol=1e-6)
    taken = replicas.take([2])
    np.testing.assert_array_equal(taken.train["weight"][0], replicas.train["weight"][2])


def test_targets_are_standardised_by_weight() -> None:
    frame = table().assign(y=lambda f: f.a + 5)
    dataset = load(frame, target="y", task="regression", given=Given(weight="w"))
    drawn = draws(dataset, partition(dataset, 0).search, seed=0, count=1, purpose="search")
    replicas = make_replicas(dataset, drawn)
    rows = drawn[0].train
    index = np.repeat(frame.y[rows].to_numpy(), frame.w[rows].to_numpy())
    assert float(replicas.facts["target_mean"][0]) == pytest.approx(index.mean(), rel=1e-6)
    assert float(replicas.facts["target_scale"][0]) == pytest.approx(index.std(), rel=1e-6)


def test_rows_of_weight_0_are_as_if_they_were_not_there() -> None:
    frame = table()
    frame.loc[frame.index % 5 == 0, "w"] = 0
    dataset = weighted(frame)
    without = weighted(frame[frame.w > 0].reset_index(drop=True))
    assert dataset.fingerprint == without.fingerprint
    assert dataset.rows == 480
    assert "left out 120 rows of weight 0" in dataset.notes


@pytest.mark.parametrize(
    ("value", "match"),
    [
        (-1.0, r"must not be negative; weight column 'w' of the data frame has -1 in row 8"),
        (np.inf, r"must be finite and at most 1e\+30; .* in row 8"),
        (1e300, r"must be finite and at most 1e\+30; .* in row 8"),
        (np.nan, r"every row must have a weight; .* lacks 1 of 600, the first in row 8"),
        ("heavy", r"must be a number; .* has 'heavy' in row 8"),
    ],
)
def test_what_is_no_weight_is_named_with_its_row(value: Any, match: str) -> None:
    frame = table()
    frame["w"] = frame.w.astype("object" if isinstance(value, str) else "float64")
    frame.loc[7, "w"] = value
    with pytest.raises(DataError, match=match):
        weighted(frame)


def test_weights_that_are_all_0_are_refused() -> None:
    with pytest.raises(DataError, match="some weights must be above 0"):
        weighted(table().assign(w=0))
    with pytest.raises(OptionError, match="weight must not be the target"):
        load(table(), target="w", given=Given(weight="w"))


def test_arrays_and_test_rows_have_weights_too() -> None:
    frame = table()
    pair = frame[["a", "b"]].to_numpy(), frame.y.to_numpy()
    listed = load(pair, given=Given(weight=frame.w.to_numpy()))
    np.testing.assert_array_equal(listed.weight, frame.w)
    parted = load(frame[:400], target="y", given=Given(weight="w", test=frame[400:]))
    np.testing.assert_array_equal(parted.weight, frame.w)
    with pytest.raises(DataError, match="no weight column 'w'"):
        load(frame[:400], target="y", given=Given(weight="w", test=frame[400:].drop(columns="w")))


def test_fingerprints_cover_weights() -> None:
    frame = table()
    plain = load(frame.drop(columns="w"), target="y").fingerprint
    assert len({plain, weighted(frame).fingerprint, weighted(frame.assign(w=frame.w + 1)).fingerprint}) == 3


def test_equal_weights_are_worth_all_rows() -> None:
    assert effective_rows(np.full(50, 3.0)) == pytest.approx(50)
    assert effective_rows(np.array([1.0] * 10 + [1e-9] * 90)) == pytest.approx(10, rel=1e-6)

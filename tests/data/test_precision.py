"""Numbers keep their digits up to the encoder, whatever their unit and offset and whatever holds them."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from losssearch.data import Dataset, Encoder, draws, load, make_replicas, partition
from losssearch.data.dataset import Dataset as Loaded
from losssearch.judging.metric import MetricJudge

ROWS = 240
GENERATOR = np.random.default_rng(5)
PLAIN = GENERATOR.lognormal(0, 1, (ROWS, 3))
LABELS = (PLAIN[:, 0] > 1).astype(int)
SIGNAL = 60 * PLAIN[:, 1] + GENERATOR.normal(size=ROWS)

UNITS = [(1.0, 1.7e9), (1e-12, 0.0), (1e50, 0.0), (1e-3, -4e8), (1e-60, 0.0)]
"""Factors and offsets: seconds since 1970, metres as light years, and what float32 cannot hold at all."""


def encoded(dataset: Dataset) -> np.ndarray:
    features = dataset.features
    return Encoder(dataset.schema).fit(features).transform(features)


@pytest.mark.parametrize(("factor", "offset"), UNITS)
@pytest.mark.parametrize("held", ["frame", "array", "tensor", "images"])
def test_the_unit_of_a_feature_plays_no_part(held: str, factor: float, offset: float) -> None:
    def loaded(values: np.ndarray) -> Loaded:
        kinds = {
            "frame": lambda: pd.DataFrame(values, columns=list("abc")),
            "array": lambda: values,
            "tensor": lambda: torch.from_numpy(values),
            "images": lambda: values.reshape(ROWS, 3, 1),
        }
        return load((kinds[held](), LABELS))

    before, after = encoded(loaded(PLAIN)), encoded(loaded(PLAIN * factor + offset))
    spread = np.ptp(PLAIN) * factor
    np.testing.assert_allclose(after, before, atol=1e-5 + 4 * np.finfo(float).eps * abs(offset) / spread * 1e3)


@pytest.mark.parametrize("kind", [np.float64, np.float32, np.int64, np.uint8, bool])
def test_an_array_and_a_data_frame_of_the_same_features_are_the_same(kind: type) -> None:
    features = PLAIN > 1 if kind is bool else (PLAIN * 40).astype(kind)
    labels = np.arange(ROWS) % 2
    array, frame = load((features, labels)), load((pd.DataFrame(features), labels))
    assert [column.kind for column in array.schema.columns] == [column.kind for column in frame.schema.columns]
    np.testing.assert_array_equal(encoded(array), encoded(frame))
    for ours, theirs in zip(vars(partition(array, 0)).values(), vars(partition(frame, 0)).values(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(("factor", "offset"), [*UNITS, (1.0, 1.7e12)])
def test_the_unit_of_a_target_plays_no_part(factor: float, offset: float) -> None:
    replicas, judges = [], []
    for target in (SIGNAL, SIGNAL * factor + offset):
        dataset = load((PLAIN, target), task="regression")
        parts = partition(dataset, 0)
        drawn = draws(dataset, parts.search, seed=0, count=2, purpose="search")
        replicas.append(make_replicas(dataset, drawn, held={"test": parts.test}))
        judges.append(MetricJudge("rmse", "regression", replicas[-1]))
    before, after = replicas
    np.testing.assert_allclose(after.train["target"], before.train["target"], atol=2e-3 if offset > 1e12 else 1e-5)
    # A model that is off by half a standard deviation has that error in the target's own unit.
    utilities = [
        judge((r.validation["target"] + 0.5).float()[:, None], r.validation["target"], torch.tensor([False]))[0]
        for judge, r in zip(judges, replicas, strict=True)
    ]
    np.testing.assert_allclose(utilities[1] / factor, utilities[0], rtol=1e-3)
    dataset = load((PLAIN, SIGNAL * factor + offset), task="regression")
    held = judges[1].own_unit(after.held["test"]["target"][:, None])[:, 0]
    wanted = np.broadcast_to(dataset.target[partition(dataset, 0).test], held.shape)
    np.testing.assert_allclose(held, wanted, rtol=1e-14, atol=1e-14 * factor * 60)


WIDE = 1_234_567_890_123_456_000 + GENERATOR.integers(0, 200, ROWS)


@pytest.mark.parametrize("held", ["int64", "uint64", "object", "text", "Int64", "csv", "parquet"])
def test_whole_numbers_of_19_digits_differ(held: str, tmp_path: Path) -> None:
    kind = {"text": "str", "csv": "int64", "parquet": "int64"}.get(held, held)
    frame = pd.DataFrame({"stamp": pd.Series(WIDE).astype(kind), "y": LABELS})
    if held == "csv":
        frame.to_csv(tmp_path / "a.csv", index=False)
    elif held == "parquet":
        frame.to_parquet(tmp_path / "a.parquet", index=False)
    dataset = load(tmp_path / f"a.{held}" if held in ("csv", "parquet") else frame, target="y")
    assert [column.kind for column in dataset.schema.columns] == ["numeric"]
    values = dataset.features["stamp"].to_numpy()
    np.testing.assert_array_equal(values - values.min(), WIDE - WIDE.min())


def test_a_target_of_19_digits_is_no_constant() -> None:
    numbers = load((PLAIN, WIDE), task="regression")
    np.testing.assert_array_equal(numbers.target - numbers.target.min(), WIDE - WIDE.min())
    assert any("distance from" in note for note in numbers.notes)
    codes = 9_007_199_254_740_992 + np.arange(ROWS) % 3
    classes = load((PLAIN, codes))
    assert classes.classes == ("9007199254740992", "9007199254740993", "9007199254740994")
    np.testing.assert_array_equal(classes.target, np.arange(ROWS) % 3)

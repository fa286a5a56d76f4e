"""A feature that predicts the target nearly perfectly alone is named; good features are not."""

import numpy as np
import pandas as pd
import pytest

from losssearch.data import load
from losssearch.data.leaks import leaks


def named(feature: object, target: np.ndarray, task: str | None = None) -> list[str]:
    noise = np.random.default_rng(1).normal(size=len(target))
    dataset = load(pd.DataFrame({"told": feature, "noise": noise, "y": target}), target="y", task=task)
    return [leak.name for leak in leaks(dataset, np.arange(len(target))[::2])]


def labels(rows: int, share: float) -> np.ndarray:
    return (np.random.default_rng(rows).random(rows) < share).astype(int)


def binary_leaks(y: np.ndarray) -> dict[str, object]:
    draw = np.random.default_rng(4)
    return {
        "copy": y,
        "turned": 3.0 - 2 * y,
        "text": np.where(y == 1, "paid", "open"),
        "shifted": draw.normal(size=len(y)) + 50 * y,
        "two-sided": np.where(y == 1, 0.1, 5.0) * draw.choice([-1, 1], len(y)) + draw.normal(0, 0.01, len(y)),
        "missing": np.where(y == 1, draw.normal(size=len(y)), np.nan),
        "missing text": np.where(y == 1, draw.choice(list("abcdefgh"), len(y)), None),
        "float32": 1.7e9 + y + draw.random(len(y)) / 4,
        "order": np.argsort(np.argsort(y + draw.random(len(y)) / 2)) * 1.5,
        "date": pd.Timestamp("2020-01-01") + pd.to_timedelta(400 * y + draw.integers(0, 99, len(y)), unit="D"),
    }


@pytest.mark.parametrize(("rows", "share"), [(160, 0.5), (400, 0.3), (3000, 0.02)])
@pytest.mark.parametrize("form", binary_leaks(labels(80, 0.5)))
def test_a_leak_of_two_classes_is_named(form: str, rows: int, share: float) -> None:
    y = labels(rows, share)
    assert named(binary_leaks(y)[form], y) == ["told"]


def test_a_leak_with_wrong_entries_is_named() -> None:
    y = labels(2000, 0.4)
    wrong = np.random.default_rng(0).random(2000) < 0.01
    assert named(np.where(wrong, 1 - y, y), y) == ["told"]


@pytest.mark.parametrize("form", ["codes", "text", "numbers"])
def test_a_leak_of_classes_is_named(form: str) -> None:
    y = np.random.default_rng(0).integers(0, 4, 500)
    told = {"codes": (7 * y + 3) % 4, "text": y.astype(str), "numbers": y + np.random.default_rng(1).random(500) / 2}
    assert named(pd.Series(told[form]).map("c{}".format) if form == "text" else told[form], y) == ["told"]


@pytest.mark.parametrize("rows", [80, 1000])
@pytest.mark.parametrize("form", ["scaled", "log", "turned", "noisy", "outliers"])
def test_a_leak_of_numbers_is_named(form: str, rows: int) -> None:
    draw = np.random.default_rng(3)
    y = draw.lognormal(0, 1, rows)
    told = {
        "scaled": 1e-9 * y + 4,
        "log": np.log(y),
        "turned": -(y**3),
        "noisy": y * draw.normal(1, 0.01, rows),
        "outliers": np.where(np.arange(rows) == 1, 1e12, y),
    }
    assert named(told[form], y, "regression") == ["told"]


def test_a_leak_of_numbers_in_half_of_the_range_both_ways_is_named() -> None:
    y = np.random.default_rng(3).normal(size=2000)
    assert named(np.where(y > 0, 100 + y, -y), y, "regression") == ["told"]


@pytest.mark.parametrize("spread", [0.5, 1.0])
def test_a_good_feature_is_not_named(spread: float) -> None:
    draw = np.random.default_rng(0)
    x = draw.normal(size=2000)
    assert named(x, x + 0.3 * spread * draw.normal(size=2000), "regression") == []
    assert named(x, (x + spread * draw.normal(size=2000) > 0).astype(int)) == []
    assert named(draw.choice([f"c{i}" for i in range(40)], 2000), labels(2000, 0.5)) == []


def test_images_have_no_columns_to_name() -> None:
    images = np.random.default_rng(0).random((60, 3, 3))
    assert list(leaks(load((images, np.arange(60) % 2)), np.arange(60))) == []

"""Tables with groups and times of their own, and the parts that they are split into."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from losssearch.data import Dataset, load, partition
from losssearch.data.given_splits import Given


def patients(count: int = 100, each: int = 10, seed: int = 0) -> pd.DataFrame:
    """Noise that is one number a patient and nothing else: what is learnt of a patient tells nothing of another."""
    generator = np.random.default_rng(seed)
    rows = np.repeat(np.arange(count), each)
    features = generator.normal(size=(count, 4))[rows] + 0.01 * generator.normal(size=(len(rows), 4))
    labels = (generator.permutation(count) < 0.4 * count).astype(int)[rows]
    frame = pd.DataFrame(features, columns=list("abcd")).assign(patient=[f"p{row}" for row in rows], y=labels)
    return frame.sample(frac=1, random_state=seed).reset_index(drop=True)


def events(rows: int = 1200, seed: int = 0) -> pd.DataFrame:
    generator = np.random.default_rng(seed)
    days = pd.Timestamp("2024-01-01") + pd.to_timedelta(generator.integers(0, 300, rows), unit="D")
    return pd.DataFrame({"a": generator.normal(size=rows), "b": generator.normal(size=rows), "day": days}).assign(
        y=lambda frame: (frame.a + generator.normal(size=rows) > 0).astype(int)
    )


def given(frame: Any, **options: Any) -> Dataset:
    return load(frame, target="y", given=Given(**options))


def sides(dataset: Dataset, seed: int = 0) -> dict[str, np.ndarray]:
    parts = partition(dataset, seed)
    held = {"search": parts.search, "confirmation": parts.confirmation, "test": parts.test}
    np.testing.assert_array_equal(np.sort(np.concatenate(list(held.values()))), np.arange(dataset.rows))
    return held

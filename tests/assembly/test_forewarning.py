"""What is said of groups before a study starts."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from losssearch.assembly.forewarning import telling_columns, unverifiable_limits
from losssearch.data import Dataset, load
from losssearch.evaluation.fairness import parse_constraints


def table(rows: int, *, copies: float = 1.0) -> Dataset:
    """Two groups of equal size; ``proxy`` equals the group in a share of ``copies`` of the rows."""
    generator = np.random.default_rng(3)
    group = np.arange(rows) % 2
    proxy = np.where(generator.random(rows) < copies, group, 1 - group)
    frame = pd.DataFrame(
        {
            "feature": generator.normal(size=rows),
            "proxy": np.array(["red", "blue"])[proxy],
            "sex": np.array(["f", "m"])[group],
            "label": generator.integers(0, 2, rows),
        }
    )
    return load(frame, target="label", sensitive="sex")


@pytest.mark.parametrize(("rows", "told"), [(1_000, True), (20_000, False)])
def test_a_limit_is_unverifiable_on_few_rows(rows: int, told: bool) -> None:
    # 2 × 100 held-out rows at a rate of 1/2: the difference has a standard error of 0.07; 2 × 2,000 rows: 0.016
    limits = parse_constraints(["demographic_parity_difference <= 0.05"], "binary")
    found = list(unverifiable_limits(limits, table(rows)))
    assert len(found) == told
    if told:
        assert "demographic_parity_difference <= 0.05 cannot be verified" in found[0]
        assert "200 held-out rows" in found[0]


@pytest.mark.parametrize("limit", ["worst_group_accuracy >= 0.9", "calibration_difference <= 0.001"])
def test_nothing_is_said_of_what_only_a_model_shows(limit: str) -> None:
    assert list(unverifiable_limits(parse_constraints([limit], "binary"), table(1_000))) == []


@pytest.mark.parametrize(("copies", "told"), [(1.0, True), (0.995, True), (0.9, False)])
def test_a_column_that_tells_the_group_is_named(copies: float, told: bool) -> None:
    found = list(telling_columns(table(4_000, copies=copies), ("sex",)))
    assert len(found) == told
    if told:
        assert "column 'proxy' tells the group" in found[0]
        assert "drop='proxy'" in found[0]

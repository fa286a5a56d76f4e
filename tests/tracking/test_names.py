"""Names and values as trackers take them."""

from __future__ import annotations

import math

import pytest

from losssearch.storage.records import TrialRecord
from losssearch.tracking.names import curve, finite, flat, legal


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("f1", "f1"),
        ("cost(fp=1,fn=5)", "cost_fp_1_fn_5"),
        ("pinball(0.9)", "pinball_0.9"),
        ("a/b-c", "a/b-c"),
        ("größe", "gr_e"),
        ("()", "_"),
        ("x" * 300, "x" * 250),
    ],
)
def test_legal(name: str, expected: str) -> None:
    assert legal(name) == expected


def test_flat() -> None:
    nested: dict[str, object] = {"a": [{"b": 0.1 + 0.2}, {"b": True}], "c": None, "d": {}, "e": "x", "f g": 1}
    assert flat(nested) == {"a.0.b": "0.3", "a.1.b": "True", "e": "x", "f_g": "1"}


def test_the_final_value_is_the_last_point_of_a_curve() -> None:
    def of(value: float | None, epochs: int | None, rungs: tuple[tuple[int, float], ...]) -> list[tuple[int, float]]:
        return curve(TrialRecord(0, "searched", "s", {}, "k", value=value, epochs=epochs, rungs=rungs))

    assert of(0.5, None, ()) == [(0, 0.5)]
    assert of(0.5, 12, ((5, 0.1), (10, math.nan))) == [(5, 0.1), (12, 0.5)]
    assert of(0.5, 8, ((5, 0.1), (10, 0.2))) == [(5, 0.1), (10, 0.5)]
    assert of(None, 8, ((5, 0.1),)) == [(5, 0.1)]
    assert of(math.inf, 8, ()) == []


def test_finite() -> None:
    assert finite({"a": 1, "b(c)": 0.5, "d": math.nan, "e": -math.inf, "f": None}) == {"a": 1.0, "b_c": 0.5}

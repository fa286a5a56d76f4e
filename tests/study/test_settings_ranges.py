"""Settings that would make a study senseless are refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from losssearch.errors import OptionError
from losssearch.study.settings import StudySettings
from losssearch.training import TrainingPlan

SOUND = StudySettings(
    study="study",
    task="binary",
    metric="f1",
    space={},
    model="mlp",
    plan=TrainingPlan(epochs=2, batch_size=32),
    rates=(0.01, 0.1),
    seed=0,
    trials=4,
    fingerprint="",
)


@pytest.mark.parametrize(
    ("wrong", "rule"),
    [
        ({"replicas": 0}, r"draws must lie in \[1, 1000\], got 0"),
        ({"replicas": 1_001}, r"draws must lie in \[1, 1000\]"),
        ({"rates": (0.1, 0.0)}, "rates must be finite and above 0"),
        ({"rates": (-0.1,)}, "rates must be finite and above 0"),
        ({"rates": (float("nan"),)}, "rates must be finite and above 0"),
        ({"rates": (float("inf"),)}, "rates must be finite and above 0"),
        ({"rates": (0.1, 0.1)}, "rates must differ"),
        ({"time_budget": 0.0}, "time_budget must be finite and above 0 seconds"),
        ({"time_budget": float("inf")}, "time_budget must be finite"),
        ({"time_budget": float("nan")}, "time_budget must be finite"),
    ],
)
def test_numbers_out_of_range_are_refused(wrong: dict[str, Any], rule: str) -> None:
    with pytest.raises(OptionError, match=rule):
        replace(SOUND, **wrong)


def test_a_dataset_study_is_fixed_without_what_only_a_training_function_needs() -> None:
    assert "data" not in SOUND.fixed()
    assert replace(SOUND, data={"direction": "minimize"}).fixed()["data"] == {"direction": "minimize"}

"""The settings of a study: what is refused, what a resume must find, and the seeds that follow from one."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from losssearch.errors import OptionError
from losssearch.request import parse_duration
from losssearch.study.settings import StudySettings, derived_seed
from losssearch.training import TrainingPlan


def settings(**changes: Any) -> StudySettings:
    values: dict[str, Any] = {
        "study": "adult-f1",
        "task": "binary",
        "metric": "f1",
        "space": {"name": "binary"},
        "model": "mlp",
        "plan": TrainingPlan(8, 32, (2, 4)),
        "rates": (1e-3, 1e-2),
        "seed": 0,
        "trials": 64,
        "fingerprint": "0011223344556677",
    }
    return StudySettings(**{**values, **changes})


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("90s", 90),
        ("10m", 600),
        ("1.5h", 5400),
        ("1h30m", 5400),
        ("2d", 172_800),
        ("1d2h3m4s", 93_784),
        ("0.5", 0.5),
        (" 10m ", 600),
        ("1h0m", 3600),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text",
    ["", " ", "m", "ten", "10 m", "1h 30m", "1h30", "30m1", "-5", "-5m", "+5m", "1e3s", "1.m", ".5h", "5x", "5M",
     "1h,30m", "10ms", "1:30", "nan", "inf", "0x10", "0", "0s", "0h0m", "9" * 400],
)  # fmt: skip
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(OptionError, match="a duration"):
        parse_duration(text)


@given(st.integers(1, 10**6), st.sampled_from("smhd"))
def test_a_duration_is_the_sum_of_its_parts(count: int, unit: str) -> None:
    assert parse_duration(f"{count}{unit}30s") == parse_duration(f"{count}{unit}") + 30


@given(st.text(max_size=8))
def test_any_text_is_a_duration_or_refused(text: str) -> None:
    try:
        seconds = parse_duration(text)
    except OptionError:
        return
    assert 0 < seconds < float("inf")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"trials": 1}, "trials must be at least 2"),
        ({"trials": -3}, "trials must be at least 2"),
        ({"confirm_seeds": 1}, "confirm_seeds must be at least 2"),
        ({"seed": -1}, r"seed must lie in \[0, 2\^32\)"),
        ({"seed": 1 << 32}, r"seed must lie in \[0, 2\^32\)"),
    ],
)
def test_settings_out_of_range_name_their_option(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        settings(**wrong)


def test_the_least_that_is_allowed() -> None:
    assert settings(trials=2, confirm_seeds=2, seed=(1 << 32) - 1).trials == 2


def test_a_resume_may_raise_trials_and_time() -> None:
    assert settings(trials=128, time_budget=60.0).fixed() == settings().fixed()


@pytest.mark.parametrize(
    "changed",
    [
        {"task": "multiclass"},
        {"metric": "mcc"},
        {"space": {"name": "other"}},
        {"model": "linear"},
        {"plan": TrainingPlan(8, 32, (2, 5))},
        {"plan": TrainingPlan(9, 32, (2, 4))},
        {"plan": TrainingPlan(8, 32, (2, 4), average=0.98)},
        {"rates": (1e-3,)},
        {"seed": 1},
        {"fingerprint": "ff"},
        {"confirm_seeds": 6},
        {"prefer_known": True},
        {"replicas": 4},
    ],
)
def test_a_resume_must_find_the_rest_unchanged(changed: dict[str, Any]) -> None:
    assert settings(**changed).fixed() != settings().fixed()


def test_without_an_average_the_plan_is_what_earlier_versions_stored() -> None:
    assert "average" not in settings().fixed()["plan"]


def test_what_must_be_unchanged_survives_json() -> None:
    fixed = settings().fixed()
    assert json.loads(json.dumps(fixed)) == fixed
    free = {"trials", "time_budget", "data", "splits", "prefer_known", "metric_source"}
    of_groups = {"sensitive", "sensitive_as_feature", "constraints", "front", "confidence", "group_thresholds"}
    assert set(fixed) == {field.name for field in dataclasses.fields(StudySettings)} - free - of_groups
    grouped = settings(sensitive=("sex",), constraints=("demographic_parity_difference <= 0.05",)).fixed()
    assert json.loads(json.dumps(grouped)) == grouped
    assert of_groups < set(grouped)


def test_derived_seeds_are_those_of_every_platform() -> None:
    """Frozen: studies that were begun must go on with the same numbers."""
    assert derived_seed(0, "menu") == 1294124611
    assert derived_seed(7, "proposal", 32) == 2506079346


def test_derived_seeds_differ_by_study_and_purpose() -> None:
    seeds = {
        derived_seed(seed, name, index) for seed in range(5) for name in ("menu", "proposal") for index in range(50)
    }
    assert len(seeds) == 500
    assert all(0 <= seed < 1 << 32 for seed in seeds)
    assert derived_seed(1, 2, "3") == derived_seed(1, "2", 3)
    assert derived_seed(1, "ab", "c") != derived_seed(1, "a", "bc")

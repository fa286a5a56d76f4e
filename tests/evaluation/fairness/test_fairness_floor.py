"""The gap that a perfectly fair model shows by chance."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from losssearch.evaluation.fairness import NoiseFloor, noise_floor, parse_constraint

PARITY = parse_constraint("demographic_parity_difference <= 0.05", "binary")


@pytest.mark.parametrize("rows", [(400, 400), (1000, 100)])
def test_of_two_groups_it_is_that_of_a_normal_difference(rows: tuple[int, int]) -> None:
    group = torch.repeat_interleave(torch.arange(2), torch.tensor(rows))
    decided = (torch.arange(sum(rows)) % 5 == 0).float() - 0.5
    floor = noise_floor(PARITY, decided, torch.zeros_like(group), group, 2, draws=8000)
    error = math.sqrt(0.2 * 0.8 * (1 / rows[0] + 1 / rows[1]))
    # Of |x|, x normal: mean sqrt(2 / pi), 95 % quantile 1.96 standard errors.
    assert floor.mean == pytest.approx(error * math.sqrt(2 / math.pi), rel=0.05)
    assert floor.quantile == pytest.approx(1.96 * error, rel=0.08)


@pytest.mark.parametrize(
    ("text", "task"),
    [
        ("demographic_parity_ratio >= 0.8", "binary"),
        ("predictive_parity_difference <= 0.1", "binary"),
        ("worst_group_accuracy >= 0.8", "binary"),
        ("worst_group_f1 >= 0.8", "binary"),
        ("calibration_difference <= 0.1", "binary"),
        ("bounded_group_loss <= 0.4", "binary"),
    ],
)
def test_a_limit_below_it_cannot_be_verified(text: str, task: str) -> None:
    constraint = parse_constraint(text, task)
    generator = torch.Generator().manual_seed(0)
    group, target = (torch.randint(2, (60,), generator=generator) for _ in range(2))
    outputs = torch.randn(60, generator=generator) + target
    floor = noise_floor(constraint, outputs, target, group, 2)
    worse = floor.quantile > floor.mean if constraint.op == "<=" else floor.quantile < floor.mean
    assert worse
    assert floor.hides(constraint)


def test_the_same_seed_gives_the_same_floor() -> None:
    group, outputs = torch.arange(100) % 3, torch.linspace(-1, 2, 100)
    floors = [noise_floor(PARITY, outputs, torch.zeros_like(group), group, 3, draws=200, seed=s) for s in (1, 1, 2)]
    assert floors[0] == floors[1] != floors[2]
    assert NoiseFloor(0.01, 0.04).hides(PARITY) is False


@pytest.mark.parametrize(
    ("columns", "gap", "mean", "quantile", "within"),
    [
        # Measured once by an independent simulation on a fifth of the rows; races but White and Black are pooled.
        (["sex"], "demographic_parity_difference", 0.007, 0.017, 0.1),
        (["sex", "race"], "demographic_parity_difference", 0.049, 0.086, 0.15),
        (["sex", "race"], "equal_opportunity_difference", 0.17, 0.31, 0.25),
    ],
)
def test_of_adult_it_is_as_measured(
    columns: list[str], gap: str, mean: float, quantile: float, within: float, shared_data: Path
) -> None:
    frame = pd.read_parquet(shared_data / "parquet" / "adult.parquet", columns=["sex", "race", "income"])
    frame = frame.sample(frac=0.2, random_state=0)
    frame["race"] = frame["race"].astype(str).where(frame["race"].isin(["White", "Black"]), "other")
    keys = frame[columns].astype(str).agg(", ".join, axis=1)
    codes, names = pd.factorize(keys)
    label = frame["income"].astype(str).str.contains(">50K").to_numpy()
    drawn = np.random.default_rng(0).random(len(frame)) < np.where(label, 0.62, 0.06)
    constraint = parse_constraint(f"{gap} <= 0.05", "binary")
    floor = noise_floor(
        constraint,
        torch.from_numpy(drawn.astype(np.float32) - 0.5),
        torch.from_numpy(label.astype(np.int64)),
        torch.from_numpy(codes.astype(np.int64)),
        len(names),
    )
    assert floor.mean == pytest.approx(mean, rel=within)
    assert floor.quantile == pytest.approx(quantile, rel=within)

"""Screening of losses with fairness parts: never taken for the loss without them, and their weight is kept."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch

from losssearch.data import draws, load, make_replicas, partition
from losssearch.data.replicas import Replicas
from losssearch.losses.compose import ComposedLoss
from losssearch.losses.spec import LossSpec
from losssearch.models import build_model
from losssearch.study.proposing.probe import ROWS
from losssearch.study.proposing.screening import Screen
from tests.regrouped import regrouped

BASE = {"term": "binary_cross_entropy"}


@cache
def replicas() -> Replicas:
    """The breast cancer data with two groups made up of its first feature."""
    dataset = load("builtin:breast_cancer")
    made = make_replicas(dataset, draws(dataset, partition(dataset, seed=0).search, seed=0, count=2, purpose="test"))
    return regrouped(made, *((own["features"][..., 0] > 0).long() for own in (made.train, made.validation)), count=2)


@cache
def screen() -> Screen:
    return Screen(build_model("linear", replicas().width, 1), replicas(), "accuracy", "binary")


def spec(*parts: dict[str, Any]) -> LossSpec:
    return LossSpec.from_json({"parts": list(parts)})


def test_a_part_without_gradient_at_the_start_is_no_equivalent_of_none() -> None:
    idle = {"term": "group_disparity", "limit": 5.0}
    plain, with_idle, weaker = screen()(
        [spec(BASE), spec(BASE, idle), spec(BASE, {**idle, "weight": 0.5})],
    )
    assert not plain.reason
    assert not with_idle.reason
    assert len({plain.signature, with_idle.signature, weaker.signature}) == 3


def test_what_shows_later_alone_tells_losses_apart() -> None:
    parts = [
        {"term": "group_disparity", "decay": decay, "mechanism": m} for decay in (0.8, 0.9) for m in ("dual", "proxy")
    ]
    found = screen().signatures([spec(BASE, part) for part in parts])
    assert len(set(found)) == 4


@pytest.mark.parametrize("weight", [0.1, 30.0])
def test_the_weight_of_a_fairness_part_is_in_units_of_the_base(weight: float) -> None:
    """The base's gradient has size one, and the violation counts ``weight`` times, whatever its own gradient is."""
    (found,) = screen()([spec(BASE, {"term": "group_disparity", "limit": 0.01, "weight": weight})])
    base, fair = sorted(found.spec.parts, key=lambda part: part.name)
    assert fair.weighting.largest / fair.scale == pytest.approx(weight, rel=1e-4)
    given = replicas()
    start = build_model("linear", given.width, 1).initial(given.seeds[0])
    outputs = (given.train["features"][0, :ROWS] @ start["weight0"] + start["bias0"]).requires_grad_()
    alone = ComposedLoss(LossSpec((base,), "fixed"))(outputs, given.train["target"][0, :ROWS])
    (gradient,) = torch.autograd.grad(alone, outputs)
    assert float(gradient.abs().sum()) * base.weighting.largest == pytest.approx(1, rel=1e-3)


def test_a_fairness_part_alone_leads_nowhere() -> None:
    (found,) = screen()([spec({"term": "group_disparity", "limit": 0.0})])
    assert found.reason


def test_a_strong_constraint_is_not_asked_to_improve_the_metric() -> None:
    (found,) = screen()([spec(BASE, {"term": "group_disparity", "limit": 0.0, "weight": 1000.0})])
    assert not found.reason

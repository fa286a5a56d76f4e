"""The benchmark of the hypergradient: its data, and one of its trainings."""

from __future__ import annotations

import math

import pytest
import torch

from benchmarks.hypergradient import gaussians, learned_shift, regression


def test_the_gaussians_have_the_ratio_that_is_asked_for() -> None:
    replicas = gaussians(50.0, 0)
    assert replicas.facts["class_prior"][0].tolist() == pytest.approx([1 / 51, 50 / 51], abs=1e-3)
    features, target = replicas.train["features"][0], replicas.train["target"][0]
    apart = features[target == 1].mean(0) - features[target == 0].mean(0)
    torch.testing.assert_close(apart, torch.tensor([1.5, 1.5, 0.0, 0.0]), atol=0.3, rtol=0.0)


def test_slope_and_correlation() -> None:
    assert regression([-1.0, 0.0, 1.0], [-2.0, 0.5, 3.0]) == (pytest.approx(2.5), pytest.approx(1.0))


@pytest.mark.nightly
def test_the_shift_of_a_rare_class_is_found() -> None:
    assert learned_shift(50.0, 0) == pytest.approx(math.log(50), rel=0.25)

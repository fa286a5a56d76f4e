"""The general robust loss: its likelihood is normalised, and its shape finds the tails."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import integrate
from torch import Tensor

from losssearch.losses import terms
from losssearch.losses.adaptive import robust

TERM = terms["general_robust"]


def exact_log_partition(alpha: float) -> float:
    """Adaptive quadrature of scipy over log x, where the integrand has no long tail."""

    def mass(t: float) -> float:
        x = math.exp(t)
        return math.exp(t - (2 - alpha) / alpha * math.expm1(alpha / 2 * math.log1p(x * x / (2 - alpha))))

    value, _ = integrate.quad(mass, -40, 40, limit=400, points=[-4, 0, 4, 8, 16], epsabs=1e-12, epsrel=1e-11)
    return math.log(2 * value)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_log_partition_equals_quadrature(dtype: torch.dtype) -> None:
    alphas = np.concatenate([[0.01, 0.015, 1.98, 1.985, 1.99], np.linspace(0.02, 1.97, 40)])
    ours = [float(robust._log_partition(torch.tensor(alpha, dtype=dtype))) for alpha in alphas]
    expected = [exact_log_partition(alpha) for alpha in alphas]
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-6 if dtype == torch.float64 else 3e-6)


@pytest.mark.parametrize("alpha", [0.02, 0.5, 1.0, 1.5, 1.98])
def test_derivative_of_log_partition_equals_quadrature(alpha: float) -> None:
    point = torch.tensor(alpha, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(robust._log_partition(point), point)
    step = 1e-3
    expected = (exact_log_partition(alpha + step) - exact_log_partition(alpha - step)) / (2 * step)
    assert float(slope) == pytest.approx(expected, rel=5e-3)


@pytest.mark.parametrize(("alpha", "limit"), [(0.01, math.pi * math.sqrt(2)), (1.99, math.sqrt(2 * math.pi))])
def test_log_partition_ends_near_cauchy_and_gauss(alpha: float, limit: float) -> None:
    assert float(robust._log_partition(torch.tensor(alpha))) == pytest.approx(math.log(limit), abs=0.03)


def test_density_integrates_to_one() -> None:
    shape, log_scale = (torch.tensor(v, dtype=torch.float64) for v in (0.7, -0.5))
    x = torch.linspace(-200, 200, 400_001, dtype=torch.float64)
    density = torch.exp(-TERM(x, torch.zeros_like(x), shape=shape, log_scale=log_scale))
    assert float(torch.trapezoid(density, x)) == pytest.approx(1, abs=1e-6)


def fitted(residuals: Tensor) -> tuple[float, float]:
    loss = TERM.module()
    optimiser = torch.optim.LBFGS(loss.parameters(), max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimiser.zero_grad()
        value = loss(torch.zeros_like(residuals), residuals)
        value.backward()
        return value

    optimiser.step(closure)
    return 0.01 + 1.98 * loss.shape.sigmoid().item(), 0.001 + loss.log_scale.exp().item()


def test_learns_shape_and_scale_of_the_residuals() -> None:
    """Gaussian residuals call for a shape near 2 and their own deviation; heavy tails for a small shape."""
    random = np.random.default_rng(0)
    gaussian, heavy = (
        torch.from_numpy(3 * draw).float() for draw in (random.normal(size=4000), random.standard_t(1, size=4000))
    )
    shape, scale = fitted(gaussian)
    assert shape > 1.7
    assert scale == pytest.approx(3, rel=0.1)
    assert fitted(heavy)[0] < 0.3

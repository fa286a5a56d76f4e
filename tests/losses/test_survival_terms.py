"""Terms of censored times equal other libraries, and their best constants are where their docstrings say.

The numbers of lifelines, scikit-survival and torchsurv are in ``tests/oracles``; ``benchmarks/oracles`` makes them.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from losssearch.losses import terms

KNOWN = json.loads((Path(__file__).parents[1] / "oracles" / "survival.json").read_text())
RISK, TIME, EVENT = (torch.tensor(KNOWN["rows"][name], dtype=torch.float64) for name in ("risk", "time", "event"))


@pytest.mark.parametrize("ties", ["efron", "breslow"])
def test_the_partial_likelihood_is_that_of_torchsurv(ties: str) -> None:
    assert len(TIME[EVENT > 0].unique()) < int(EVENT.sum())  # there are ties
    value = terms["cox_breslow"](RISK, TIME, EVENT, ties=ties) * EVENT.sum()
    assert float(value) == pytest.approx(KNOWN["partial_likelihood"][ties], rel=1e-6)  # single precision


@pytest.mark.parametrize("name", ["aft_normal", "aft_weibull", "aft_logistic"])
def test_the_likelihood_of_a_fitted_distribution_is_that_of_lifelines(name: str) -> None:
    fit = KNOWN["accelerated"][name]
    log_scale = torch.tensor(fit["scale"] - 1e-3, dtype=torch.float64).log()
    cost = terms[name](torch.full_like(TIME, fit["location"]), TIME.log(), EVENT, log_scale=log_scale).sum()
    in_time = float(cost + (EVENT * TIME.log()).sum())  # a density of times, not of their logarithms
    assert in_time == pytest.approx(-fit["log_likelihood"], rel=1e-7)


@pytest.mark.parametrize("name", ["aft_normal", "aft_weibull", "aft_logistic"])
def test_descending_a_constant_and_the_spread_ends_where_lifelines_does(name: str) -> None:
    fit = KNOWN["accelerated"][name]
    moved = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([moved], max_iter=200, line_search_fn="strong_wolfe", tolerance_grad=1e-10)

    def closure() -> Tensor:
        optimiser.zero_grad()
        cost = terms[name](moved[0].expand(len(TIME)), TIME.log(), EVENT, log_scale=moved[1]).mean()
        cost.backward()
        return cost

    optimiser.step(closure)
    location, log_scale = moved.detach()
    assert float(location) == pytest.approx(fit["location"], abs=1e-3)
    assert float(log_scale.exp()) + 1e-3 == pytest.approx(fit["scale"], abs=1e-3)


def test_a_prediction_far_below_a_weibull_time_has_a_finite_cost_and_slope() -> None:
    prediction = torch.tensor([-19.0, -21.0, -1e4], requires_grad=True)
    cost = terms["aft_weibull"](prediction, torch.zeros(3), torch.zeros(3), log_scale=torch.tensor(0.999).log())
    (slope,) = torch.autograd.grad(cost.sum(), prediction)
    cost = cost.detach()
    assert float(cost[0]) == pytest.approx(np.exp(19.0), rel=1e-4)
    assert float(cost[1]) == pytest.approx(2 * np.exp(20.0), rel=1e-4)
    assert float(slope[1]) == pytest.approx(float(slope[2]))


def test_hazards_descend_to_the_share_of_events_in_each_bin() -> None:
    """The life table: events of a bin over the rows that reach it and do not leave in it without the event."""
    place = np.searchsorted([3.0, 6.0, 11.0], TIME.numpy())
    interval = torch.from_numpy(place).double()
    hazards = torch.zeros(4, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([hazards], max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimiser.zero_grad()
        cost = terms["discrete_hazard"](hazards.expand(len(TIME), 4), interval, EVENT).mean()
        cost.backward()
        return cost

    optimiser.step(closure)
    event = EVENT.numpy()
    table = [(event[place == k]).sum() / ((place > k).sum() + event[place == k].sum()) for k in range(4)]
    np.testing.assert_allclose(hazards.detach().sigmoid().numpy(), table, atol=1e-4)


def test_a_batch_without_events_costs_nothing() -> None:
    risk = torch.randn(6, generator=torch.Generator().manual_seed(0), requires_grad=True)
    for name in ("cox_breslow", "pairwise_concordance"):
        cost = terms[name].module()(risk, torch.arange(6.0), torch.zeros(6))
        (slope,) = torch.autograd.grad(cost, risk)
        assert float(cost.detach()) == 0
        assert float(slope.abs().max()) == 0


def test_the_order_of_risks_alone_decides_where_they_are_far_apart() -> None:
    """Large multiples of the pairwise cost are the share of pairs in the wrong order: one minus scikit-survival's."""
    far = 1e6
    cost = float(terms["pairwise_concordance"](far * RISK, TIME, EVENT))
    pairs = [
        (i, j)
        for i in range(len(TIME))
        for j in range(len(TIME))
        if EVENT[i] and (TIME[i] < TIME[j] or (TIME[i] == TIME[j] and not EVENT[j]))
    ]
    wrong = [float(RISK[j] - RISK[i]) for i, j in pairs if RISK[i] < RISK[j]]
    assert 1 - len(wrong) / len(pairs) == pytest.approx(KNOWN["concordance"]["plain"])
    assert cost == pytest.approx(far * sum(wrong) / len(pairs), rel=1e-9)

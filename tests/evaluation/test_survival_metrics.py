"""Metrics of censored times equal scikit-survival; its numbers are in ``tests/oracles``."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from losssearch.evaluation import evaluate, get_metric
from losssearch.evaluation.survival_curves import TIMES, curves_of, fit_baseline, over_time, squared_errors
from losssearch.losses import terms

KNOWN = json.loads((Path(__file__).parents[1] / "oracles" / "survival.json").read_text())
RISK, TIME, EVENT = (torch.tensor(KNOWN["rows"][name], dtype=torch.float64) for name in ("risk", "time", "event"))
TARGET = torch.stack((TIME, EVENT), -1)
GRID = torch.tensor(np.quantile(TIME[EVENT > 0], np.arange(1, TIMES + 1) / (TIMES + 1)))


def outputs_of(risk: Tensor, curves: Tensor | None = None) -> Tensor:
    times = GRID.expand(len(risk), TIMES)
    return torch.cat((risk[:, None], torch.ones_like(times) if curves is None else curves, times), -1)


@pytest.mark.parametrize("rounded", [False, True])
def test_concordance_is_that_of_scikit_survival(rounded: bool) -> None:
    risk = RISK.round() if rounded else RISK
    expected = KNOWN["concordance"]["rounded" if rounded else "plain"]
    assert float(get_metric("concordance", "survival")(outputs_of(risk), TARGET)) == pytest.approx(expected, rel=1e-12)


def test_brier_scores_are_those_of_scikit_survival() -> None:
    times = torch.tensor(KNOWN["brier"]["times"], dtype=torch.float64)
    curves = torch.exp(-torch.outer(RISK.exp(), times) / KNOWN["brier"]["baseline"])
    scores = squared_errors(curves[None], times[None], TARGET[None], torch.ones(1, len(TIME)).double())
    np.testing.assert_allclose(scores[0], KNOWN["brier"]["scores"], rtol=1e-9)
    assert float(over_time(scores, times[None])) == pytest.approx(KNOWN["brier"]["integrated"], rel=1e-9)


@pytest.mark.parametrize("name", ["concordance", "integrated_brier", "nll"])
def test_a_resample_is_the_metric_on_repeated_rows(name: str) -> None:
    metric, source = get_metric(name, "survival"), torch.Generator().manual_seed(1)
    outputs = outputs_of(RISK, torch.exp(-torch.outer(RISK.exp(), GRID) / 12))
    picks = torch.randint(len(TIME), (5, len(TIME)), generator=source)
    weights = torch.stack([torch.bincount(pick, minlength=len(TIME)) for pick in picks], 1).double()
    expected = torch.stack([metric(outputs[pick], TARGET[pick]) for pick in picks])
    torch.testing.assert_close(metric.function.resampled(outputs, TARGET)(weights), expected)


def test_the_slope_of_a_baseline_is_where_the_partial_likelihood_is_flat() -> None:
    """Of Breslow's ties, which count as one risk set; the curves fall and follow the life table at no risk."""
    fitted = fit_baseline(outputs_of(RISK)[None], TARGET[None])[0]
    slope = fitted[0].clone().requires_grad_()
    (flat,) = torch.autograd.grad(terms["cox_breslow"](slope * RISK, TIME, EVENT, ties="breslow"), slope)
    assert abs(float(flat)) < 1e-9
    alike = fit_baseline(outputs_of(torch.zeros_like(RISK))[None], TARGET[None])[0]
    steps = [(float(EVENT[TIME.eq(u)].sum() / TIME.ge(u).sum()), float(u)) for u in TIME.unique()]
    hazard = [sum(step for step, u in steps if u <= edge) for edge in GRID.tolist()]
    np.testing.assert_allclose(alike[1:].exp(), hazard, rtol=1e-6)


def test_a_risk_alone_gets_curves_also_where_its_decision_is_fixed_and_hazards_keep_theirs() -> None:
    metric = get_metric("integrated_brier", "survival")
    value, found = evaluate(metric, outputs_of(RISK), TARGET, tuned=False)
    assert float(value) < float(metric(outputs_of(RISK), TARGET))
    assert bool((curves_of(found.apply(outputs_of(RISK))).diff(dim=-1) <= 0).all())
    own = outputs_of(RISK, torch.full((len(TIME), TIMES), 0.5).double())
    torch.testing.assert_close(evaluate(metric, own, TARGET, tuned=True)[1].apply(own), own)

"""Terms of grades equal other libraries. The numbers of coral-pytorch are in ``tests/oracles``."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import special, stats
from sklearn import metrics
from torch import Tensor

from losssearch.losses import terms

KNOWN = json.loads((Path(__file__).parents[1] / "oracles" / "ordinal.json").read_text())
SCORE, OFFSETS, CUTS = (torch.tensor(KNOWN[name], dtype=torch.float64) for name in ("score", "offsets", "cut_logits"))
GRADE = torch.tensor(KNOWN["grade"])
GRADES = 5


def test_coral_is_that_of_coral_pytorch() -> None:
    np.testing.assert_allclose(terms["coral"](SCORE, GRADE, offsets=OFFSETS), KNOWN["coral"], rtol=1e-9)


def test_corn_is_that_of_coral_pytorch_per_question_asked() -> None:
    total = float(terms["corn"](CUTS, GRADE).sum())
    assert total / KNOWN["asked"] == pytest.approx(KNOWN["corn"], rel=1e-6)


def cuts_of(steps: Tensor) -> np.ndarray:
    gaps = 1e-3 + np.log1p(np.exp(steps[1:].numpy()))
    rising = np.concatenate(([0.0], np.cumsum(gaps)))
    return float(steps[0]) + rising - rising[-1] / 2


def test_cumulative_logit_is_the_logistic_probability_between_two_cuts() -> None:
    steps = torch.tensor([0.7, -0.3, 1.2, 0.1], dtype=torch.float64)
    cuts = np.concatenate(([-np.inf], cuts_of(steps), [np.inf]))
    assert (np.diff(cuts) > 0).all()
    latent = stats.logistic(loc=SCORE.numpy())
    share = latent.cdf(cuts[GRADE + 1]) - latent.cdf(cuts[GRADE])
    np.testing.assert_allclose(terms["cumulative_logit"](SCORE, GRADE, steps=steps), -np.log(share), rtol=1e-9)


def test_learned_cuts_descend_to_the_shares_of_the_grades() -> None:
    steps = torch.zeros(GRADES - 1, dtype=torch.float64, requires_grad=True)
    grade = torch.arange(GRADES).repeat_interleave(torch.tensor([1, 4, 9, 4, 2]))
    optimiser = torch.optim.LBFGS([steps], max_iter=200, line_search_fn="strong_wolfe", tolerance_change=1e-12)

    def closure() -> Tensor:
        optimiser.zero_grad()
        cost = terms["cumulative_logit"](torch.zeros(20, dtype=torch.float64), grade, steps=steps).mean()
        cost.backward()
        return cost

    optimiser.step(closure)
    np.testing.assert_allclose(special.expit(cuts_of(steps.detach())), [0.05, 0.25, 0.7, 0.9], atol=1e-3)


@pytest.mark.parametrize("name", ["cumulative_logit", "coral", "corn"])
def test_two_grades_are_binary_cross_entropy(name: str) -> None:
    grade = GRADE.clamp_max(1)
    states = {key: torch.zeros(1, dtype=torch.float64) for key in terms[name].states}
    output = CUTS[:, :1] if name == "corn" else SCORE
    expected = torch.nn.functional.binary_cross_entropy_with_logits(
        output.reshape(-1), grade.double(), reduction="none"
    )
    torch.testing.assert_close(terms[name](output, grade, **states), expected)


def test_squared_emd_is_the_squared_distance_of_cumulative_shares() -> None:
    logits = torch.cat((CUTS, SCORE[:, None]), 1)
    found = terms["squared_emd"](logits, GRADE)
    for row, label, value in zip(logits.numpy(), GRADE.tolist(), found.tolist(), strict=True):
        grades = np.arange(GRADES)
        p = stats.rv_discrete(values=(grades, special.softmax(row)))
        assert value == pytest.approx(((p.cdf(grades) - (label <= grades)) ** 2).sum(), rel=1e-9)
    half = terms["brier"](logits[:, :2], GRADE.clamp_max(1)) / 2
    torch.testing.assert_close(terms["squared_emd"](logits[:, :2], GRADE.clamp_max(1)), half)


@pytest.mark.parametrize("weighted", [False, True])
def test_soft_kappa_of_certain_probabilities_is_one_minus_that_of_sklearn(weighted: bool) -> None:
    decided = CUTS.abs().argmax(1)
    logits = 1e3 * torch.nn.functional.one_hot(decided, GRADES).double()
    weight = torch.arange(1, len(GRADE) + 1).double() if weighted else None
    kappa = metrics.cohen_kappa_score(GRADE, decided, weights="quadratic", labels=range(GRADES), sample_weight=weight)
    assert float(terms["soft_kappa"](logits, GRADE, weight)) == pytest.approx(1 - kappa, rel=1e-9)

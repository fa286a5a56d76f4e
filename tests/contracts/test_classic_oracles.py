"""Standard losses equal those of kornia, timm, netcal, balanced-loss and torchmetrics, and keep their limits."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torchmetrics.functional import calibration_error

from losssearch.losses import terms
from losssearch.losses.spec import LossSpec
from tests.contracts.classic_references import STORED
from tests.contracts.test_terms_limits import PLAIN, Hyper, evaluate


def stored(name: str) -> torch.Tensor:
    found = torch.tensor(STORED[name])
    return torch.tensor(STORED[name], dtype=torch.float64) if found.is_floating_point() else found


@pytest.mark.parametrize(("name", "cutoff"), [("cauchy", 2**0.5), ("welsch", 2**0.5), ("geman_mcclure", 2.0)])
def test_robust_losses_are_those_of_kornia(name: str, cutoff: float) -> None:
    """At kornia's unit scale all have the curvature of r²/2."""
    residual = stored("residual")
    found = terms[name](residual, torch.zeros_like(residual), cutoff=torch.tensor(cutoff, dtype=torch.float64))
    torch.testing.assert_close(found, stored(name), rtol=1e-9, atol=0)


def test_asymmetric_is_that_of_timm() -> None:
    hyper = {"gamma_positive": 1.0, "gamma_negative": 4.0, "margin": 0.05}
    numbers = {name: torch.tensor(value, dtype=torch.float64) for name, value in hyper.items()}
    found = terms["asymmetric"](stored("logit"), stored("positive"), **numbers)
    torch.testing.assert_close(found, stored("asymmetric"), rtol=1e-4, atol=1e-6)  # theirs is in single precision


def test_class_balanced_is_that_of_balanced_loss_up_to_a_factor() -> None:
    prior = torch.tensor([0.6, 0.25, 0.1, 0.05], dtype=torch.float64)
    beta = torch.tensor(0.999, dtype=torch.float64)
    found = terms["class_balanced"](stored("logits"), stored("labels"), prior, beta=beta)
    ratio = found / stored("class_balanced")
    torch.testing.assert_close(ratio, ratio[0].expand_as(ratio), rtol=1e-6, atol=0)


def test_mmce_is_the_square_of_that_of_netcal() -> None:
    found = terms["mmce"](stored("logits"), stored("labels"), width=torch.tensor(0.4, dtype=torch.float64))
    assert float(found) == pytest.approx(STORED["mmce"] ** 2, rel=1e-6)


def test_soft_ece_of_sharp_bins_is_the_calibration_error_of_torchmetrics() -> None:
    """Of confidences at the middle of their bins, which belong to one bin each."""
    random = np.random.default_rng(0)
    middle = (random.integers(8, 15, 200) + 0.5) / 15
    logit = torch.from_numpy(np.log(middle / (1 - middle)))
    labels = torch.from_numpy((random.uniform(size=200) < 0.7).astype(int))
    logits = torch.stack((torch.zeros_like(logit), logit), -1)
    expected = calibration_error(torch.from_numpy(middle), labels, task="binary", n_bins=15, norm="l2")
    found = terms["soft_ece"](logits, labels, temperature=torch.tensor(1e-5, dtype=torch.float64))
    assert float(found) == pytest.approx(float(expected) ** 2, rel=1e-5)


GCE: tuple[str, Hyper] = ("generalised_cross_entropy", {"q": 1.0})

EQUAL: list[tuple[str, Hyper, str, Hyper, float]] = [
    ("normalised_active_passive", {"alpha": 2.0, "beta": 0.5}, "active_passive", {"alpha": 2.0, "beta": 2.0}, 1),
    ("taylor", {"k": 1.0}, *GCE, 1),
    ("jensen_shannon", {"pi": 1e-9}, *PLAIN, 1),
    ("bootstrap", {"beta": 1.0}, *PLAIN, 1),
    ("bi_tempered", {"t1": 1 - 1e-8, "t2": 1 + 1e-8}, *PLAIN, 1),
    ("forward_uniform", {"rho": 0.0}, *PLAIN, 1),
    ("forward_uniform", {"rho": 0.5}, "learned_noise", {"level": 0.0}, 1),
    ("vector_scaling", {"gamma": 0.0, "tau": 1.3}, "logit_adjustment", {"tau": 1.3}, 1),
    ("vector_scaling", {"gamma": 0.0, "tau": 0.0}, *PLAIN, 1),
    ("class_balanced", {"beta": 0.0}, *PLAIN, 1),
    ("class_balanced", {"beta": 1 - 1e-9}, "weighted_cross_entropy", {"power": 1.0}, 1),
    ("equalization", {"gamma": 0.0, "threshold": 0.5}, *PLAIN, 1),
    ("asymmetric", {"gamma_positive": 0.0, "gamma_negative": 0.0, "margin": 0.0}, *PLAIN, 1),
    ("asymmetric", {"gamma_positive": 2.0, "gamma_negative": 2.0, "margin": 0.0}, "focal", {"gamma": 2.0}, 1),
    ("confidence_penalty", {"beta": 0.0}, *PLAIN, 1),
    ("confidence_penalty", {"beta": -0.25}, "bootstrap", {"beta": 0.8}, 1.25),
    ("margin_label_smoothing", {"margin": 0.0, "strength": 0.0}, *PLAIN, 1),
    ("margin_label_smoothing", {"margin": 50.0, "strength": 1.0}, *PLAIN, 1),
    ("epsilon_insensitive", {"epsilon": 0.0}, "absolute", {}, 1),
    ("cauchy", {"cutoff": 1e5}, "squared", {}, 0.5),
    ("welsch", {"cutoff": 1e5}, "squared", {}, 0.5),
    ("geman_mcclure", {"cutoff": 1e5}, "squared", {}, 0.5),
    ("log_error", {"unit": 1e8}, "squared", {}, 1e-16),
]


@pytest.mark.parametrize(
    ("name", "hyper", "other", "others", "factor"), EQUAL, ids=[f"{row[0]}-{row[2]}" for row in EQUAL]
)
def test_limit(name: str, hyper: Hyper, other: str, others: Hyper, factor: float) -> None:
    torch.testing.assert_close(evaluate(name, hyper), factor * evaluate(other, others), rtol=1e-6, atol=1e-16)


def test_jensen_shannon_comes_close_to_the_absolute_error_slowly() -> None:
    for rest in (1e-6, 1e-14):
        found = evaluate("jensen_shannon", {"pi": 1 - rest})
        torch.testing.assert_close(found, evaluate(*GCE), rtol=-1.1 / np.log(rest), atol=0)


def test_taylor_of_many_powers_comes_close_to_cross_entropy() -> None:
    logits, labels = torch.tensor([[3.0, 0.0]], dtype=torch.float64), torch.tensor([0])
    found = terms["taylor"](logits, labels, k=torch.tensor(8.0, dtype=torch.float64))
    torch.testing.assert_close(found, torch.nn.functional.cross_entropy(logits, labels)[None], rtol=1e-8, atol=0)


def test_balanced_mse_of_a_small_noise_is_squared_error_plus_a_constant() -> None:
    target = torch.tensor([-1.0, 0.0, 2.0], dtype=torch.float64)
    sigma = torch.tensor(0.05, dtype=torch.float64)

    def value(shift: float) -> float:
        return float(terms["balanced_mse"](target + shift, target, sigma=sigma))

    assert value(0.0) == pytest.approx(2 * 0.05**2 * -np.log(3), rel=1e-6)
    assert float(terms["mmce"].module(width=2.0)(torch.zeros(2, 2), torch.tensor([0, 1]))) == pytest.approx(0.0)


@pytest.mark.parametrize("classes", [2, 1000])
@pytest.mark.parametrize("temperature", [1.01, 1.2, 2.0, 4.0])
def test_the_tempered_softmax_sums_to_one(classes: int, temperature: float) -> None:
    from losssearch.losses.noise.tempered import tempered_log_softmax

    logits = 4 * torch.randn(20, classes, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = tempered_log_softmax(logits, torch.tensor(temperature, dtype=torch.float64)).exp().sum(-1)
    torch.testing.assert_close(found, torch.ones_like(found), rtol=1e-12, atol=0)


def test_an_expectile_is_the_asymmetric_square() -> None:
    """An alias is found, is not listed, and a loss is stored under the term's own name."""
    assert terms["expectile"] is terms["asymmetric_squared"]
    assert "expectile" in terms
    assert "expectile" not in list(terms)
    spec = LossSpec.from_json({"parts": [{"term": "expectile", "asymmetry": 0.8}]})
    own = LossSpec.from_json({"parts": [{"term": "asymmetric_squared", "asymmetry": 0.8}]})
    assert spec == own
    assert spec.to_json() == own.to_json()

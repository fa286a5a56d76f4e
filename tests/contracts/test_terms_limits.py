"""The limit identities that the terms' docstrings state."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from losssearch.losses import terms
from losssearch.losses.state import Dimensions

Hyper = dict[str, float]


def evaluate(name: str, hyper: Hyper, scale: float = 1.0) -> Tensor:
    source = torch.Generator().manual_seed(11)
    logit = torch.randn(40, generator=source, dtype=torch.float64) * 2
    labels = torch.randint(2, (40,), generator=source)
    everything = {
        "logit": logit,
        "logits": torch.stack([-logit / 2, logit / 2], -1),
        "labels": labels,
        "class_prior": torch.tensor([0.8, 0.2], dtype=torch.float64),
        "prediction": logit,
        "target": logit + scale * torch.randn(40, generator=source, dtype=torch.float64),
        "zero": torch.tensor(-1.5, dtype=torch.float64),
        "progress": torch.tensor(0.5, dtype=torch.float64),
    }
    everything["plain_loss"] = torch.nn.functional.cross_entropy(everything["logits"], labels, reduction="none")
    term = terms[name]
    numbers = {k: torch.tensor(v, dtype=torch.float64) for k, v in hyper.items()}
    states = {k: s.start(Dimensions(rows=40), k).double() for k, s in term.states.items() if k not in term.learned}
    return term(*(everything[key] for key in term.reads), **numbers, **states)


PLAIN: tuple[str, Hyper] = ("cross_entropy", {"smoothing": 0.0})

EQUAL: list[tuple[str, Hyper, str, Hyper, float]] = [
    ("binary_cross_entropy", {"smoothing": 0.0}, *PLAIN, 1),
    ("binary_cross_entropy", {"smoothing": 0.3}, "cross_entropy", {"smoothing": 0.3}, 1),
    ("cost_sensitive_cross_entropy", {"ratio": 1.0}, *PLAIN, 1),
    ("weighted_cross_entropy", {"power": 0.0}, *PLAIN, 1),
    ("focal", {"gamma": 0.0}, *PLAIN, 1),
    ("poly1", {"epsilon": 0.0}, *PLAIN, 1),
    ("generalised_cross_entropy", {"q": 1e-9}, *PLAIN, 1),
    ("symmetric_cross_entropy", {"alpha": 2.0, "beta": 3.0}, "poly1", {"epsilon": 6.0}, 2),
    ("active_passive", {"alpha": 1e-9, "beta": 2.0}, "generalised_cross_entropy", {"q": 1.0}, 2),
    ("logit_adjustment", {"tau": 0.0}, *PLAIN, 1),
    ("ldam", {"max_margin": 0.0, "sharpness": 1.0}, *PLAIN, 1),
    ("tversky", {"alpha": 0.5, "beta": 0.5}, "soft_f1", {}, 1),
    ("early_learning", {"strength": 0.0, "beta": 0.7}, *PLAIN, 1),
    ("self_correction", {"alpha": 0.9, "begin": 0.6}, *PLAIN, 1),
    ("temporal_ensembling", {"strength": 0.0, "beta": 0.6}, *PLAIN, 1),
    ("learned_noise", {"level": -40.0}, *PLAIN, 1),
    ("identify", {"at": 0.6, "factor": 20.0}, *PLAIN, 1),
    ("identify", {"at": 0.3, "factor": 1.0}, *PLAIN, 1),
    ("biased_twin", {"at": 0.6, "q": 0.7}, "generalised_cross_entropy", {"q": 0.7}, 1),
    ("biased_twin", {"at": 0.3, "q": 0.7}, *PLAIN, 0.5),
    ("recall_weighted", {"decay": 0.9}, *PLAIN, 1),
    ("seesaw", {"p": 0.0, "q": 0.0}, *PLAIN, 1),
    ("huber", {"delta": 1e6}, "squared", {}, 0.5),
    ("huber", {"delta": 1e-9}, "absolute", {}, 1e-9),
    ("quantile", {"quantile": 0.5}, "absolute", {}, 0.5),
    ("asymmetric_squared", {"asymmetry": 0.5}, "squared", {}, 0.5),
    ("tukey_biweight", {"cutoff": 1e5}, "squared", {}, 0.5),
    ("relative_absolute", {"power": 0.0, "floor": 0.01}, "absolute", {}, 1),
    ("poisson", {"floor": 1e3}, "squared", {}, 0.5e-3),
]


@pytest.mark.parametrize(
    ("name", "hyper", "other", "others", "factor"), EQUAL, ids=[f"{row[0]}-{row[2]}" for row in EQUAL]
)
def test_limit(name: str, hyper: Hyper, other: str, others: Hyper, factor: float) -> None:
    torch.testing.assert_close(evaluate(name, hyper), factor * evaluate(other, others), rtol=1e-6, atol=1e-16)


def test_weights_have_mean_one_under_the_prior_and_equal_class_totals_at_power_one() -> None:
    prior, logits = torch.tensor([0.7, 0.2, 0.1], dtype=torch.float64), torch.zeros(3, 3, dtype=torch.float64)
    plain = terms["cross_entropy"](logits, torch.arange(3), smoothing=torch.tensor(0.0))
    weight = terms["weighted_cross_entropy"](logits, torch.arange(3), prior, power=torch.tensor(1.0)) / plain
    torch.testing.assert_close(weight @ prior, torch.tensor(1.0, dtype=torch.float64))
    torch.testing.assert_close(weight * prior, torch.full((3,), 1 / 3, dtype=torch.float64))


def test_generalised_cross_entropy_at_one_is_half_the_absolute_error_of_probabilities() -> None:
    logits = torch.randn(20, 3, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(20) % 3
    error = (torch.softmax(logits, 1) - torch.eye(3)[labels]).abs().sum(1)
    value = terms["generalised_cross_entropy"](logits, labels, q=torch.tensor(1.0))
    torch.testing.assert_close(value, error / 2)


def test_ldam_tends_to_a_hinge_on_the_worst_class() -> None:
    logits, labels = torch.tensor([[0.0, 2.0, -1.0], [3.0, 0.5, 0.0]]), torch.tensor([0, 0])
    value = terms["ldam"](logits, labels, torch.ones(3) / 3, max_margin=torch.tensor(1.0), sharpness=torch.tensor(1e3))
    torch.testing.assert_close(value, torch.tensor([3.0, 0.0]))  # max(0, 1 - z_y + max z_c) by hand


def test_ldam_margin_ignores_classes_that_training_lacks() -> None:
    logits, labels = torch.zeros(1, 3), torch.tensor([0])
    hyper = {"max_margin": torch.tensor(2.0), "sharpness": torch.tensor(1.0)}
    value = terms["ldam"](logits, labels, torch.tensor([0.5, 0.5, 0.0]), **hyper)
    expected = terms["cross_entropy"](torch.tensor([[-2.0, 0.0, 0.0]]), labels, smoothing=torch.tensor(0.0))
    torch.testing.assert_close(value, expected)


def test_brier_of_two_classes_is_twice_the_squared_error_of_the_label() -> None:
    logit, labels = torch.linspace(-4, 4, 9), torch.arange(9) % 2
    value = terms["brier"](torch.stack([-logit / 2, logit / 2], -1), labels)
    torch.testing.assert_close(value, 2 * (labels - logit.sigmoid()) ** 2)


@pytest.mark.parametrize("level", [-0.3, 0.0, 0.02, 0.6, 4.0])
def test_the_best_constant_of_poisson_is_the_mean_also_below_the_floor(level: float) -> None:
    counts = level + torch.tensor([-0.2, -0.1, 0.0, 0.05, 0.25], dtype=torch.float64)
    zero, floor = torch.tensor(-1.3, dtype=torch.float64), torch.tensor(0.1, dtype=torch.float64)
    constant = counts.mean().expand(5).clone().add(zero).requires_grad_()
    terms["poisson"](constant, counts + zero, zero, floor=floor).sum().backward()
    assert float(constant.grad.sum()) == pytest.approx(0, abs=1e-12)


def test_log_cosh_is_quadratic_near_zero_and_linear_far_away() -> None:
    near, far = torch.tensor([0.01, -0.01], dtype=torch.float64), torch.tensor([50.0, -50.0], dtype=torch.float64)
    zero = torch.zeros(2, dtype=torch.float64)
    torch.testing.assert_close(terms["log_cosh"](near, zero), near**2 / 2, rtol=1e-4, atol=0)
    torch.testing.assert_close(terms["log_cosh"](far, zero), far.abs() - torch.tensor(2.0).log().double())


@pytest.mark.parametrize("surrogate", ["logistic", "squared_hinge"])
def test_well_ranked_batches_cost_nothing(surrogate: str) -> None:
    logit, labels = torch.tensor([50.0, 40.0, -40.0, -50.0]), torch.tensor([1, 1, 0, 0])
    assert float(terms["pairwise_auc"](logit, labels, surrogate=surrogate)) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("name", ["soft_f1", "tversky", "one_vs_rest_auc"])
def test_classes_that_the_batch_lacks_take_no_part(name: str) -> None:
    logits, labels = torch.tensor([[99.0, 0.0, 0.0], [0.0, 99.0, 0.0]]), torch.tensor([0, 1])
    assert float(terms[name].module()(logits, labels)) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("name", ["soft_f_beta", "pairwise_auc", "smooth_average_precision"])
def test_a_batch_without_positives_costs_nothing(name: str) -> None:
    assert float(terms[name].module()(torch.tensor([2.0, -1.0]), torch.tensor([0, 0]))) == 0

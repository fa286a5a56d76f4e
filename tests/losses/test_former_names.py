"""Fairness terms that had a second name for targets of numbers: one term now; losses under that name stay the same."""

from __future__ import annotations

import pickle

import pytest
import torch

from losssearch.errors import UnknownNameError
from losssearch.losses import terms
from losssearch.losses.compose import compose
from losssearch.losses.inputs import NUMBERS, STANDARD, offer_of
from losssearch.losses.spec import LossSpec, Part
from losssearch.tasks import TASKS

KEYS = {
    "attribute_correlation": ({}, "4d757203eb5eb615"),
    "hsic": ({"width": 0.7}, "bef432405f4a299a"),
    "distance_covariance": ({}, "c49e77d954605843"),
    "zafar_covariance": ({"limit": 0.1}, "9c8f3f703cc6b9a8"),
    "individual_fairness": ({"lipschitz": 0.3}, "d266b89db300ea5e"),
    "flip_consistency": ({"width": 0.4}, "01b4e089a58731b3"),
}
"""Hyperparameters, and the key of squared error plus three times the term as studies stored it by its former name."""

every_term = pytest.mark.parametrize("name", KEYS)


def with_squared(name: str, hyper: dict[str, float]) -> LossSpec:
    return LossSpec.from_json({"parts": [{"term": "squared"}, {"term": name, "weight": 3.0, **hyper}]})


@every_term
def test_a_stored_loss_keeps_its_key_and_its_text(name: str) -> None:
    hyper, key = KEYS[name]
    stored = with_squared(f"{name}_regression", hyper)
    assert stored.key == key
    assert f"{name}_regression" in stored.formula()
    assert LossSpec.from_json(stored.to_json()) == pickle.loads(pickle.dumps(stored)) == stored


@every_term
def test_the_former_name_is_the_same_term_and_is_not_listed(name: str) -> None:
    former = terms[f"{name}_regression"]
    assert former.function is terms[name].function
    assert f"{name}_regression" in terms
    assert f"{name}_regression" not in list(terms)
    assert all(terms[name].fits(task.with_groups().offers) for task in TASKS.values())


@every_term
def test_both_names_give_the_same_value_and_slope_of_predictions(name: str) -> None:
    source = torch.Generator().manual_seed(0)
    output, target = torch.randn(2, 20, generator=source).requires_grad_()
    given = {"group": torch.arange(20) % 2, "features": torch.randn(20, 3, generator=source)}
    found = []
    for written in (name, f"{name}_regression"):
        spec = with_squared(written, KEYS[name][0])
        leaf = output.detach().clone().requires_grad_()
        value = compose(spec, groups=2)(leaf, target.detach(), **given)
        found.append((value.detach(), *torch.autograd.grad(value, leaf)))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-7)  # the parts are added in another order


def test_a_loss_without_a_task_is_read_by_its_other_terms() -> None:
    assert offer_of(LossSpec((Part("cross_entropy"), Part("hsic")))) is STANDARD
    assert offer_of(LossSpec((Part("squared"), Part("hsic")))) is NUMBERS
    assert offer_of(LossSpec((Part("hsic_regression"),))) is NUMBERS


def test_an_unknown_name_is_told_with_listed_ones() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown term .hsic_x.; did you mean hsic") as told:
        Part("hsic_x")
    assert "hsic_regression" not in str(told.value)

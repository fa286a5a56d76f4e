"""Fairness terms that had a second name for targets of numbers: one term now; losses under that name stay the same."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
import torch

from losssearch.data.batch import Groups, Sizes
from losssearch.errors import SpecError, UnknownNameError
from losssearch.export.facts import LossFacts
from losssearch.export.source import loss_source
from losssearch.losses import terms
from losssearch.losses.compose import ComposedLoss, compose
from losssearch.losses.inputs import NUMBERS, STANDARD, offer_of
from losssearch.losses.population import PopulationLoss
from losssearch.losses.spec import LossSpec, Part
from losssearch.tasks import TASKS

KEYS = {
    "attribute_correlation": ({}, "4d757203eb5eb615"),
    "hsic": ({"width": 0.7}, "bef432405f4a299a"),
    "distance_covariance": ({}, "c49e77d954605843"),
    "zafar_covariance": ({"limit": 0.1}, "9c8f3f703cc6b9a8"),
    "individual_fairness": ({"lipschitz": 0.3}, "d266b89db300ea5e"),
    "flip_consistency": ({"width": 0.4}, "01b4e089a58731b3"),
    "group_dro": ({"step": 0.2}, "c75833002ac170d3"),
    "bounded_group_loss": ({"limit": 0.1}, "36bb8cfbc5c8fcde"),
    "adversarial": ({"rate": 2.0}, "5cd3a97539d78800"),
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
    assert all(
        terms[name].fits(task.with_groups().offers) for task in TASKS.values() if not (task.shared or task.by_size)
    )


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


def test_the_adversary_of_numbers_has_no_choice_under_its_former_name() -> None:
    former = terms["adversarial_regression"]
    assert list(former.domains) == ["rate"]
    assert Part("adversarial_regression").to_json().keys() == {"term", "rate", "weight", "reduction", "scale"}
    with pytest.raises(SpecError, match="adversarial_regression has no hyperparameter 'sees'; it has: rate"):
        Part("adversarial_regression", {"sees": "output_and_label"})


@pytest.mark.parametrize("sees", ["output", "output_and_label"])
def test_an_adversary_of_numbers_is_one_loss_in_a_population_alone_and_exported(sees: str) -> None:
    """What it sees of a target is worth something only to one who is told of the target."""
    task, source = TASKS["regression"], torch.Generator().manual_seed(0)
    group = torch.arange(60) % 2
    target = torch.randn(60, generator=source)
    output = target * (2 * group - 1)  # which group it is, the target alone tells
    spec = LossSpec.from_json({"parts": [{"term": "adversarial", "sees": sees, "rate": 2.0}]})
    facts = LossFacts(spec, "regression", groups=2)
    namespace: dict[str, Any] = {}
    exec(compile(loss_source(facts), "loss.py", "exec"), namespace)
    alone, exported = ComposedLoss(spec, groups=2, offer=task.offer), namespace["Loss"]()
    population = PopulationLoss([spec], sizes=Sizes(0, Groups(2)), offer=task.offer)
    states, batch = population.start([0]), {"target": target[None], "group": group[None]}
    for _ in range(100):
        given = (output[None, None], batch, {}, population.initial[None], 0.0)
        together, states = population(*given, states=states), population.next_states(*given, states)
        value = alone(output, target, group=group)
        torch.testing.assert_close(together[0, 0], value)
        torch.testing.assert_close(exported(output, target, group), value)
    assert (float(value) > 0.3) is (sees == "output_and_label")


def test_a_loss_without_a_task_is_read_by_its_other_terms() -> None:
    assert offer_of(LossSpec((Part("cross_entropy"), Part("hsic")))) is STANDARD
    assert offer_of(LossSpec((Part("squared"), Part("hsic")))) is NUMBERS
    assert offer_of(LossSpec((Part("hsic_regression"),))) is NUMBERS


def test_an_unknown_name_is_told_with_listed_ones() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown term .hsic_x.; did you mean hsic") as told:
        Part("hsic_x")
    assert "hsic_regression" not in str(told.value)

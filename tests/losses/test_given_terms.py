"""Penalties on what a training loop gives: parameters, gradients by the inputs, predictions for mixtures."""

from __future__ import annotations

import pytest
import torch

from losssearch.errors import SpecError
from losssearch.losses import terms
from losssearch.losses.compose import ComposedLoss, compose
from losssearch.tasks import TASKS

GIVEN = ("l1", "l2", "elastic_net", "gradient_penalty", "mixup_consistency")


def loss_with(name: str, **more: float) -> ComposedLoss:
    """The squared error and the penalty, at equal weights."""
    return compose({"parts": [{"term": "squared"}, {"term": name, **more}]})


def test_l2_is_weight_decay() -> None:
    model, features = torch.nn.Linear(2, 1), torch.randn(6, 2)
    parameters = torch.nn.utils.parameters_to_vector(model.parameters())
    loss_with("l2")(model(features), torch.zeros(6), parameters=parameters).backward()
    found = torch.cat([p.grad.flatten() for p in model.parameters()])  # type: ignore[union-attr]
    model.zero_grad()
    (0.5 * model(features).square().mean()).backward()
    plain = torch.cat([p.grad.flatten() for p in model.parameters()])  # type: ignore[union-attr]
    torch.testing.assert_close(found, plain + 0.5 * parameters.detach())


def test_sample_weights_leave_penalties_on_parameters_alone() -> None:
    output, target, weight = torch.tensor([1.0, 2.0]), torch.zeros(2), torch.tensor([0.0, 3.0])
    found = loss_with("l1")(output, target, parameters=torch.tensor([-3.0, 1.0]), weight=weight)
    torch.testing.assert_close(found, torch.tensor(0.5 * 4 + 0.5 * 4))


def test_elastic_net_has_both_penalties_as_limits() -> None:
    parameters = torch.randn(9, dtype=torch.float64)
    for ratio, other in ((1.0, "l1"), (0.0, "l2")):
        found = terms["elastic_net"](parameters, ratio=torch.tensor(ratio))
        torch.testing.assert_close(found, terms[other](parameters))


def test_a_gradient_penalty_brings_the_slope_to_its_norm() -> None:
    model, loss = torch.nn.Linear(2, 1), compose({"parts": [{"term": "gradient_penalty", "norm": 1.0}]})
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    for _ in range(200):
        features = torch.randn(4, 2, requires_grad=True)
        output = model(features)
        (slope,) = torch.autograd.grad(output.sum(), features, create_graph=True)
        optimizer.zero_grad()
        loss(output, torch.zeros(4), input_gradient=slope).backward()
        optimizer.step()
    assert float(model.weight.detach().norm()) == pytest.approx(1.0, abs=1e-3)


def test_a_linear_model_is_consistent_on_mixtures() -> None:
    model, features = torch.nn.Linear(2, 1), torch.randn(5, 2)
    share, other = torch.rand(5, 1), features.flip(0)
    mixed = model(share * features + (1 - share) * other)
    mixture = share * model(features) + (1 - share) * model(other)
    loss = compose({"parts": [{"term": "mixup_consistency"}]})
    value = loss(model(features), torch.zeros(5), mixed=mixed, mixture=mixture)
    assert float(value.detach()) == pytest.approx(0, abs=1e-10)


@pytest.mark.parametrize("name", GIVEN)
def test_no_kind_of_task_offers_them_and_who_forgets_one_is_told(name: str) -> None:
    assert not any(terms[name].fits(task.with_groups().offers) for task in TASKS.values())
    with pytest.raises(SpecError, match=r"a term of this loss reads .*in a training loop of your own"):
        loss_with(name)(torch.zeros(3), torch.zeros(3))

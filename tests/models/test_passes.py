"""A model's pass gives the outputs of its ``forward`` and the gradients that autograd finds through it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from losssearch.models import MODELS, StackedModel, build_model

FEATURES = 6


def draw(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def plain(features: int, outputs: int) -> nn.Module:
    return nn.Sequential(nn.Linear(features, 5), nn.Tanh(), nn.Linear(5, outputs))


class WithNorm(nn.Module):
    def __init__(self, features: int, outputs: int) -> None:
        super().__init__()
        self.norm, self.last = nn.BatchNorm1d(features), nn.Linear(features, outputs)
        self.idle = nn.Parameter(torch.ones(2))

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.norm(x))


every_model = pytest.mark.parametrize(
    "model", [*MODELS, plain, WithNorm], ids=lambda model: model if isinstance(model, str) else model.__name__
)


def drawn(model: StackedModel, replicas: int, members: int) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Parameters as views of one flat tensor, as in training; each member has its own."""
    sizes = [torch.Size(shape).numel() for shape in model.shapes.values()]
    pieces = (draw(0, replicas, members, sum(sizes) + 3) / 3).split([*sizes, 3], dim=-1)
    parameters = {
        name: piece.unflatten(-1, shape) for (name, shape), piece in zip(model.shapes.items(), pieces, strict=False)
    }
    held = model.buffers(0)
    buffers = {name: value.double().repeat(replicas, members, *[1] * value.dim()) for name, value in held.items()}
    return parameters, buffers


@every_model
@pytest.mark.parametrize("width", [1, 4])
@pytest.mark.parametrize(("replicas", "members"), [(1, 1), (1, 3), (3, 1), (2, 3)])
def test_outputs_and_gradients_are_those_of_autograd(model: object, width: int, replicas: int, members: int) -> None:
    """Step after step in the same memory, also where there are fewer rows, then more."""
    built = build_model(model, FEATURES, width)
    parameters, buffers = drawn(built, replicas, members)
    run = built.new_pass()
    for rows in (9, 9, 4, 11):
        features = draw(rows, replicas, rows, FEATURES)
        leaves = {name: value.detach().clone().requires_grad_() for name, value in parameters.items()}
        copies = {name: value.clone() for name, value in buffers.items()}
        expected = built.forward(leaves, copies, features, training=True, seed=3)
        outputs = run.forward(parameters, buffers, features, training=True, seed=3)
        assert not outputs.requires_grad
        torch.testing.assert_close(outputs, expected.detach(), rtol=1e-10, atol=1e-10)
        slope = draw(rows + 1, *expected.shape)
        gradients = run.backward(slope)
        found = torch.autograd.grad(expected, list(leaves.values()), slope, materialize_grads=True)
        assert set(gradients) == set(built.shapes)
        for (name, shape), theirs in zip(built.shapes.items(), found, strict=True):
            assert gradients[name].shape == (replicas, members, *shape)
            torch.testing.assert_close(gradients[name], theirs, rtol=1e-10, atol=1e-10)
        for name, value in buffers.items():
            assert torch.equal(value, copies[name])


@every_model
def test_outputs_outside_training_change_no_state(model: object) -> None:
    built = build_model(model, FEATURES, 4)
    parameters, buffers = drawn(built, 2, 3)
    before = {name: value.clone() for name, value in buffers.items()}
    features = draw(1, 2, 9, FEATURES)
    outputs = built.new_pass().forward(parameters, buffers, features, training=False, seed=0)
    expected = built.forward(parameters, buffers, features, training=False, seed=0)
    torch.testing.assert_close(outputs, expected, rtol=1e-10, atol=1e-10)
    assert all(torch.equal(value, before[name]) for name, value in buffers.items())


@pytest.mark.parametrize("model", list(MODELS))
@pytest.mark.parametrize("poison", [torch.nan, torch.inf])
def test_a_slope_that_is_not_finite_stays_with_its_member(model: str, poison: float) -> None:
    """To the bit."""
    built = build_model(model, FEATURES, 4)
    parameters, _ = drawn(built, 2, 3)
    run, slope = built.new_pass(), draw(2, 2, 3, 9, 4)
    run.forward(parameters, {}, draw(1, 2, 9, FEATURES), training=True, seed=0)
    clean = {name: value.clone() for name, value in run.backward(slope).items()}
    slope[:, 1] = poison
    for name, value in run.backward(slope).items():
        assert torch.equal(value[:, [0, 2]], clean[name][:, [0, 2]])
        assert not value[:, 1].isfinite().all()

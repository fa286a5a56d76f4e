"""The contract of a model of a population, for every built-in one and for users' modules of all sorts."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from losssearch.models import MODELS, LoopedModule, StackedModel, build_model
from losssearch.models.module import VectorisedModule

FEATURES, BATCH = 6, 9


class Plain(nn.Module):
    def __init__(self, features: int, outputs: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(features, 5), nn.LayerNorm(5), nn.GELU(), nn.Linear(5, outputs))

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


class Normed(nn.Module):
    """Batch normalisation: running statistics that training updates."""

    def __init__(self, features: int, outputs: int) -> None:
        super().__init__()
        self.norm, self.last = nn.BatchNorm1d(features), nn.Linear(features, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.norm(x))


class Dropping(nn.Module):
    """Dropout as a layer."""

    def __init__(self, features: int, outputs: int) -> None:
        super().__init__()
        self.drop, self.last = nn.Dropout(0.5), nn.Linear(features, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.drop(x))


class DroppingInline(nn.Module):
    """Dropout as a function, which no list of layers shows."""

    def __init__(self, features: int, outputs: int) -> None:
        super().__init__()
        self.last = nn.Linear(features, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(F.dropout(x, 0.5, self.training))


class Branching(nn.Module):
    """Control flow on values, which vmap refuses."""

    def __init__(self, features: int, outputs: int) -> None:
        super().__init__()
        self.last = nn.Linear(features, outputs)

    def forward(self, x: Tensor) -> Tensor:
        out = self.last(x)
        return out if out.sum() > 0 else 2 * out


class HalfFrozen(nn.Module):
    """A first layer that its author does not want to be trained."""

    def __init__(self, features: int, outputs: int) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(features, 5).requires_grad_(False), nn.Linear(5, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.first(x).relu())


class Tied(nn.Module):
    """Two layers that share one weight."""

    def __init__(self, features: int, outputs: int) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(features, features), nn.Linear(features, features)
        self.second.weight = self.first.weight
        self.last = nn.Linear(features, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.second(self.first(x).relu()))


VECTORISED = [Plain, Tied, HalfFrozen]
LOOPED = [Normed, Dropping, DroppingInline, Branching]
ALL = [*MODELS, *VECTORISED, *LOOPED]

every_model = pytest.mark.parametrize("model", ALL, ids=lambda m: m if isinstance(m, str) else m.__name__)
every_module = pytest.mark.parametrize("factory", [*VECTORISED, *LOOPED])
every_width = pytest.mark.parametrize("width", [1, 3])


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def stacked(model: StackedModel, seeds: list[list[int]]) -> dict[str, Tensor]:
    """Parameters [R, K, …], each member at a seed of its own."""
    return _stack([[model.initial(seed) for seed in row] for row in seeds])


def states(model: StackedModel, seeds: list[list[int]]) -> dict[str, Tensor]:
    """Buffers [R, K, …], each member at a seed of its own."""
    return _stack([[model.buffers(seed) for seed in row] for row in seeds])


def _stack(rows: list[list[dict[str, Tensor]]]) -> dict[str, Tensor]:
    return {name: torch.stack([torch.stack([m[name] for m in row]) for row in rows]) for name in rows[0][0]}


def reference(model: str, member: dict[str, Tensor], x: Tensor) -> Tensor:
    """The same network of torch.nn layers with the same weights."""
    layers = []
    for index in range(len(member) // 2):
        weight = member[f"weight{index}"]
        layer = nn.Linear(*weight.shape)
        layer.load_state_dict({"weight": weight.T, "bias": member[f"bias{index}"]})
        layers.append(layer)
    if model != "residual_mlp":
        between = [module for layer in layers for module in (layer, nn.ReLU())]
        return nn.Sequential(*between[:-1])(x)
    hidden = layers[0](x)
    for layer in layers[1:-1]:
        hidden = hidden.relu() + layer(hidden.relu())
    return layers[-1](hidden.relu())


@every_model
@every_width
def test_initial_weights_follow_the_seed(model: str | Callable[..., nn.Module], width: int) -> None:
    built = build_model(model, FEATURES, width)
    torch.manual_seed(1)
    first = built.initial(5)
    torch.manual_seed(2)
    state = torch.random.get_rng_state()
    again, other = build_model(model, FEATURES, width).initial(5), built.initial(6)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert {name: tuple(value.shape) for name, value in first.items()} == dict(built.shapes)
    assert all(torch.equal(first[name], again[name]) for name in built.shapes)
    assert any(not torch.equal(first[name], other[name]) for name in built.shapes)
    assert built.decayed == {name for name, shape in built.shapes.items() if len(shape) > 1}


@pytest.mark.parametrize("model", list(MODELS))
@pytest.mark.parametrize("width", [1, 3, 64])
def test_built_in_models_equal_torch_layers(model: str, width: int) -> None:
    built = build_model(model, FEATURES, width)
    parameters = stacked(built, [[1, 2, 3], [4, 5, 6]])
    x = draw(2, BATCH, FEATURES)
    outputs = built.forward(parameters, {}, x, training=True, seed=0)
    assert outputs.shape == ((2, 3, BATCH) if width == 1 else (2, 3, BATCH, width))
    for r in range(2):
        for k in range(3):
            expected = reference(model, {name: value[r, k] for name, value in parameters.items()}, x[r])
            torch.testing.assert_close(outputs[r, k], expected[:, 0] if width == 1 else expected)


def test_built_in_models_start_as_torch_layers_do() -> None:
    """Uniform within one over the root of the inputs, weights and biases, as ``torch.nn.Linear`` draws them."""
    features = 400
    ours, theirs = build_model("mlp", features, 1).initial(0), nn.Linear(features, 64)
    for name in ("weight", "bias"):
        drawn, expected = ours[f"{name}0"], getattr(theirs, name).detach()
        assert float(drawn.abs().max()) == pytest.approx(1 / 20, rel=0.1)
        assert float(drawn.std()) == pytest.approx(float(expected.std()), rel=0.2)


@pytest.mark.parametrize("factory", VECTORISED)
@every_width
def test_a_module_that_vmap_takes_is_vectorised(factory: type[nn.Module], width: int) -> None:
    assert isinstance(build_model(factory, FEATURES, width), VectorisedModule)


@pytest.mark.parametrize("factory", LOOPED)
@every_width
def test_other_modules_are_computed_one_by_one(factory: type[nn.Module], width: int) -> None:
    assert isinstance(build_model(factory, FEATURES, width), LoopedModule)


@every_module
@every_width
def test_a_module_in_a_population_equals_itself(factory: type[nn.Module], width: int) -> None:
    """In evaluation, where nothing is random; oracle: the plain module with the same weights."""
    built = build_model(factory, FEATURES, width)
    seeds, x = [[1, 2, 3], [4, 5, 6]], draw(2, BATCH, FEATURES)
    outputs = built.forward(stacked(built, seeds), states(built, seeds), x, training=False, seed=0)
    assert outputs.shape == ((2, 3, BATCH) if width == 1 else (2, 3, BATCH, width))
    for r in range(2):
        for k in range(3):
            torch.manual_seed(seeds[r][k])
            expected = factory(FEATURES, width).eval()(x[r])
            torch.testing.assert_close(outputs[r, k], expected[:, 0] if width == 1 else expected)


@every_model
@every_width
def test_no_gradient_crosses_from_member_to_member(model: str | Callable[..., nn.Module], width: int) -> None:
    built = build_model(model, FEATURES, width)
    parameters = {name: value.requires_grad_() for name, value in stacked(built, [[1, 2]]).items()}
    outputs = built.forward(parameters, states(built, [[1, 2]]), draw(1, BATCH, FEATURES), training=True, seed=0)
    gradients = torch.autograd.grad(outputs[0, 1].square().sum(), list(parameters.values()))
    assert all(not gradient[0, 0].any() for gradient in gradients)
    assert all(gradient[0, 1].any() for gradient in gradients)


def test_running_statistics_are_the_members_own() -> None:
    """Oracle: ``torch.nn.BatchNorm1d`` trained on the same batches; statistics then serve in evaluation."""
    built = build_model(Normed, FEATURES, 1)
    parameters, held = stacked(built, [[0, 0], [0, 0]]), states(built, [[0, 0], [0, 0]])
    held["norm.running_mean"][0, 1] += 5
    batches = [draw(2, BATCH, FEATURES, seed=seed) * 3 + 1 for seed in range(4)]
    for batch in batches:
        built.forward(parameters, held, batch, training=True, seed=0)
    before = {name: value.clone() for name, value in held.items()}
    x = draw(2, BATCH, FEATURES, seed=9)
    outputs = built.forward(parameters, held, x, training=False, seed=0)
    assert all(torch.equal(held[name], before[name]) for name in held)
    for r in range(2):
        for k in range(2):
            torch.manual_seed(0)
            module = Normed(FEATURES, 1)
            module.norm.running_mean += 5 if (r, k) == (0, 1) else 0
            for batch in batches:
                module.train()(batch[r])
            torch.testing.assert_close(held["norm.running_mean"][r, k], module.norm.running_mean)
            torch.testing.assert_close(held["norm.running_var"][r, k], module.norm.running_var)
            torch.testing.assert_close(outputs[r, k], module.eval()(x[r])[:, 0])


@pytest.mark.parametrize("factory", [Dropping, DroppingInline])
def test_dropout_follows_the_seed_and_is_shared_by_members(factory: type[nn.Module]) -> None:
    """Members of a replica lose the same units, so that their comparison is paired."""
    built = build_model(factory, FEATURES, 1)
    parameters, x = stacked(built, [[1, 1], [1, 1]]), draw(1, BATCH, FEATURES).expand(2, -1, -1)
    state = torch.random.get_rng_state()
    first = built.forward(parameters, {}, x, training=True, seed=3)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.equal(first, built.forward(parameters, {}, x, training=True, seed=3))
    assert torch.equal(first[:, 0], first[:, 1])
    assert not torch.equal(first[0], first[1])
    assert not torch.equal(first, built.forward(parameters, {}, x, training=True, seed=4))


def test_a_frozen_parameter_is_not_trained() -> None:
    built = build_model(HalfFrozen, FEATURES, 1)
    assert set(built.shapes) == {"last.weight", "last.bias"}
    torch.manual_seed(7)
    expected = HalfFrozen(FEATURES, 1)
    assert torch.equal(built.buffers(7)["first.weight"], expected.first.weight)

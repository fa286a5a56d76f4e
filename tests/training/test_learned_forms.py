"""The hypergradient of losses whose whole form is learned, against one step unrolled by `torch.func` in float64."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor

from losssearch.data.batch import Sizes
from losssearch.losses.inputs import STANDARD
from losssearch.losses.population import PopulationLoss
from losssearch.losses.spec import LossSpec, Part
from losssearch.losses.term import registry
from losssearch.models import build_model
from losssearch.training.bilevel import Bilevel, Point
from losssearch.training.levels import Objective, Turn
from losssearch.training.slices import slices

REPLICAS, MEMBERS, FEATURES, ROWS, PROGRESS = 2, 2, 5, 16, 0.5
FORMS = [
    ("learned_curve", 3, "cross_entropy"),
    ("learned_residual_curve", 0, "squared"),
    ("learned_network", 3, "cross_entropy"),
    ("learned_residual_network", 0, "squared"),
]


def named(flat: Tensor, names: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
    pieces = flat.split([torch.Size(shape).numel() for shape in names.values()], dim=-1)
    return {name: piece.unflatten(-1, shape) for (name, shape), piece in zip(names.items(), pieces, strict=True)}


@pytest.mark.parametrize("model", ["linear", "mlp"])
@pytest.mark.parametrize(("term", "classes", "plain"), FORMS)
def test_it_is_the_gradient_of_one_step_unrolled(term: str, classes: int, plain: str, model: str) -> None:
    source = torch.Generator().manual_seed(0)
    stacked = build_model(model, FEATURES, max(classes, 1))
    initial, names = stacked.initial(0), stacked.shapes
    flat = torch.cat([initial[name].flatten() for name in names]).double()
    flat = flat + 0.3 * torch.randn(REPLICAS, MEMBERS, len(flat), generator=source, dtype=torch.float64)

    def batch() -> dict[str, Tensor]:
        features = torch.randn(REPLICAS, ROWS, FEATURES, generator=source, dtype=torch.float64)
        labels = torch.arange(ROWS).expand(REPLICAS, -1) % max(classes, 1)
        numbers = torch.randn(REPLICAS, ROWS, generator=source, dtype=torch.float64)
        return {"features": features, "target": labels if classes else numbers}

    lower, upper = batch(), batch()
    spec = LossSpec((Part(term),))
    population = PopulationLoss([spec] * MEMBERS, sizes=Sizes(classes))
    start = [own.double() + 0.02 * torch.rand(own.shape, generator=source).double() for own in population.start([0, 1])]
    (one,) = slices(stacked, population, MEMBERS, [True] * MEMBERS)
    rates, learned = torch.tensor([0.05, 0.5], dtype=torch.float64), torch.zeros(REPLICAS, MEMBERS, 0).double()
    outputs = one.passage.forward(named(flat, names), {}, lower["features"], training=True, seed=0).clone()
    slope, _, _ = population.slopes(outputs, lower, {}, learned, PROGRESS, states=tuple(start))
    by_name = one.passage.backward(slope)
    gradient = torch.cat([by_name[name].flatten(2) for name in names], dim=-1)
    at = Point(one, names, flat, gradient, {}, Turn(lower, upper, 1), outputs, {}, learned, rates, PROGRESS, 0)
    objective = Objective(LossSpec((Part(plain),)))
    found = Bilevel(objective, population.sizes, STANDARD, 1).hypergradient(tuple(start), at)
    (place,) = found
    choices = {name: value for name, value in spec.parts[0].hyperparameters.items() if isinstance(value, str)}
    (state,) = registry[term].states

    def loss(theta: Tensor, x: Tensor, y: Tensor, phi: Tensor | None) -> Tensor:
        z = stacked.forward(named(theta[None, None], names), {}, x[None], training=True, seed=0)[0, 0]
        own: Any = registry[term if phi is not None else plain]
        given = {"logits": z, "labels": y, "prediction": z, "target": y, "progress": torch.tensor(PROGRESS)}
        more: dict[str, Any] = {"smoothing": torch.tensor(0.0)} if plain == "cross_entropy" else {}
        if phi is not None:
            more = {state: phi, **choices}
        value: Tensor = own(*(given[name] for name in own.reads), **more).mean()
        return value

    for r in range(REPLICAS):
        for k in range(MEMBERS):

            def unrolled(phi: Tensor, r: int = r, k: int = k) -> Tensor:
                step = torch.func.grad(loss)(flat[r, k], lower["features"][r], lower["target"][r], phi)
                return loss(flat[r, k] - rates[k] * step, upper["features"][r], upper["target"][r], None)

            true = torch.func.grad(unrolled)(start[place][r, k, 0])
            error = (rates[k] * found[place][r, k] - true).norm() / true.norm()
            assert true.norm() > 0
            assert error <= 1e-4, error

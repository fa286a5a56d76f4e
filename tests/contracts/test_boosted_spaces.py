"""Trees are grown from the gradient of the searched loss: the sum of its parts at their weights, for every space."""

from __future__ import annotations

import sys
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import Tensor

from losssearch.data.batch import Groups, Sizes, each, sensitive
from losssearch.export.boosting import objective_source
from losssearch.export.facts import LossFacts
from losssearch.losses import terms
from losssearch.losses.compose import ComposedLoss
from losssearch.losses.inputs import memberships
from losssearch.losses.kept import by_validation
from losssearch.losses.spec import LossSpec, Part
from losssearch.space import RandomTrial, SearchSpace, bundled_spaces, load_space
from losssearch.tasks import get_task
from losssearch.training.boosting.objective import BLOCK, Objective
from losssearch.training.boosting.pieces import pieces_of

SAMPLES = 40
CLASSES = {"binary": 2, "multiclass": 3, "regression": 0}
ROUNDS = 4


class Batch:
    """Scores, targets and what losses read in addition, for one kind of task; `BLOCK` rows, so that pairs are all."""

    def __init__(self, task: str, attribute: bool) -> None:
        draw = torch.Generator().manual_seed(5)
        self.classes, self.offer = CLASSES[task], get_task(task).offer
        shape = (BLOCK, self.classes) if self.classes > 2 else (BLOCK,)
        self.scores = 2 * torch.randn(shape, generator=draw, dtype=torch.float64)
        self.target = (
            torch.arange(BLOCK) % self.classes if self.classes else torch.randn(BLOCK, generator=draw).double()
        )
        self.ids = torch.randint(0, 2, (BLOCK,), generator=draw)
        self.groups = 1 if attribute else 2
        self.group = (
            torch.randn(BLOCK, 1, generator=draw).double() if attribute else memberships(self.ids, Groups(2)).double()
        )
        self.features = torch.randn(BLOCK, 3, generator=draw)
        self.prior = torch.bincount(self.target, minlength=self.classes) / BLOCK if self.classes else None
        self.zero = 0.0 if self.classes else -0.6
        self.facts = {"zero": torch.tensor(self.zero)} | ({} if self.prior is None else {"class_prior": self.prior})
        self.sizes = Sizes(self.classes, sensitive(self.groups), rows=BLOCK)
        self.rows = {"target": self.target, "group": self.group, "features": self.features}

    def gradient(self, spec: LossSpec, progress: float = 0.0) -> np.ndarray:
        """Of the composed loss, times the number of rows."""
        loss = ComposedLoss.of_facts(spec, each(self.facts, Tensor.double), self.sizes, self.offer).double()
        leaf = self.scores.clone().requires_grad_()
        extra = {"group": self.group, "features": self.features.double(), "index": torch.arange(BLOCK)}
        value = loss(leaf, self.target, progress=progress, **extra)
        (slope,) = torch.autograd.grad(BLOCK * value, leaf)
        return slope.numpy()

    def objective(self, spec: LossSpec) -> Objective:
        pieces = pieces_of(spec, self.facts, self.sizes, self.offer)
        return Objective(pieces, self.rows, classes=self.classes, rounds=ROUNDS)


def module(text: str) -> ModuleType:
    """The module whose source is ``text``."""
    made = ModuleType("exported_objective")
    sys.modules[made.__name__] = made  # dataclasses look their module up
    exec(compile(text, "objective.py", "exec"), made.__dict__)
    return made


def close(found: np.ndarray, expected: np.ndarray, pairs: bool) -> None:
    size = np.abs(expected).max()
    np.testing.assert_allclose(found, expected, rtol=1e-7, atol=(1e-3 if pairs else 1e-7) * max(size, 1e-9))


LEARNED = [
    name
    for name in bundled_spaces()
    if any(by_validation(LossSpec((Part(term),))) or terms[term].restart_at for term in load_space(name).terms)
]
"""Spaces that are not offered for trees; `test_learned_by_validation.py` and `test_refused_spaces.py` of assembly."""


@pytest.fixture(
    scope="module",
    params=sorted({*bundled_spaces()} - {*LEARNED, "count", "distribution", "ordinal", "ranking", "survival"}),
)
def space(request: pytest.FixtureRequest) -> SearchSpace:
    return load_space(request.param)


@pytest.fixture(scope="module")
def specs(space: SearchSpace) -> list[LossSpec]:
    random = np.random.default_rng(1)
    found = [space.sample(RandomTrial(random)) for _ in range(SAMPLES)]
    assert space.max_parts == 1 or sum(len(spec.parts) > 1 for spec in found) > SAMPLES // 4
    return found


@pytest.fixture(scope="module")
def batch(space: SearchSpace) -> Batch:
    return Batch(space.task, space.name.endswith("_attribute"))


def test_the_objective_is_the_gradient_of_the_loss(specs: list[LossSpec], batch: Batch) -> None:
    for spec in specs:
        made = batch.objective(spec)
        slope, _ = made(batch.scores.numpy())
        close(made.unit * slope, batch.gradient(spec), any(piece.kind == "pairs" for piece in made.pieces))


def test_parts_alone_add_up_to_the_loss(specs: list[LossSpec], batch: Batch) -> None:
    for spec in specs:
        whole = batch.gradient(spec, progress=0.3)
        parts = sum(batch.gradient(spec.alone(place), progress=0.3) for place in range(len(spec.parts)))
        close(parts, whole, pairs=False)


def test_the_exported_objective_has_the_same_gradient(space: SearchSpace, specs: list[LossSpec], batch: Batch) -> None:
    prior = None if batch.prior is None else tuple(batch.prior.tolist())
    groups = batch.groups if any("group" in spec.reads for spec in specs) else 0
    for spec in [spec for spec in specs if len(spec.parts) > 1][:4]:
        facts = LossFacts(spec, space.task, classes=batch.classes or 2, class_prior=prior, groups=groups)
        made = module(objective_source(facts, "lightgbm"))
        pieces = made.pieces(batch.target, batch.groups, batch.zero)
        exported = made.Objective(pieces, batch.rows, classes=batch.classes, rounds=ROUNDS)
        slope, _ = exported(batch.scores.numpy())
        close(exported.unit * slope, batch.gradient(spec), any(piece.kind == "pairs" for piece in exported.pieces))


@pytest.mark.parametrize("second", ["hinge", "focal"])
def test_the_weights_of_parts_decide_which_trees_grow(second: str) -> None:
    batch = Batch("binary", attribute=False)

    def slope(weight: float) -> np.ndarray:
        parts = [{"term": "binary_cross_entropy", "weight": weight}, {"term": second, "weight": 1 - weight}]
        made = batch.objective(LossSpec.from_json({"parts": parts}))
        return made.unit * made(batch.scores.numpy())[0]

    def alone(term: str) -> np.ndarray:
        return batch.gradient(LossSpec.from_json({"parts": [{"term": term}]}))

    for weight in (0.01, 0.99):
        close(slope(weight), weight * alone("binary_cross_entropy") + (1 - weight) * alone(second), pairs=False)


def test_the_strength_of_a_penalty_counts() -> None:
    batch = Batch("binary", attribute=False)
    sizes = []
    for strength in (1.0, 10.0, 100.0):
        parts = [
            {"term": "binary_cross_entropy"},
            {"term": "group_disparity", "limit": 0.0, "mechanism": "penalty", "weight": strength},
        ]
        spec = LossSpec.from_json({"parts": parts})
        made = batch.objective(spec)
        slope, _ = made(batch.scores.numpy())
        close(made.unit * slope, batch.gradient(spec), pairs=False)
        base = batch.gradient(spec.alone(next(i for i, p in enumerate(spec.parts) if p.name == "binary_cross_entropy")))
        sizes.append(np.abs(made.unit * slope - base).sum() / np.abs(base).sum())
    assert sizes[1] == pytest.approx(10 * sizes[0], rel=1e-6)
    assert sizes[2] == pytest.approx(100 * sizes[0], rel=1e-6)

"""The objective of boosted trees: gradients, and a Hessian that trees can divide by."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from losssearch.data.batch import Sizes
from losssearch.losses import terms
from losssearch.losses.compose import ComposedLoss
from losssearch.losses.kept import by_validation
from losssearch.losses.spec import LossSpec, Part
from losssearch.tasks import TASKS
from losssearch.training.boosting.objective import BLOCK, Objective, initial_score
from losssearch.training.boosting.pieces import pieces_of

CLASSES = {"binary": 2, "multiclass": 3, "regression": 0}
FAIRNESS = {"group", "distance"}
ZERO = -0.6
EVERY = [
    (kind, name)
    for kind, task in TASKS.items()
    for name, term in terms.items()
    if not (task.shared or task.by_size)
    if term.fits(task.offers)
    and not FAIRNESS & set(term.reads)
    and not by_validation(LossSpec((Part(name),)))
    and not term.restart_at
    and not any(state.moved_by == "frozen" for state in term.states.values())
]
"""Losses that the validation loss moves, or whose model starts anew, are refused; see tests/assembly. So are arrays."""


def data(kind: str, rows: int = 300) -> tuple[torch.Tensor, np.ndarray]:
    generator, classes = np.random.default_rng(3), CLASSES[kind]
    target = generator.integers(0, classes, rows) if classes else generator.normal(size=rows)
    return torch.from_numpy(target), 2 * generator.normal(size=(rows, classes) if classes > 2 else rows)


def objective(kind: str, target: torch.Tensor, *parts: dict[str, Any], rounds: int = 100) -> Objective:
    classes = CLASSES[kind]
    facts = {"zero": torch.tensor(ZERO)}
    if classes:
        facts["class_prior"] = torch.bincount(target, minlength=classes) / len(target)
    sizes = Sizes(classes, rows=len(target))
    pieces = pieces_of(LossSpec.from_json({"parts": list(parts)}), facts, sizes, TASKS[kind].offer)
    return Objective(pieces, {"target": target}, classes=classes, rounds=rounds)


def kind_of(kind: str, name: str, **more: Any) -> str:
    return objective(kind, data(kind)[0], {"term": name, **more}).pieces[0].kind


def test_binary_cross_entropy_is_that_of_libraries() -> None:
    """LightGBM 4.6, binary_objective.hpp: gradient p - y, Hessian p (1 - p)."""
    target, scores = data("binary")
    slope, curve = objective("binary", target, {"term": "binary_cross_entropy"})(scores)
    p = 1 / (1 + np.exp(-scores))
    np.testing.assert_allclose(slope, p - target.numpy(), rtol=1e-9)
    np.testing.assert_allclose(curve, p * (1 - p), rtol=1e-9)


def test_multiclass_cross_entropy_is_that_of_lightgbm() -> None:
    """LightGBM 4.6, multiclass_objective.hpp: gradient p - y, Hessian C / (C - 1) p (1 - p)."""
    target, scores = data("multiclass")
    slope, curve = objective("multiclass", target, {"term": "cross_entropy"})(scores)
    p = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    np.testing.assert_allclose(slope, p - np.eye(3)[target.numpy()], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(curve, 1.5 * p * (1 - p), rtol=1e-9)


def test_squared_error_is_that_of_libraries() -> None:
    """LightGBM 4.6, regression_objective.hpp: gradient score - y, Hessian 1."""
    target, scores = data("regression")
    slope, curve = objective("regression", target, {"term": "squared"})(scores)
    np.testing.assert_allclose(slope, scores - target.numpy(), rtol=1e-9)
    np.testing.assert_allclose(curve, 1)


@pytest.mark.parametrize(("kind", "name"), EVERY)
def test_gradient_is_finite_and_hessian_positive_at_extremes(kind: str, name: str) -> None:
    target, scores = data(kind, 120)
    made = objective(kind, target, {"term": name})
    for size in (0.0, 1.0, 30.0, 1e4):
        slope, curve = made(size * scores)
        assert np.isfinite(slope).all()
        assert np.isfinite(curve).all()
        assert (curve > 0).all()
        assert curve.dtype == slope.dtype == np.float64
        assert curve.shape == scores.shape


@pytest.mark.parametrize(("kind", "name"), EVERY)
def test_gradient_is_that_of_the_sum_over_rows(kind: str, name: str) -> None:
    target, scores = data(kind, BLOCK)  # in one block, pairs are all pairs
    made = objective(kind, target, {"term": name})
    slope, _ = made(scores)
    classes = CLASSES[kind]
    prior = torch.bincount(target, minlength=classes) / len(target) if classes else None
    leaf = torch.from_numpy(scores).requires_grad_()
    spec = LossSpec.from_json({"parts": [{"term": name}]})
    loss = ComposedLoss(spec, prior, zero=ZERO, rows=BLOCK, offer=TASKS[kind].offer).double()
    value = loss(leaf, target, **({"index": torch.arange(BLOCK)} if loss._by_row else {}))
    (expected,) = torch.autograd.grad(len(target) * value, leaf)
    tolerance = 1e-3 if made.pieces[0].kind == "pairs" else 1e-7  # blocks are in single precision
    np.testing.assert_allclose(made.unit * slope, expected.numpy(), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(("kind", "name"), [one for one in EVERY if one[1] != "decorrelation"])
def test_a_factor_changes_nothing(kind: str, name: str) -> None:
    """Decorrelation has no gradient where trees begin, with equal outputs, so nothing tells its unit."""
    target, scores = data(kind, 120)
    one, other = (objective(kind, target, {"term": name, "scale": scale})(scores) for scale in (1.0, 1e-3))
    for found, expected in zip(other, one, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_how_terms_curve() -> None:
    assert kind_of("binary", "binary_cross_entropy") == "convex"
    assert kind_of("multiclass", "cross_entropy", smoothing=0.1) == "convex"
    assert kind_of("binary", "logit_adjustment") == "convex"
    assert kind_of("regression", "asymmetric_squared") == "convex"
    assert kind_of("binary", "generalised_cross_entropy") == "bent"  # concave for confident mistakes
    assert kind_of("regression", "absolute") == "bent"  # flat
    assert kind_of("regression", "poisson") == "convex"
    assert kind_of("regression", "tukey_biweight") == "bent"
    assert kind_of("regression", "general_robust") == "bent"  # its shape is learned
    assert kind_of("binary", "soft_f1") == "batch"
    assert kind_of("multiclass", "one_vs_rest_auc") == "batch"  # computed without the pairs
    assert kind_of("binary", "pairwise_auc") == "pairs"
    assert kind_of("binary", "smooth_average_precision") == "pairs"


def test_hessian_of_a_bent_loss_is_the_larger_of_its_size_and_the_gradients() -> None:
    """Generalised cross-entropy with q = 1 is 1 - p_y: derivatives -p' and -p'' of the sigmoid."""
    target, scores = torch.ones(7, dtype=torch.int64), np.linspace(-3, 3, 7)
    target[0] = 0
    made = objective("binary", target, {"term": "generalised_cross_entropy", "q": 1.0})
    slope, curve = made(scores)
    p = 1 / (1 + np.exp(-scores))
    first, second = p * (1 - p), p * (1 - p) * (1 - 2 * p)
    np.testing.assert_allclose(made.unit * np.abs(slope), first, rtol=1e-9)
    np.testing.assert_allclose(made.unit * curve, np.maximum(first, np.abs(second)), rtol=1e-9)


def test_constant_gradients_step_by_one_at_most() -> None:
    target, scores = data("regression")
    slope, curve = objective("regression", target, {"term": "absolute"})(scores)
    np.testing.assert_allclose(slope, np.sign(scores - target.numpy()))
    np.testing.assert_allclose(curve, 1)


def test_pairs_of_many_blocks_are_close_to_all_pairs() -> None:
    target, scores = data("binary", 20 * BLOCK + 7)
    made = objective("binary", target, {"term": "pairwise_auc"})
    slope, _ = made(scores)
    assert (slope != made(scores)[0]).any()  # blocks are drawn anew
    gap = scores[:, None] - scores[None, :]
    y = target.numpy()
    steep = 1 / (1 + np.exp(gap)) * (y[:, None] == 1) * (y[None, :] == 0)
    expected = (steep.sum(0) - steep.sum(1)) * len(y) / (y.sum() * (1 - y).sum())
    assert np.corrcoef(slope, expected)[0, 1] > 0.98


def test_weights_follow_the_rounds() -> None:
    target, scores = data("binary")
    falling = {"schedule": "linear", "start": 1.0, "end": 0.0}
    made = objective("binary", target, {"term": "binary_cross_entropy", "weight": falling}, rounds=4)
    sizes = [np.abs(made(scores)[0]).mean() for _ in range(4)]
    np.testing.assert_allclose(sizes, np.array([1.0, 0.75, 0.5, 0.25]) * sizes[0], rtol=1e-6)


@pytest.mark.parametrize("term", ["binary_cross_entropy", "soft_f1", "pairwise_auc"])
def test_learned_weights_move(term: str) -> None:
    target, scores = data("binary")
    made = objective("binary", target, {"term": term, "weight": {"learned": "uncertainty"}})
    assert made.learned() == (0.0,)
    for _ in range(5):
        made(scores)
    assert abs(made.learned()[0]) > 0.02


def test_scores_are_left_as_they_are() -> None:
    target, scores = data("binary")
    before = scores.copy()
    objective("binary", target, {"term": "binary_cross_entropy"})(scores)
    np.testing.assert_array_equal(scores, before)


def test_initial_scores_are_log_odds_log_shares_and_the_mean() -> None:
    assert initial_score(np.array([0, 0, 0, 1]), 2) == pytest.approx(np.log(1 / 3))
    np.testing.assert_allclose(initial_score(np.array([0, 0, 1, 2]), 3), np.log([0.5, 0.25, 0.25]))
    assert initial_score(np.array([1.0, 2.0, 6.0]), 0) == pytest.approx(3)
    assert np.isfinite(initial_score(np.array([0, 0]), 2))

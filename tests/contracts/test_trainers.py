"""The contract of training: what a candidate reaches is its own, whatever else is in its population.

For a model that is computed all at once, for a user's module under vmap, and for one member after another.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from losssearch.data import draws, load, make_replicas, partition
from losssearch.data.replicas import Replicas
from losssearch.judging.metric import MetricJudge
from losssearch.losses import loss_term, term, terms
from losssearch.losses.compose import ComposedLoss
from losssearch.losses.spec import LossSpec
from losssearch.models import LoopedModule, build_model
from losssearch.tasks import get_task
from losssearch.training import Candidate, Outcome, TrainingPlan, train_population
from losssearch.training.population_training import _permutation

DATA = {"binary": "breast_cancer", "multiclass": "wine", "regression": "diabetes"}
METRIC = {"binary": "f1", "multiclass": "balanced_accuracy", "regression": "mae"}
PLAN = TrainingPlan(epochs=6, batch_size=32, patience=6, weight_decay=0.05, clip=0.8)
RATES = (2e-3, 2e-2)


class Net(nn.Module):
    def __init__(self, features: int, outputs: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(features, 12), nn.Tanh(), nn.Linear(12, outputs))

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


class NormNet(nn.Module):
    def __init__(self, features: int, outputs: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.BatchNorm1d(features), nn.Linear(features, 8), nn.ReLU(), nn.Linear(8, outputs))

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


class DropNet(NormNet):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(nn.functional.dropout(x, 0.2, self.training))


MODELS = {"stacked": "mlp", "vectorised": Net, "looped": DropNet}
every_model = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
every_task = pytest.mark.parametrize("task", DATA)

FALLING = {"schedule": "linear", "start": 1.0, "end": 0.0}
SPECS: dict[str, list[list[dict[str, Any]]]] = {
    "binary": [
        [{"term": "binary_cross_entropy"}],
        [{"term": "focal", "weight": {"learned": "uncertainty"}}, {"term": "soft_f1", "weight": FALLING}],
        [{"term": "ldam", "reduction": {"cvar": 0.4}}, {"term": "pairwise_auc", "weight": 0.5}],
    ],
    "multiclass": [
        [{"term": "cross_entropy"}],
        [{"term": "focal", "weight": {"learned": "uncertainty"}}, {"term": "soft_f1", "weight": FALLING}],
        [{"term": "ldam", "reduction": {"cvar": 0.4}}, {"term": "one_vs_rest_auc", "weight": 0.5}],
    ],
    "regression": [
        [{"term": "squared"}],
        [{"term": "general_robust"}, {"term": "relative_absolute", "weight": FALLING}],
        [{"term": "huber", "reduction": {"cvar": 0.4}}, {"term": "log_cosh", "weight": {"learned": "uncertainty"}}],
    ],
}


@cache
def replicas(task: str) -> Replicas:
    dataset = load(f"builtin:{DATA[task]}")
    parts = partition(dataset, seed=0)
    drawn = draws(dataset, parts.search, seed=0, count=2, purpose="test")
    return make_replicas(dataset, drawn, held={"test": parts.test})


def candidates(task: str, *, rates: tuple[float, ...] = RATES, decision: str = "tuned") -> list[Candidate]:
    specs = [LossSpec.from_json({"parts": parts, "decision": decision}) for parts in SPECS[task]]
    return [Candidate(spec, rates) for spec in specs]


def single(term_name: str, *rates: float, **part: Any) -> Candidate:
    return Candidate(LossSpec.from_json({"parts": [{"term": term_name, **part}]}), rates or RATES)


def train(
    model: Any,
    task: str,
    population: Sequence[Candidate],
    plan: TrainingPlan = PLAN,
    *,
    data: Replicas | None = None,
    evaluate: Any = None,
    hold: bool = True,
) -> list[Outcome]:
    given = data or replicas(task)
    built = build_model(model, given.width, get_task(task).width(given.classes))
    judge = evaluate or MetricJudge(METRIC[task], task, given)
    return train_population(built, population, given, plan, judge, hold=hold)


def check_same(found: Outcome, expected: Outcome, *, tolerance: float = 0.0) -> None:
    """Equal in all that is said of a candidate; ``tolerance`` where sums were added in another order."""
    assert (found.state, found.rate, found.epochs, found.reason) == (
        expected.state,
        expected.rate,
        expected.epochs,
        expected.reason,
    )
    assert found.learned.keys() == expected.learned.keys()
    for name, kept in found.learned.items():
        np.testing.assert_allclose(kept, expected.learned[name], rtol=tolerance, atol=tolerance, err_msg=name)
    for name in ("utilities", "rungs"):
        ours, theirs = np.array(getattr(found, name)), np.array(getattr(expected, name))
        np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance, err_msg=name)
    assert found.held.keys() == expected.held.keys()
    for name, outputs in found.held.items():
        np.testing.assert_allclose(outputs, expected.held[name], rtol=20 * tolerance, atol=20 * tolerance)


@every_model
@every_task
def test_alone_equals_in_a_population(model: Any, task: str) -> None:
    population = candidates(task)
    together = train(model, task, population)
    for candidate, outcome in zip(population, together, strict=True):
        assert outcome.state == "completed"
        check_same(outcome, *train(model, task, [candidate]), tolerance=1e-5)


@every_model
@every_task
def test_order_of_the_candidates_does_not_matter(model: Any, task: str) -> None:
    population = candidates(task)
    forwards, backwards = train(model, task, population), train(model, task, population[::-1])
    for outcome, other in zip(forwards, backwards[::-1], strict=True):
        check_same(outcome, other, tolerance=1e-5)


@every_model
def test_same_seeds_give_the_same_to_the_bit(model: Any) -> None:
    data = replicas("binary")
    torch.manual_seed(0)
    first = train(model, "binary", candidates("binary"))
    torch.manual_seed(1)
    for outcome, again in zip(first, train(model, "binary", candidates("binary")), strict=True):
        check_same(outcome, again)
    others = train(model, "binary", candidates("binary"), data=replace(data, seeds=(1, 2)))
    assert any(a.held["test"].tolist() != b.held["test"].tolist() for a, b in zip(first, others, strict=True))


@pytest.mark.parametrize("model", ["mlp", Net, NormNet])
def test_a_replica_does_not_depend_on_the_others(model: Any) -> None:
    population, data = candidates("regression", rates=(1e-2,)), replicas("regression")
    together = train(model, "regression", population)
    for index in range(2):
        for outcome, alone in zip(
            together, train(model, "regression", population, data=data.take([index])), strict=True
        ):
            np.testing.assert_allclose(outcome.utilities[index], alone.utilities[0], rtol=1e-5)
            np.testing.assert_allclose(outcome.held["test"][index], alone.held["test"][0], rtol=1e-4, atol=1e-4)


@pytest.fixture
def failing_terms() -> Iterator[None]:
    """Terms whose value or gradient breaks down in the middle of a training."""

    @loss_term(reference="a loss that becomes nan at half of the training")
    def late_nan(prediction: Tensor, target: Tensor, progress: Tensor) -> Tensor:
        """Squared, then nan."""
        return (target - prediction).square() * torch.where(progress > 0.5, torch.nan, 1.0)

    @loss_term(reference="a loss that becomes infinite at half of the training")
    def late_inf(prediction: Tensor, target: Tensor, progress: Tensor) -> Tensor:
        """Squared, then infinite."""
        return (target - prediction).square() / torch.where(progress > 0.5, 0.0, 1.0)

    yield
    for made in (late_nan, late_inf):
        del term._registry[made.name]


@every_model
@pytest.mark.parametrize("bad", ["rate", "late_nan", "late_inf"])
def test_a_candidate_that_diverges_fails_and_alters_no_neighbour(failing_terms: None, model: Any, bad: str) -> None:
    """To the bit: the same population with a sane candidate in its place."""
    broken = single("squared", 1e30, 1e30) if bad == "rate" else single(bad)
    sane = candidates("regression")
    clean = train(model, "regression", [single("squared"), *sane])
    failed, *others = train(model, "regression", [broken, *sane])
    assert (failed.state, failed.reason, failed.utilities, failed.held) == ("failed", "diverged", (), {})
    for outcome, expected in zip(others, clean[1:], strict=True):
        check_same(outcome, expected)


@every_model
def test_a_rate_that_diverges_leaves_the_candidate_its_others(model: Any) -> None:
    (outcome,) = train(model, "regression", [single("squared", 1e30, 1e-2)])
    (alone,) = train(model, "regression", [single("squared", 1e-2)])
    check_same(outcome, alone, tolerance=1e-5)


class EndlessProgress:
    """Says that every member gets better with each epoch, but for the first, which gets worse."""

    def __init__(self) -> None:
        self.epoch = 0

    def __call__(self, outputs: Tensor, target: Tensor, tuned: Tensor) -> tuple[Tensor, Any]:
        self.epoch += 1
        utility = torch.full(outputs.shape[:2], float(self.epoch))
        utility[:, 0] *= -1
        return utility, lambda other: other


def test_a_member_that_has_stopped_cannot_fail_any_more(failing_terms: None) -> None:
    """It is computed on while its neighbours train; alone, its training would have ended."""
    plan = replace(PLAN, epochs=10, patience=2)
    (alone,) = train("linear", "regression", [single("late_nan", 1e-2)], plan, evaluate=EndlessProgress())
    stopped, running = train(
        "linear", "regression", [single("late_nan", 1e-2), single("squared", 1e-2)], plan, evaluate=EndlessProgress()
    )
    assert (alone.state, alone.epochs, running.epochs) == ("completed", 1, 10)
    check_same(stopped, alone, tolerance=1e-6)


@every_task
@pytest.mark.parametrize("where", ["train", "validation"])
def test_features_that_are_not_finite_fail_every_candidate(task: str, where: str) -> None:
    data = replicas(task)
    batch = getattr(data, where)
    spoilt = batch["features"].clone()
    spoilt[1, :, 0] = torch.inf
    outcomes = train("mlp", task, candidates(task), data=replace(data, **{where: {**batch, "features": spoilt}}))
    assert {outcome.state for outcome in outcomes} == {"failed"}
    reason = "diverged" if where == "train" else "the metric was never finite"
    assert {outcome.reason for outcome in outcomes} == {reason}


def as_module(model: Any, features: int, outputs: int, seed: int) -> nn.Module:
    """The model as a plain module of torch, with the weights that its population starts from."""
    if model != "mlp":
        torch.manual_seed(seed)
        return model(features, outputs)
    layers = [nn.Linear(features, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, outputs)]
    start = build_model("mlp", features, outputs).initial(seed)
    for index, layer in enumerate(layers[::2]):
        layer.load_state_dict({"weight": start[f"weight{index}"].T, "bias": start[f"bias{index}"]})
    return nn.Sequential(*layers)


@pytest.mark.parametrize("model", ["mlp", Net, NormNet])
@pytest.mark.parametrize(("task", "number"), [("multiclass", 2), ("regression", 1)])
def test_equals_a_plain_pytorch_loop(model: Any, task: str, number: int) -> None:
    """Oracle: torch.nn layers, torch.optim.AdamW, clip_grad_norm_ and a loop over mini-batches."""
    data, rate = replicas(task), 1e-2
    candidate = candidates(task, rates=(rate,), decision="fixed")[number]
    metric = {"multiclass": "log_loss", "regression": "mae"}[task]
    (outcome,) = train(model, task, [candidate], evaluate=MetricJudge(metric, task, data))
    classes = data.classes
    for r, seed in enumerate(data.seeds):
        judge = MetricJudge(metric, task, data.take([r]))
        module = as_module(model, data.width, get_task(task).width(classes), seed)
        loss = ComposedLoss.of_facts(candidate.spec, {name: value[r] for name, value in data.facts.items()}, data.sizes)
        weights = [p for p in module.parameters() if p.dim() > 1]
        others = [*(p for p in module.parameters() if p.dim() <= 1), *loss.parameters()]
        groups = [{"params": weights, "weight_decay": PLAN.weight_decay}, {"params": others, "weight_decay": 0.0}]
        optimiser = torch.optim.AdamW(groups, lr=rate)
        steps, utilities = len(data.train["target"][r]) // PLAN.batch_size, []
        for epoch in range(1, PLAN.epochs + 1):
            order = _permutation(len(data.train["target"][r]), seed, epoch)
            module.train()
            for step in range(steps):
                rows = order[step * PLAN.batch_size : (step + 1) * PLAN.batch_size]
                done = ((epoch - 1) * steps + step) / (PLAN.epochs * steps)
                for group in optimiser.param_groups:
                    group["lr"] = rate * (1 - 0.9 * done)
                optimiser.zero_grad()
                loss(module(data.train["features"][r, rows]), data.train["target"][r, rows], progress=done).backward()
                nn.utils.clip_grad_norm_([*weights, *others], PLAN.clip)
                optimiser.step()
            module.eval()
            with torch.no_grad():
                outputs = module(data.validation["features"][r])[None, None]
            outputs = outputs.squeeze(-1) if task != "multiclass" else outputs
            utility, _ = judge(outputs, data.validation["target"][r : r + 1], torch.tensor([False]))
            utilities.append(float(utility))
        assert max(utilities) > utilities[0]
        assert outcome.utilities[r] == pytest.approx(max(utilities), rel=1e-4)


def test_the_looped_model_is_one() -> None:
    assert isinstance(build_model(DropNet, 4, 1), LoopedModule)
    assert set(SPECS) == set(DATA) == {get_task(kind).kind for kind in SPECS}
    assert all(terms[part["term"]] for parts in SPECS.values() for spec in parts for part in spec)

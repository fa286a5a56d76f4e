"""Boosted trees behind the trainer's interface: the libraries' own objectives are the oracle."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import cache
from typing import Any

import lightgbm as lgb
import numpy as np
import pytest
import torch
import xgboost as xgb

from losssearch.data import draws, load, make_replicas, partition
from losssearch.data.replicas import Replicas
from losssearch.errors import OptionError
from losssearch.evaluation import get_metric
from losssearch.execution.job import Job, run_job
from losssearch.judging.metric import MetricJudge
from losssearch.losses.spec import LossSpec
from losssearch.models import BOOSTED
from losssearch.training import Candidate, Outcome, TrainingPlan
from losssearch.training.boosting import BOOSTED_RATES, ROUNDS, boosted_plan, train_boosted
from losssearch.training.outcome import Detailed
from tests.regrouped import regrouped

DATA = {"binary": "breast_cancer", "multiclass": "wine", "regression": "diabetes"}
METRIC = {"binary": "f1", "multiclass": "balanced_accuracy", "regression": "mae"}
PLAIN = {"binary": "binary_cross_entropy", "multiclass": "cross_entropy", "regression": "squared"}
PLAN = TrainingPlan(epochs=4, batch_size=100, patience=4)
every_library = pytest.mark.parametrize("library", BOOSTED)
every_task = pytest.mark.parametrize("task", DATA)


@cache
def replicas(task: str) -> Replicas:
    dataset = load(f"builtin:{DATA[task]}")
    parts = partition(dataset, seed=0)
    drawn = draws(dataset, parts.search, seed=0, count=2, purpose="test")
    return make_replicas(dataset, drawn, held={"test": parts.test})


def candidate(
    *parts: dict[str, Any], rates: tuple[float, ...] = (0.1,), decision: str = "fixed", **more: Any
) -> Candidate:
    return Candidate(LossSpec.from_json({"parts": list(parts), "decision": decision}), rates, **more)


def train(
    task: str, *candidates: Candidate, library: str = "lightgbm", plan: TrainingPlan = PLAN, **more: Any
) -> list[Outcome]:
    data = more.pop("data", replicas(task))
    judge = more.pop("judge", MetricJudge(METRIC[task], task, data))
    return train_boosted(library, candidates, data, plan, judge, hold=True, **more)


def check_same(found: Outcome, expected: Outcome) -> None:
    assert replace(found, held={}) == replace(expected, held={})
    assert found.held.keys() == expected.held.keys()
    for name, outputs in found.held.items():
        np.testing.assert_array_equal(outputs, expected.held[name])


class Last:
    """A judge to whom later is always better, and nothing is adjusted."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, outputs: torch.Tensor, target: torch.Tensor, tuned: torch.Tensor) -> Any:
        self.calls += 1
        return torch.full(outputs.shape[:2], float(self.calls)), lambda other: other


OWN = {"binary": "binary", "multiclass": "multiclass", "regression": "regression"}


@every_task
def test_cross_entropy_grows_the_trees_of_lightgbms_own_objective(task: str) -> None:
    """Oracle: lightgbm 4.7 with its objectives binary, multiclass and regression, at equal settings."""
    data = replicas(task)
    (found,) = train(task, candidate({"term": PLAIN[task]}), judge=Last())
    classes = {"num_class": data.classes} if task == "multiclass" else {}
    for r in range(data.count):
        own = lgb.train(
            {"objective": OWN[task], "learning_rate": 0.1, "verbosity": -1, "num_threads": 1, **classes},
            lgb.Dataset(data.train["features"][r].numpy(), data.train["target"][r].numpy()),
            num_boost_round=PLAN.epochs * ROUNDS,
        )
        expected = own.predict(data.held["test"]["features"][r].numpy(), raw_score=True)
        np.testing.assert_allclose(found.held["test"][r], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("task", "own"), [("binary", "binary:logistic"), ("regression", "reg:squarederror")])
def test_cross_entropy_grows_the_trees_of_xgboosts_own_objective(task: str, own: str) -> None:
    """Oracle: xgboost 3.2; of several classes its Hessian is 2 p (1 - p), another than LightGBM's."""
    data = replicas(task)
    (found,) = train(task, candidate({"term": PLAIN[task]}), library="xgboost", judge=Last())
    for r in range(data.count):
        target = data.train["target"][r].numpy()
        base = target.mean()
        booster = xgb.train(
            {"objective": own, "eta": 0.1, "tree_method": "hist", "nthread": 1, "base_score": float(base)},
            xgb.DMatrix(data.train["features"][r].numpy(), target),
            num_boost_round=PLAN.epochs * ROUNDS,
        )
        expected = booster.predict(xgb.DMatrix(data.held["test"]["features"][r].numpy()), output_margin=True)
        np.testing.assert_allclose(found.held["test"][r], expected, rtol=1e-4, atol=1e-4)


@every_library
@every_task
def test_a_candidate_reaches_the_same_alone_and_among_others(library: str, task: str) -> None:
    auxiliary = "soft_f1" if task != "regression" else "absolute"
    population = [
        candidate({"term": PLAIN[task]}, rates=(0.1, 0.3), decision="tuned"),
        candidate({"term": PLAIN[task]}, {"term": auxiliary, "weight": 0.5}),
    ]
    together = train(task, *population, library=library)
    for own, expected in zip(population, together, strict=True):
        (alone,) = train(task, own, library=library)
        assert alone.state == "completed"
        check_same(alone, expected)


@every_task
def test_held_outputs_are_adjusted_and_in_the_targets_unit(task: str) -> None:
    data = replicas(task)
    (found,) = train(task, candidate({"term": PLAIN[task]}, decision="tuned"))
    target = data.held["test"]["target"]
    if task == "regression":
        target = target * data.facts["target_scale"][:, None] + data.facts["target_mean"][:, None]
    values = get_metric(METRIC[task], task)(torch.from_numpy(found.held["test"]), target)
    assert found.held["test"].dtype == (np.float64 if task == "regression" else np.float32)
    assert (values > 0.85).all() if task != "regression" else (values < 60).all()


@every_library
def test_the_best_epoch_counts(library: str) -> None:
    judge = MetricJudge("log_loss", "binary", replicas("binary"))
    plan = replace(PLAN, epochs=12, patience=3)
    (found,) = train(
        "binary", candidate({"term": PLAIN["binary"]}, rates=(0.3,)), judge=judge, plan=plan, library=library
    )
    assert found.epochs < 12
    (short,) = train(
        "binary",
        candidate({"term": PLAIN["binary"]}, rates=(0.3,)),
        judge=judge,
        plan=replace(plan, epochs=found.epochs),
        library=library,
    )
    assert short.utilities == found.utilities
    np.testing.assert_array_equal(short.held["test"], found.held["test"])


class Spread:
    """A judge to whom scores that lie further apart are better: those of higher rates."""

    def __init__(self) -> None:
        self.members: list[int] = []

    def __call__(self, outputs: torch.Tensor, target: torch.Tensor, tuned: torch.Tensor) -> Any:
        self.members.append(outputs.shape[1])
        return outputs.std(dim=2), lambda other: other


def test_rungs_keep_the_better_half_and_what_is_protected() -> None:
    own, judge = {"term": PLAIN["binary"]}, Spread()
    found = train(
        "binary",
        candidate(own, rates=(0.01, 0.1)),
        candidate(own, rates=(0.02, 0.2)),
        candidate(own, rates=(1e-3, 1e-4, 1e-5), protected=True),
        candidate(own, rates=(1e-2, 1e-3)),
        plan=replace(PLAN, epochs=6, rungs=(2, 4), keep=0.3),
        judge=judge,
    )
    assert [outcome.state for outcome in found] == ["pruned", "completed", "completed", "pruned"]
    assert [[epoch for epoch, _ in outcome.rungs] for outcome in found] == [[2, 4], [2, 4], [2, 4], [2]]
    assert [outcome.rate for outcome in found] == [0.1, 0.2, 1e-3, 1e-2]
    assert [outcome.epochs for outcome in found] == [4, 6, 6, 2]
    assert [bool(outcome.held) for outcome in found] == [False, True, True, False]
    assert judge.members == [9, 9, 4, 4, 2, 2, 2]


def test_what_is_not_finite_fails_and_spoils_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    from losssearch.training.boosting.objective import Objective

    call = Objective.__call__

    def broken(self: Objective, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        slope, curve = call(self, scores)
        return (np.nan * slope if self.pieces[0].kind == "batch" and self.round > 3 else slope), curve

    monkeypatch.setattr(Objective, "__call__", broken)
    plain = candidate({"term": PLAIN["binary"]})
    bad, good = train("binary", candidate({"term": "soft_f1"}), plain)
    assert (bad.state, bad.reason, bad.held) == ("failed", "diverged", {})
    check_same(good, train("binary", plain)[0])


def test_a_deadline_ends_it_early() -> None:
    (found,) = train("binary", candidate({"term": PLAIN["binary"]}), deadline=time.time() - 1)
    assert found.epochs == 1
    assert found.reason.startswith("cut by the time budget")


def test_learned_scalars_are_told() -> None:
    (found,) = train("regression", candidate({"term": "general_robust"}))
    assert len(found.learned) == 2
    assert all(np.isfinite(value) for value in found.learned.values())


def test_a_job_that_names_trees_grows_them() -> None:
    own = candidate({"term": PLAIN["binary"]})
    job = Job(
        number=1,
        replicas="search",
        candidates=((own.spec.to_json(), own.rates, False),),
        task="binary",
        metric="f1",
        model="lightgbm",
        plan=PLAN,
        hold=True,
    )
    (found,), (expected,) = run_job(job, replicas("binary")), train("binary", own)
    check_same(found, expected)
    assert found.seconds > 0


def test_the_plan_counts_rounds_in_epochs() -> None:
    plan = boosted_plan(1000)
    assert plan.epochs * ROUNDS == 320
    assert (plan.rungs, plan.patience) == ((8, 16), 4)
    assert boosted_plan(1000, 3).rungs == ()
    assert sorted(BOOSTED_RATES) == list(BOOSTED_RATES)


def test_terms_on_groups_are_told_who_belongs_to_which() -> None:
    own = replicas("binary")
    ids = ((batch["features"][:, :, 0] > 0).long() for batch in (own.train, own.validation))
    grouped = regrouped(own, *ids, count=2)
    plain = {"term": PLAIN["binary"]}

    def gap(*parts: dict[str, Any]) -> float:
        (found,) = train("binary", candidate(*parts), data=grouped, judge=Last())
        features = grouped.held["test"]["features"]
        decided = torch.from_numpy(found.held["test"]) > 0
        rates = [decided[features[:, :, 0] > 0].double().mean(), decided[features[:, :, 0] <= 0].double().mean()]
        return abs(float(rates[0] - rates[1]))

    assert gap(plain, {"term": "group_disparity", "weight": 4.0}) < gap(plain) - 0.15


class Telling(Last):
    """Measures how far scores lie apart, and shows outputs in another view as well."""

    def __call__(self, outputs: torch.Tensor, target: torch.Tensor, tuned: torch.Tensor) -> Any:
        utility, _ = super().__call__(outputs, target, tuned)
        views = {":doubled": lambda other: 2 * other}
        return -(utility - 2).abs(), Detailed(lambda other: other, outputs.std(dim=2)[..., None], views)


def test_what_a_judge_tells_beside_is_kept_from_the_best_epoch() -> None:
    plain = candidate({"term": PLAIN["binary"]})
    (found,) = train("binary", plain, judge=Telling())
    (short,) = train("binary", plain, judge=Telling(), plan=replace(PLAN, epochs=2))
    assert found.epochs == 2
    assert found.details == short.details
    assert len(found.details) == 2
    np.testing.assert_array_equal(found.held["test:doubled"], 2 * found.held["test"])


def test_rows_that_are_streamed_are_refused() -> None:
    streamed: Any = replace(replicas("binary"), stream=object())  # type: ignore[arg-type]
    with pytest.raises(OptionError, match=r"needs its rows in memory.*max_rows"):
        train_boosted("lightgbm", [candidate({"term": PLAIN["binary"]})], streamed, PLAN, Last())

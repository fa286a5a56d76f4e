"""The exported objective: the numbers and the trees of the study, from one file that needs nothing of it."""

from __future__ import annotations

import ast
import importlib.util
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import lightgbm as lgb
import numpy as np
import pytest
import torch
import xgboost as xgb

from losssearch.data import draws, load, make_replicas, partition
from losssearch.data.replicas import Replicas
from losssearch.errors import OptionError, SpecError
from losssearch.export.boosting import objective_source, write_objective
from losssearch.export.bundle import write_bundle
from losssearch.export.facts import LossFacts
from losssearch.losses.kept import by_validation
from losssearch.losses.spec import LossSpec
from losssearch.models import BOOSTED
from losssearch.training import Candidate, TrainingPlan
from losssearch.training.boosting import ROUNDS, train_boosted

PARTS: dict[str, tuple[str, list[dict[str, Any]]]] = {
    "breast_cancer": ("binary", [{"term": "focal", "scale": 0.3}, {"term": "pairwise_auc", "weight": 0.5}]),
    "wine": (
        "multiclass",
        [{"term": "weighted_cross_entropy"}, {"term": "soft_f1", "weight": {"learned": "uncertainty"}}],
    ),
    "diabetes": (
        "regression",
        [{"term": "poisson"}, {"term": "relative_absolute", "weight": 0.5}, {"term": "general_robust", "weight": 0.5}],
    ),
}


def imported(text: str, folder: Path) -> ModuleType:
    file = folder / "objective.py"
    file.write_text(text, encoding="utf-8")
    spec = importlib.util.spec_from_file_location("exported_objective", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["exported_objective"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_every_loss_gives_the_searched_numbers(any_facts: LossFacts, tmp_path: Path) -> None:
    for library in BOOSTED:
        if by_validation(any_facts.spec):
            with pytest.raises(SpecError, match="is learned by the validation loss, which trees do not do"):
                objective_source(any_facts, library)
            continue
        if any(kept.state.moved_by == "frozen" for kept in any_facts.kept()):
            with pytest.raises(SpecError, match="is another state: train a network with it"):
                objective_source(any_facts, library)
            continue
        if any_facts.spec.restart_at:
            with pytest.raises(SpecError, match="lets the model start anew in mid-training, which trees do not do"):
                objective_source(any_facts, library)
            continue
        text = objective_source(any_facts, library)
        assert imported(text, tmp_path).check() < 1e-9
        roots = {
            (node.module if isinstance(node, ast.ImportFrom) else node.names[0].name).partition(".")[0]
            for node in ast.walk(ast.parse(text))
            if isinstance(node, ast.Import | ast.ImportFrom)
        }
        assert roots - sys.stdlib_module_names <= {"numpy", "torch"}


def data(name: str) -> Replicas:
    dataset = load(f"builtin:{name}")
    parts = partition(dataset, seed=0)
    return make_replicas(dataset, draws(dataset, parts.search, seed=0, count=1, purpose="test"), {"test": parts.test})


def last(outputs: torch.Tensor, target: torch.Tensor, tuned: torch.Tensor) -> Any:
    """A judge to whom later is always better, and nothing is adjusted."""
    last.calls = getattr(last, "calls", 0) + 1
    return torch.full(outputs.shape[:2], float(last.calls)), lambda other: other


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("library", BOOSTED)
@pytest.mark.parametrize("name", PARTS)
def test_training_with_it_grows_the_trees_of_the_study(name: str, library: str, weighted: bool, tmp_path: Path) -> None:
    """Sample weights go into the loss as in the study: a part over the whole batch is not a sum over its rows."""
    task, parts = PARTS[name]
    made, spec = data(name), LossSpec.from_json({"parts": parts, "decision": "fixed"})
    weight = None
    if weighted:
        weight = np.random.default_rng(0).uniform(0.1, 4, made.train["target"].shape[1])
        weight /= weight.mean()
        # XGBoost places its bins by the weights, which the study does not give it: few values have a bin each.
        rounded = (4 * made.train["features"]).round() / 4
        train = {**made.train, "features": rounded, "weight": torch.from_numpy(weight)[None]}
        made = replace(made, train=train)
    plan = TrainingPlan(epochs=3, batch_size=100)
    (expected,) = train_boosted(library, [Candidate(spec, (0.1,))], made, plan, last, hold=True)
    prior = tuple(made.facts["class_prior"][0].tolist()) if made.classes else None
    moments = {"target_mean": torch.zeros(1), "target_scale": torch.ones(1)} | dict(made.facts)
    mean, scale = moments["target_mean"].item(), moments["target_scale"].item()  # in the labels' own unit
    facts = LossFacts(spec, task, classes=made.classes or 2, class_prior=prior, target_mean=mean, target_scale=scale)
    exported = imported(objective_source(facts, library, rate=0.1), tmp_path)
    labels, features = made.train["target"][0].numpy() * scale + mean, made.train["features"][0].numpy()
    own = exported.TreeObjective(plan.epochs * ROUNDS, seed=made.seeds[0])
    others = made.held["test"]["features"][0].numpy()
    start = exported.initial_scores(labels, weight)
    if library == "lightgbm":
        parameters = {**exported.PARAMETERS, "objective": own, "num_threads": 1}
        rows = lgb.Dataset(features, labels, init_score=start, weight=weight)
        booster = lgb.train(parameters, rows, plan.epochs * ROUNDS)
        found = booster.predict(others, raw_score=True)
    else:
        rows = xgb.DMatrix(features, labels, base_margin=start, weight=weight)
        trees = xgb.train(exported.PARAMETERS, rows, plan.epochs * ROUNDS, obj=own)
        found = trees.predict(xgb.DMatrix(others), output_margin=True)
    scores = (found + start[:1] - mean) / scale
    np.testing.assert_allclose(scores, expected.held["test"][0], rtol=1e-3, atol=1e-3)


def test_the_default_objective_serves_one_training_after_another(tmp_path: Path) -> None:
    spec = LossSpec.from_json({"parts": [{"term": "general_robust"}]})
    exported = imported(objective_source(LossFacts(spec, "regression"), "lightgbm"), tmp_path)
    rng = np.random.default_rng(0)
    features, labels = rng.normal(size=(200, 3)), rng.normal(size=200)
    rows = lgb.Dataset(features, labels, init_score=exported.initial_scores(labels), free_raw_data=False)
    parameters = {**exported.PARAMETERS, "objective": exported.fobj, "num_threads": 1}
    first, second = (lgb.train(dict(parameters), rows, 12).predict(features, raw_score=True) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_weights_of_rows_count(tmp_path: Path) -> None:
    spec = LossSpec.from_json({"parts": [{"term": "binary_cross_entropy"}]})
    exported = imported(objective_source(LossFacts(spec, "binary"), "lightgbm"), tmp_path)
    rows = lgb.Dataset(np.zeros((4, 1)), [0, 1, 0, 1], weight=[1.0, 2.0, 3.0, 4.0])
    slope, curve = exported.fobj(np.zeros(4), rows)
    np.testing.assert_allclose(slope, [0.5, -1.0, 1.5, -2.0])
    np.testing.assert_allclose(curve, [0.25, 0.5, 0.75, 1.0])
    rows.set_weight([1.0, 1.0, 1.0, 1.0])
    np.testing.assert_allclose(exported.fobj(np.zeros(4), rows)[0], [0.5, -0.5, 0.5, -0.5])


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("library", BOOSTED)
@pytest.mark.parametrize("name", PARTS)
def test_estimators_of_scikit_learn_take_it(name: str, library: str, weighted: bool, tmp_path: Path) -> None:
    """They grow the trees of the library's own training, one training after another."""
    task, parts = PARTS[name]
    made = data(name)
    prior = tuple(made.facts["class_prior"][0].tolist()) if made.classes else None
    facts = LossFacts(LossSpec.from_json({"parts": parts}), task, classes=made.classes or 2, class_prior=prior)
    exported = imported(objective_source(facts, library, rate=0.1), tmp_path)
    labels, features = made.train["target"][0].numpy(), made.train["features"][0].numpy()
    weight = np.random.default_rng(0).uniform(0.5, 2, len(labels)) if weighted else None
    start = exported.initial_scores(labels)
    settings, regression = dict(exported.PARAMETERS), task == "regression"
    settings.pop("num_class", None)
    if library == "lightgbm":
        rows = lgb.Dataset(features, labels, init_score=start, weight=weight)
        native = {**exported.PARAMETERS, "objective": exported.fobj, "num_threads": 1}
        expected = lgb.train(native, rows, 5).predict(features, raw_score=True)
        kind = lgb.LGBMRegressor if regression else lgb.LGBMClassifier
        model = kind(**{**settings, "objective": exported.fobj, "n_estimators": 5, "n_jobs": 1})
        for _ in range(2):
            model.fit(features, labels, init_score=start, sample_weight=weight)
            np.testing.assert_allclose(model.predict(features, raw_score=True), expected, rtol=1e-6)
    else:
        matrix = xgb.DMatrix(features, labels, base_margin=start, weight=weight)
        expected = xgb.train(exported.PARAMETERS, matrix, 5, obj=exported.fobj).predict(
            xgb.DMatrix(features), output_margin=True
        )
        kind = xgb.XGBRegressor if regression else xgb.XGBClassifier
        model = kind(**{**settings, "objective": exported.fobj, "n_estimators": 5, "n_jobs": 1})
        for _ in range(2):
            model.fit(features, labels, base_margin=start, sample_weight=weight)
            np.testing.assert_allclose(model.predict(features, output_margin=True), expected, rtol=1e-5, atol=1e-6)


def test_labels_and_scores_are_told_from_scores_and_data(tmp_path: Path) -> None:
    spec = LossSpec.from_json({"parts": [{"term": "binary_cross_entropy"}]})
    exported = imported(objective_source(LossFacts(spec, "binary"), "lightgbm"), tmp_path)
    slope, curve = exported.fobj(np.array([0, 1, 0, 1]), np.zeros(4))
    np.testing.assert_allclose(slope, [0.5, -0.5, 0.5, -0.5])
    slope, curve = exported.fobj(np.array([1, 1, 0, 1]), np.array([0.0, 0.0, 0.0, 1.0]), np.array([1.0, 2.0, 3.0, 0.0]))
    np.testing.assert_allclose(slope, [-0.5, -1.0, 1.5, 0.0])
    np.testing.assert_allclose(curve, [0.25, 0.5, 0.75, 0.0], atol=1e-6)  # a Hessian is above zero


def test_it_is_written_from_a_bundle_and_checks_itself(tmp_path: Path) -> None:
    spec = LossSpec.from_json({"parts": [{"term": "poly1"}, {"term": "soft_f1", "weight": 0.5}]})
    write_bundle(tmp_path / "bundle", spec, task="binary", class_prior=[0.7, 0.3])
    file = write_objective(tmp_path / "bundle", tmp_path / "trees", "lightgbm", rate=0.3)
    assert "'learning_rate': 0.3" in file.read_text(encoding="utf-8").replace('"', "'")
    assert (tmp_path / "trees" / "loss.json").is_file()
    assert "lightgbm" in (tmp_path / "trees" / "requirements.txt").read_text(encoding="utf-8")
    run = subprocess.run([sys.executable, "-I", file], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert "poly1" in run.stdout


def test_groups_are_given_to_a_loss_that_reads_them(tmp_path: Path) -> None:
    parts = [{"term": "binary_cross_entropy"}, {"term": "group_disparity", "weight": 4.0}]
    text = objective_source(LossFacts(LossSpec.from_json({"parts": parts}), "binary", groups=2), "lightgbm")
    assert '"objective": TreeObjective(group=group)' in text
    exported = imported(text, tmp_path)
    with pytest.raises(ValueError, match="this loss reads group"):
        exported.TreeObjective()
    rng = np.random.default_rng(0)
    group = rng.integers(0, 2, 400)
    features = np.stack([group + 0.5 * rng.normal(size=400), rng.normal(size=400)], axis=1)
    labels = (features.sum(1) + 0.5 * rng.normal(size=400) > 0.5).astype(int)

    def gap(objective: Any) -> float:
        rows = lgb.Dataset(features, labels, init_score=exported.initial_scores(labels))
        booster = lgb.train({**exported.PARAMETERS, "objective": objective, "num_threads": 1}, rows, 40)
        decided = booster.predict(features, raw_score=True) + exported.initial_scores(labels) > 0
        return abs(float(decided[group == 1].mean() - decided[group == 0].mean()))

    fair = gap(exported.TreeObjective(40, group=group))
    assert fair == gap(exported.TreeObjective(40, group=np.eye(2)[group]))
    assert fair < gap("binary") - 0.1


def test_another_library_is_refused() -> None:
    spec = LossSpec.from_json({"parts": [{"term": "squared"}]})
    with pytest.raises(OptionError, match="lightgbm or xgboost, got 'catboost'"):
        objective_source(LossFacts(spec, "regression"), "catboost")

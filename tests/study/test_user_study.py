"""A search that calls a training function: which trials there are, what they are held to, and what comes of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import losssearch as ls
from losssearch.errors import InputError, InterruptedStudyError, ModelError, OptionError
from losssearch.storage.records import TrialRecord, TrialState
from losssearch.storage.sql import SqlStore
from losssearch.training.handle import TrialHandle

SMALL = {"metric": "dice", "task": "binary", "trials": 12, "epochs": 4, "confirm_seeds": 3, "mlflow": False}


def descend(loss: nn.Module, trial: TrialHandle) -> None:
    """Four steps of a linear model on rows of the draw's seed; reports the overlap of the predicted positives."""
    rows = torch.randn(200, 3)
    target = (rows @ torch.tensor([1.0, -1.0, 0.5]) + torch.randn(200) > 1).float()
    weights = torch.zeros(3, requires_grad=True)
    for epoch in range(trial.epochs):
        (slope,) = torch.autograd.grad(loss(rows @ weights, target, progress=trial.progress), weights)
        weights = (weights - (trial.rate or 0.3) * slope).detach().requires_grad_()
        found, true = rows @ weights > 0.5, target > 0
        trial.report(epoch + 1, 2 * (found & true).sum() / (found.sum() + true.sum()))
        if trial.should_stop():
            return


def searched(folder: Path, function: Callable[..., Any] = descend, **options: Any) -> ls.SearchResult:
    return ls.search(train=function, out=folder / "study", **{**SMALL, **options})


def trials(folder: Path, study: str = "study") -> list[TrialRecord]:
    store = SqlStore(f"sqlite:///{folder / study / 'study.db'}", create=False)
    try:
        return store.trials(study)
    finally:
        store.close()


def essence(folder: Path) -> list[tuple[object, ...]]:
    return [(t.number, t.name, t.key, t.state, t.values, t.rungs, t.twin) for t in trials(folder)]


def test_a_search_ends_with_leaderboard_verdict_and_bundle(tmp_path: Path) -> None:
    result = searched(tmp_path)
    content = json.loads((tmp_path / "study/result.json").read_text())
    assert content["metric"] == {"name": "dice", "direction": "maximize", "unit": ""}
    assert content["data"]["rows"] == {"train": None, "validation": None, "test": None}
    assert content["best"]["test"] is None
    assert len(content["best"]["validation"]["values"]) == 3
    assert content["trials"]["total"] == 12
    names = [entry["name"] for entry in content["baselines"]]
    assert "cross_entropy" in names
    assert "cross_entropy_tuned" not in names  # what is tuned after training is the function's own matter
    assert "measured by your function on 3 fresh seeds" in result.verdict.text
    assert result.verdict.test == "Student's t of the differences paired by seed"
    low, high = result.verdict.interval
    assert low <= result.verdict.difference <= high
    board = result.leaderboard
    assert list(board["validation"]) == sorted(board["validation"], reverse=True)
    assert result.loss(torch.zeros(4), torch.ones(4)).ndim == 0
    assert "on fresh seeds" not in (tmp_path / "study/report.html").read_text()  # it is inside the figure
    card = (tmp_path / "study/export/MODEL_CARD.md").read_text()
    assert "Nothing was tuned after training" in card


def test_half_are_the_menus_and_all_of_those_go_to_the_end(tmp_path: Path) -> None:
    searched(tmp_path)
    found = trials(tmp_path)
    assert [t.origin for t in found] == ["baseline"] * 6 + ["searched"] * 6
    assert all(t.state is TrialState.COMPLETED for t in found[:6] if t.twin is None)
    assert all([step for step, _ in t.rungs] == [2, 4] for t in found[:6])


def test_a_searched_loss_behind_the_menus_median_stops(tmp_path: Path) -> None:
    told: dict[int, list[bool]] = {}

    def function(loss: nn.Module, trial: TrialHandle) -> None:
        for step in range(1, 5):
            # Of the menu, the median at step 2 is 2.5: trials 0 to 5 report their number. Searched ones report 2.
            trial.report(step, float(trial.number) if trial.number < 6 else 2.0)
            if trial.stage == "search":
                told.setdefault(trial.number, []).append(trial.should_stop())
            if trial.should_stop():
                return

    searched(tmp_path, function)
    assert told[0] == [False] * 4
    behind = [t for t in trials(tmp_path) if t.number >= 6 and t.twin is None]
    assert behind
    assert all(told[t.number] == [False, True] and t.state is TrialState.PRUNED for t in behind)


def test_each_stage_has_seeds_of_its_own_and_each_loss_the_same_ones(tmp_path: Path) -> None:
    seeds: dict[str, dict[int, list[int]]] = {}

    def function(loss: nn.Module, trial: TrialHandle) -> float:
        seeds.setdefault(trial.stage, {}).setdefault(trial.number, []).append(trial.seed)
        return float(torch.rand(())) + trial.number

    searched(tmp_path, function, draws=2)
    stages = {stage: {tuple(own[:1]) for own in found.values()} for stage, found in seeds.items()}
    assert sorted(stages) == ["confirmation", "reevaluation-1", "reevaluation-2", "search"]
    assert all(len(first) == 1 for first in stages.values())
    assert len({first for found in stages.values() for first in found}) == 4
    assert {len(own) for own in seeds["search"].values()} == {2}


@pytest.mark.parametrize("calls", [3, 9, 20])
def test_a_stopped_search_goes_on_as_if_it_had_not_been(tmp_path: Path, calls: int) -> None:
    left = calls

    def interrupted(loss: nn.Module, trial: TrialHandle) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise KeyboardInterrupt
        descend(loss, trial)

    interrupted.__qualname__, interrupted.__module__ = descend.__qualname__, descend.__module__
    whole = searched(tmp_path / "whole").to_json()
    with pytest.raises(InterruptedStudyError, match="resume=True continues it"):
        searched(tmp_path / "parts", interrupted)
    resumed = searched(tmp_path / "parts", resume=True).to_json()
    assert essence(tmp_path / "parts") == essence(tmp_path / "whole")
    assert resumed["verdict"] == whole["verdict"]


def test_a_resume_with_another_metric_is_refused(tmp_path: Path) -> None:
    searched(tmp_path, lambda loss, trial: 0.5)
    with pytest.raises(OptionError, match="started with direction left out, got 'minimize'; leave direction out"):
        searched(tmp_path, lambda loss, trial: 0.5, resume=True, direction="minimize")


def test_a_function_that_always_fails_says_why(tmp_path: Path) -> None:
    def broken(loss: nn.Module, trial: TrialHandle) -> float:
        raise FileNotFoundError(f"no masks/{trial.number}.png")

    with pytest.raises(ModelError, match=r"all 12 trials failed, .* FileNotFoundError: no masks/11.png") as caught:
        searched(tmp_path, broken)
    assert caught.value.exit_code == 2
    with pytest.raises(ModelError, match="must return its metric"):
        searched(tmp_path / "silent", lambda loss, trial: None)


def test_some_failures_do_not_stop_a_search(tmp_path: Path) -> None:
    def moody(loss: nn.Module, trial: TrialHandle) -> float:
        if trial.number % 3 == 1:
            raise ZeroDivisionError("no positives")
        return float(trial.number)

    content = searched(tmp_path, moody).to_json()
    failed = [t for t in trials(tmp_path) if t.state is TrialState.FAILED]
    assert content["trials"]["failed"] == len(failed) > 0
    assert all(t.reason == "the training function raised ZeroDivisionError: no positives" for t in failed)


def test_less_is_better_where_the_catalogue_or_the_user_says_so(tmp_path: Path) -> None:
    def function(loss: nn.Module, trial: TrialHandle) -> float:
        return 10.0 - trial.number

    options = {"task": "regression", "trials": 4}
    content = searched(tmp_path / "known", function, **options, metric="rmse").to_json()
    assert content["metric"]["direction"] == "minimize"
    content = searched(tmp_path / "own", function, **options, metric="mine", direction="minimize").to_json()
    assert content["metric"]["direction"] == "minimize"
    assert content["searched"]["trial"] == 3
    assert content["verdict"]["recommended"] == "searched"  # lower by one on every seed
    assert content["verdict"]["difference"] > 0


def test_rates_are_swept_where_they_are_given(tmp_path: Path) -> None:
    searched(tmp_path, rates=(0.01, 0.3), trials=4)
    assert {t.rate for t in trials(tmp_path)} <= {0.01, 0.3}
    searched(tmp_path / "none", trials=4)
    assert {t.rate for t in trials(tmp_path / "none")} == {None}


def test_a_time_budget_ends_a_search(tmp_path: Path) -> None:
    content = searched(tmp_path, trials=5_000, time_budget=4).to_json()
    assert 3 <= content["trials"]["total"] < 5_000
    assert content["verdict"]["text"]


def test_many_classes_and_their_shares_reach_the_loss(tmp_path: Path) -> None:
    def function(loss: nn.Module, trial: TrialHandle) -> float:
        return -float(loss(torch.randn(30, 3), torch.arange(30) % 3))

    content = searched(tmp_path, function, task="multiclass", class_prior=(1, 1, 2), trials=4).to_json()
    assert content["data"]["classes"] == ["0", "1", "2"]
    bundle = json.loads((tmp_path / "study/export/loss.json").read_text())
    assert bundle["class_prior"] == [0.25, 0.25, 0.5]


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ({"task": None}, r"must come with task= \(binary, "),
        ({"task": "segmentation"}, "unknown task"),
        ({"metric": None}, "must come with metric=NAME"),
        ({"direction": "up"}, "direction must be maximize or minimize, got 'up'"),
        ({"metric": "f1", "direction": "minimize"}, "f1 is a metric to maximize"),
        ({"task": "multiclass"}, "must come with classes=N"),
        ({"task": "multiclass", "classes": 3, "class_prior": (0.5, 0.5)}, "class_prior must be 3 shares"),
        ({"classes": 4}, "task binary has 2 classes, got 4"),
        ({"class_prior": (1.0, 0.0)}, "class_prior must be 2 shares above 0"),
        ({"task": "regression", "classes": 2}, "not for regression"),
        ({"target": "y", "drop": ["a"]}, "leave out target, drop"),
        ({"data": "builtin:wine"}, "give one of them"),
        ({"train": "module:function"}, "must be a function"),
        ({"rates": (0.0,)}, "rates must be finite and above 0"),
        ({"draws": 0}, r"draws must lie in \[1, 1000\], got 0"),
        ({"epochs": 0}, "^epochs must be at least 1, got 0"),
        ({"resources": {"cpus": 1}}, "resources are num_cpus, num_gpus, memory; got"),
        ({"resources": {"num_cpus": "two"}}, "must be a number, got 'two'"),
    ],
)
def test_what_cannot_be_used_is_refused_before_anything_is_written(
    tmp_path: Path, options: dict[str, Any], rule: str
) -> None:
    with pytest.raises(InputError, match=rule):
        ls.search(**{"train": descend, "out": tmp_path / "study", **SMALL, **options})
    assert not (tmp_path / "study").exists()


def test_neither_data_nor_function_is_refused() -> None:
    with pytest.raises(OptionError, match="either data, or a training function"):
        ls.search()
    with pytest.raises(OptionError, match="with train=FUNCTION alone"):
        ls.search("builtin:wine", target="target", direction="maximize")

"""A study whose metric has numbers of its own: menu and portfolio are aimed at them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from losssearch.assembly.from_data import assemble_data
from losssearch.assembly.from_function import assemble_function
from losssearch.assembly.place import Place
from losssearch.losses.spec import LossSpec, Part
from losssearch.request import Request
from losssearch.space import load_space
from losssearch.study.observer import SilentObserver
from losssearch.study.study_context import StudyContext

AIMED = {
    "cost(fp=2,fn=6)": ("binary", "breast_cancer", Part("cost_sensitive_cross_entropy", {"ratio": 3.0})),
    "pinball(q=0.8)": ("regression", "diabetes", Part("quantile", {"quantile": 0.8})),
}


def on_data(tmp_path: Path, metric: str, data: str, **more: Any) -> StudyContext:
    options = Request(data=f"builtin:{data}", metric=metric, out=tmp_path, workers=0, mlflow=False, **more)
    return assemble_data(Place(options), SilentObserver()).context


def on_function(tmp_path: Path, metric: str, task: str) -> StudyContext:
    options = Request(train=print, metric=metric, task=task, out=tmp_path, workers=0, mlflow=False)
    return assemble_function(Place(options), lambda loss, trial: 0.0, SilentObserver()).context


@pytest.mark.parametrize("metric", AIMED)
@pytest.mark.parametrize("kind", ["data", "function"])
def test_menu_and_portfolio_take_over_the_numbers(tmp_path: Path, metric: str, kind: str) -> None:
    task, data, part = AIMED[metric]
    context = on_data(tmp_path, metric, data) if kind == "data" else on_function(tmp_path, metric, task)
    assert LossSpec((part,)) in {baseline.spec() for baseline in context.task.menu}
    plain = load_space(task).portfolio
    first = context.space.portfolio[: -len(plain)]
    assert context.space.portfolio[-len(plain) :] == plain
    assert first
    assert all(part.hyperparameters in [p.hyperparameters for p in spec.parts if p.name == part.name] for spec in first)
    assert "$metric" not in str(context.settings.space)


def test_a_metric_without_numbers_leaves_them_out(tmp_path: Path) -> None:
    context = on_data(tmp_path, "rmse", "diabetes")
    assert context.space.portfolio == load_space("regression").portfolio
    assert "$metric" not in str(context.settings.space)

"""A space with a term that the validation loss learns is refused in one line where nothing can move it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import losssearch as ls
from losssearch.errors import OptionError
from losssearch.judging.surrogate import surrogate
from losssearch.tasks import TASKS

SPACE = "task: {task}\nmax_parts: 1\nslots:\n  base:\n    terms:\n      cross_entropy:\n      auto_balance:\n"


@pytest.mark.parametrize("library", ["lightgbm", "xgboost"])
def test_trees_are_not_offered_it(tmp_path: Path, library: str) -> None:
    with pytest.raises(OptionError, match=f"^auto_balance of the space .*{library} grows trees .*give another space"):
        ls.search(
            "builtin:digits",
            space_text=SPACE.format(task="multiclass"),
            model=library,
            trials=4,
            workers=0,
            out=str(tmp_path / "run"),
            mlflow=False,
        )
    assert not (tmp_path / "run" / "study.db").exists()


def test_a_training_function_is_not_offered_it(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"auto_balance of the space .* a training function of your own"):
        ls.search(
            train=lambda loss, trial: 0.0,
            task="binary",
            metric="accuracy",
            space_text=SPACE.format(task="binary"),
            trials=4,
            workers=0,
            out=str(tmp_path / "run"),
            mlflow=False,
        )


@pytest.mark.parametrize(
    ("metric", "task", "term", "units"),
    [
        ("balanced_accuracy", "multiclass", "cross_entropy", "class"),
        ("accuracy", "binary", "binary_cross_entropy", ""),
        ("worst_class_recall", "multiclass", "bounded_group_loss", "class"),
        ("worst_group(accuracy)", "multiclass", "bounded_group_loss", "group"),
        ("worst_cell(accuracy)", "binary", "bounded_group_loss", "cell"),
        ("pinball(0.9)", "regression", "quantile", ""),
        ("mae", "regression", "absolute", ""),
        ("rmse", "regression", "squared", ""),
    ],
)
def test_the_surrogate_of_a_metric(metric: str, task: str, term: str, units: str) -> None:
    found: Any = surrogate(metric, task)
    (part,) = found.spec.parts
    assert (part.name, found.units) == (term, units)
    assert part.hyperparameters.get("quantile", 0.9) == 0.9


def test_every_task_has_one_for_its_default_metric() -> None:
    assert all(surrogate(task.metric, kind).spec.parts for kind, task in TASKS.items())

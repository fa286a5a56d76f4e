"""``losssearch metrics``: the list, also of a user's own."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from losssearch.evaluation import declaring, metrics_for


@pytest.fixture(autouse=True)
def _registry() -> Iterator[None]:
    """What a test declares is forgotten."""
    before = list(declaring.records())
    yield
    declaring._records[:] = before


def test_table_names_every_metric(run: Callable[..., Any]) -> None:
    done = run("metrics")
    assert (done.code, done.err) == (0, "")
    assert all(name in done.out for kind in ("binary", "multiclass", "regression") for name in metrics_for(kind))


def test_one_kind_as_json(run: Callable[..., Any]) -> None:
    shown = json.loads(run("metrics", "--task", "binary", "--json").out)
    assert [row["name"] for row in shown] == [*metrics_for("binary"), "worst_cell(accuracy)", "worst_group(accuracy)"]
    assert shown[2] == {
        "task": "binary",
        "name": "f1",
        "direction": "maximize",
        "tuned": "threshold",
        "unit": "share",
        "summary": "Harmonic mean of precision and recall; 0 where nothing is positive and nothing predicted so.",
        "source": "",
    }


def test_an_imported_metric_is_listed(run: Callable[..., Any], tmp_path: Path) -> None:
    file = tmp_path / "listed_metric.py"
    file.write_text(
        "import losssearch as ls\n\n\n"
        "@ls.metric(direction='minimize', task='regression')\n"
        "def bias(outputs, target):\n    '''Mean error.'''\n    return (outputs - target).mean().abs()\n"
    )
    shown = json.loads(run("metrics", "--task", "regression", "--json", "--import", str(file)).out)
    assert next(row for row in shown if row["name"] == "bias")["summary"] == "Mean error."


def test_an_unknown_kind_of_task_is_refused(run: Callable[..., Any]) -> None:
    done = run("metrics", "--task", "regresion")
    assert done.code == 2
    assert "did you mean regression" in done.err

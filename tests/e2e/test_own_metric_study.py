"""A study by a metric of the user's own: a function, told by its source when it is resumed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

import losssearch as ls
from losssearch.cli.app import main
from losssearch.errors import OptionError


def f2(decisions: Tensor, target: Tensor) -> Tensor:
    hits = (decisions * target).sum()
    return 5 * hits / (decisions.sum() + 4 * target.sum()).clamp(min=1)


def _search(out: Path, **options: Any) -> ls.SearchResult:
    given = {"target": "target", "metric": f2, "direction": "maximize", "trials": 2, "epochs": 1, "draws": 2}
    given |= {"rates": (3e-3,), "confirm_seeds": 2, "workers": 0, "mlflow": False, "verbose": 0, "out": out}
    return ls.search("builtin:breast_cancer", **{**given, **options})


def test_a_function_is_a_metric_and_a_changed_one_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def changed(decisions: Tensor, target: Tensor) -> Tensor:
        return f2(decisions, target) / 2

    out = tmp_path / "study"
    first = _search(out)
    result = json.loads((out / "result.json").read_text())
    assert result["metric"] == {"name": "f2", "direction": "maximize", "unit": ""}
    assert 0 < result["best"]["test"]["mean"] <= 1
    assert (out / "report.html").exists()
    again = _search(out, resume=True)
    assert str(again.verdict) == str(first.verdict)
    changed.__name__ = "f2"
    with pytest.raises(OptionError, match=r"these differ: the source of metric \(started with"):
        _search(out, resume=True, metric=changed)
    with pytest.raises(OptionError, match=r"resume=True needs metric again: .*ls.search\(…, resume=True, metric=…\)"):
        ls.search(out=out, resume=True, verbose=0)
    assert main(["search", "--resume", "--out", str(out)]) == 2
    said = capsys.readouterr().err
    assert "--resume needs --metric again: " in said
    assert "give them in Python, as in ls.search(…, resume=True, metric=…)" in said
    assert "declares in a file, give --import FILE.py and --metric by its name" in said


def test_a_function_without_a_direction_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="the metric f2 needs a direction"):
        _search(tmp_path / "study", direction=None)
    assert not (tmp_path / "study").exists()


@pytest.mark.nightly
def test_a_ray_worker_calls_the_function(tmp_path: Path) -> None:
    here, there = _search(tmp_path / "here"), _search(tmp_path / "there", workers=1)
    assert str(here.verdict) == str(there.verdict)
    boards = [(tmp_path / name / "leaderboard.json").read_text() for name in ("here", "there")]
    assert boards[0] == boards[1]

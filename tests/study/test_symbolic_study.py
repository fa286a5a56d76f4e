"""A study of formulas: bred from round to round, the same when it was killed in between, and exported."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import losssearch as ls
from losssearch.space import load_space
from losssearch.storage.records import TrialState
from losssearch.study.loop import Loop
from tests.study.oracle import Oracle, context
from tests.study.test_loop import essence


def run(folder: Path, executor: Oracle) -> Loop:
    shared = context(folder, executor, trials=120)
    shared.space = load_space("symbolic", "multiclass")
    return Loop(shared)


def test_a_study_that_was_killed_breeds_the_same_formulas(tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    (tmp_path / "parts").mkdir()
    whole = run(tmp_path / "whole", Oracle()).run()
    for dying in (3, 2, 2):
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "parts", Oracle(dying=dying)).run()
    resumed = run(tmp_path / "parts", Oracle()).run()
    assert essence(resumed) == essence(whole)
    searched = [trial for trial in whole if trial.origin == "searched"]
    assert len({trial.key for trial in searched}) == 105
    assert sum(trial.state is TrialState.COMPLETED for trial in searched) > 10


def test_a_search_by_the_space_s_short_name_ends_with_a_formula_that_stands_alone(tmp_path: Path) -> None:
    result = ls.search(
        "builtin:diabetes", space="symbolic", trials=24, epochs=3, draws=2, confirm_seeds=2, workers=0,
        mlflow=False, out=tmp_path / "study",
    )  # fmt: skip
    searched = [row for row in result.leaderboard.to_dict("records") if "output" in str(row)]
    assert searched
    spec = json.loads((tmp_path / "study" / "export" / "loss.json").read_text())
    assert spec
    ran = subprocess.run(
        [sys.executable, "loss.py"], cwd=tmp_path / "study" / "export", capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    loss = ls.load_loss(tmp_path / "study" / "export")
    assert torch.isfinite(loss(torch.randn(5), torch.randn(5)))

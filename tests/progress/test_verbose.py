"""`losssearch.search` says what it does, unless it is asked not to; what was said is kept with the result."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import losssearch as ls
from losssearch.study.observer import SilentObserver

WINE: dict[str, Any] = {"target": "target", "trials": 4, "epochs": 2, "draws": 1, "confirm_seeds": 2, "mlflow": False}


def test_progress_and_notes_are_shown_once_and_kept(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    result = ls.search("builtin:wine", out=tmp_path / "loud", **WINE)
    shown = capfd.readouterr()
    assert shown.out == ""
    lines = shown.err.splitlines()
    assert [line for line in lines if line.startswith("Searching 0/4")] == ["Searching 0/4"]
    assert any(line.startswith("Searching 4/4") for line in lines)
    assert all(lines.count(note) == 1 for note in result.notes)
    assert any("in this process, without a Ray cluster" in note for note in result.notes)
    kept = json.loads((tmp_path / "loud" / "result.json").read_text(encoding="utf-8"))
    assert result.notes == [*kept["data"]["notes"], *kept["notes"], *kept["timing"]["run_notes"]]

    quiet = ls.search("builtin:wine", out=tmp_path / "quiet", verbose=0, workers=0, **WINE)
    assert capfd.readouterr() == ("", "")
    assert ls.load_result(tmp_path / "quiet").notes == quiet.notes
    assert quiet.leaderboard.equals(result.leaderboard)
    # What is said of workers and devices stands apart, so that a result is the same on any machine.
    assert quiet.to_json()["notes"] == kept["notes"]
    assert len(kept["timing"]["run_notes"]) == 1
    assert quiet.to_json()["timing"]["run_notes"] == []


def train(loss: nn.Module, trial: ls.TrialHandle) -> float:
    return float(loss(torch.tensor([0.5, -0.5]), torch.tensor([1.0, 0.0])))


def test_a_training_function_is_told_of_too(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    asked = {"metric": "score", "task": "binary", "trials": 4, "confirm_seeds": 2, "mlflow": False}
    result = ls.search(train=train, out=tmp_path / "own", **asked)  # type: ignore[arg-type]
    lines = capfd.readouterr().err.splitlines()
    assert any(line.startswith("Searching 4/4") for line in lines)
    assert all(lines.count(note) == 1 for note in result.notes if "has seen no row" not in note)
    assert any("called in this process" in note for note in result.notes)


def test_an_observer_takes_the_place_of_the_display(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ls.LossSearchError):
        ls.search("builtin:wine", target="nothing", observer=SilentObserver())
    assert capfd.readouterr() == ("", "")

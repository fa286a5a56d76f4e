"""A study whose losses are learned by the validation loss: stopped or killed while they move, it resumes exactly."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import losssearch as ls
from losssearch.cli.app import main
from losssearch.training.bilevel import Bilevel
from tests.e2e.test_search_command import ended_trials, losssearch, start
from tests.e2e.test_stops import comparable

STUDY = ["search", "builtin:wine", "--target", "target", "--space", "learned", "--epochs", "4", "--confirm-seeds", "2"]
STUDY += ["--workers", "0", "--no-mlflow", "--silent", "--study", "wine", "--trials"]


def at_call(number: int, patched: pytest.MonkeyPatch, happens: Callable[[], None]) -> list[int]:
    """Let something happen as the hypergradient moves states for the ``number``-th time; the calls are counted."""
    original, calls = Bilevel.moved, [0]

    def moved(self: Bilevel, *given: Any, **more: Any) -> Any:
        calls[0] += 1
        if calls[0] == number:
            happens()
        return original(self, *given, **more)

    patched.setattr(Bilevel, "moved", moved)
    return calls


def test_a_study_that_was_stopped_as_a_loss_was_learned_has_the_same_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = [*STUDY, "8", "--out"]
    with monkeypatch.context() as patched:
        calls = at_call(0, patched, lambda: None)
        assert main([*study, str(tmp_path / "whole")]) == 0
    assert calls[0] > 3, "no state was moved"
    for number in (1, 3):  # in the first population, and again where the resumed study trains it anew
        with monkeypatch.context() as patched:
            at_call(number, patched, lambda: os.kill(os.getpid(), signal.SIGTERM))
            more = ["--resume"] if (tmp_path / "parts" / "study.db").exists() else []
            assert main([*study, str(tmp_path / "parts"), *more]) == 130
    assert main([*study, str(tmp_path / "parts"), "--resume"]) == 0
    assert comparable(tmp_path / "parts") == comparable(tmp_path / "whole")
    parts, whole = (ls.load_result(tmp_path / name).leaderboard for name in ("parts", "whole"))
    assert "learned_curve" in whole.to_string()
    assert parts.equals(whole)


@pytest.mark.nightly
def test_a_study_that_was_killed_has_the_same_result(tmp_path: Path) -> None:
    study = [*STUDY, "48", "--out"]
    assert losssearch(*study, "whole", cwd=tmp_path).returncode == 0
    process = start(*study, "broken", cwd=tmp_path)
    deadline = time.monotonic() + 300
    while ended_trials(tmp_path / "broken/study.db") < 20 and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert 20 <= ended_trials(tmp_path / "broken/study.db") < 48
    resumed = losssearch(*study, "broken", "--resume", cwd=tmp_path)
    assert resumed.returncode == 0, resumed.stderr
    assert comparable(tmp_path / "broken") == comparable(tmp_path / "whole")

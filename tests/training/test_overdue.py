"""A user's training function that does not return, or that comes back twice: hangs and forks."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from losssearch.losses.spec import LossSpec
from losssearch.training import overdue
from losssearch.training.outcome import CUT
from losssearch.training.overdue import Overdue, alarm
from losssearch.training.user_function import FunctionDraws, FunctionRules, train_with_function

# The method of its own that pytest-timeout prefers is the alarm that is tested here.
pytestmark = pytest.mark.timeout(300, method="thread")

SPEC = LossSpec.from_json({"parts": [{"term": "squared"}]})


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overdue, "GRACE", 0.05)
    monkeypatch.setattr(overdue, "AGAIN", 0.05)


def train(function: Callable[[Any, Any], float | None], until: float | None) -> Any:
    draws, rules = FunctionDraws("search", (1, 2)), FunctionRules(sign=1.0, epochs=3)
    candidates = [(SPEC, (), False)]
    return train_with_function(function, candidates, draws, rules, numbers=[0], deadline=until, overdue=until)[0]


def hang(loss: Any, trial: Any) -> float:
    while True:
        time.sleep(10)


def test_a_function_that_hangs_is_ended_when_its_time_is_over() -> None:
    found = train(hang, time.time())
    assert found.state == "failed"
    assert found.reason.startswith(CUT)
    assert "did not return" in found.reason


def test_what_it_has_reported_counts() -> None:
    def reports(loss: Any, trial: Any) -> float:
        trial.report(1, 0.5)
        trial.report(2, 0.75)
        return hang(loss, trial)

    found = train(reports, time.time())
    assert (found.state, found.utilities) == ("completed", (0.75, 0.75))
    assert found.reason == CUT


def test_one_that_catches_everything_is_interrupted_again() -> None:
    caught: list[BaseException] = []

    def stubborn(loss: Any, trial: Any) -> float:
        while len(caught) < 3:
            try:
                time.sleep(10)
            except BaseException as error:  # noqa: BLE001
                caught.append(error)
        return hang(loss, trial)

    assert train(stubborn, time.time()).state == "failed"
    assert all(isinstance(error, Overdue) for error in caught)


def test_without_a_time_budget_nothing_rings() -> None:
    def slow(loss: Any, trial: Any) -> float:
        assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
        return 1.0

    assert train(slow, None).utilities == (1.0, 1.0)


def test_the_alarm_is_put_back() -> None:
    with pytest.raises(Overdue), alarm(time.time()):
        time.sleep(10)
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    assert signal.getsignal(signal.SIGALRM) is signal.SIG_DFL


def test_a_handler_of_the_programs_own_is_left_alone() -> None:
    def own(number: int, frame: object) -> None: ...

    before = signal.signal(signal.SIGALRM, own)
    try:
        with alarm(time.time()):
            assert signal.getsignal(signal.SIGALRM) is own
    finally:
        signal.signal(signal.SIGALRM, before)


FORKS = """
import os, sys
from pathlib import Path
import losssearch as ls

folder = Path(sys.argv[1])

def train(loss, trial):
    if trial.number == 1:
        os.fork()
    (folder / f"{os.getpid()}={trial.stage}={trial.number}={trial.draw}").touch()
    if sys.argv[2] == "raises" and trial.number == 1:
        raise ValueError
    return 1.0 / (1 + trial.number)

result = ls.search(train=train, task="regression", metric="mine", trials=4, confirm_seeds=2, draws=1, mlflow=False,
                   out=folder / "out")
print("ended", os.getpid())
"""


@pytest.mark.parametrize("how", ["returns", "raises"])
def test_only_the_driver_continues_a_study_whose_function_forks(how: str, tmp_path: Path) -> None:
    (tmp_path / "forks.py").write_text(FORKS)
    done = subprocess.run(
        [sys.executable, "forks.py", str(tmp_path), how], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    ended = [line for line in done.stdout.splitlines() if line.startswith("ended")]
    assert len(ended) == 1
    pid = ended[0].split()[1]
    calls = [path.name.split("=") for path in tmp_path.iterdir() if "=" in path.name]
    assert {number for owner, _, number, _ in calls if owner != pid} == {"1"}  # each child saw one call, and no other
    owners = [owner for owner, *_ in calls if owner != pid]
    assert len(owners) == len(set(owners)) > 0

"""A signal at every stage of a study: exit 130, and a resume whose result equals the undisturbed one."""

from __future__ import annotations

import importlib
import json
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from losssearch.cli.app import main

STUDY = ["search", "builtin:wine", "--target", "target", "--epochs", "3", "--confirm-seeds", "2", "--trials", "8"]
STUDY += ["--workers", "0", "--no-mlflow", "--silent", "--study", "wine"]

STAGES = {
    "data": ("losssearch.assembly.from_data", "load", 1),
    "profile": ("losssearch.assembly.from_data", "leaks", 1),
    "store": ("losssearch.assembly.surroundings", "enter", 1),
    "screening": ("losssearch.study.proposing.screening", "Screen.__call__", 1),
    "menu": ("losssearch.training.members", "Members.step", 5),
    "search": ("losssearch.study.loop", "propose", 1),
    "selection": ("losssearch.study.study", "reevaluate", 1),
    "verdict": ("losssearch.study.selecting.referee", "MetricReferee.read", 1),
    "publishing": ("losssearch.publishing.publication", "render", 1),
}
"""By stage, what is called in it, and at which of its calls the signal arrives."""


def comparable(out: Path) -> dict[str, Any]:
    result = json.loads((out / "result.json").read_text(encoding="utf-8"))
    return {name: value for name, value in result.items() if name not in ("timing", "mlflow", "export", "study")}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    out = tmp_path_factory.mktemp("undisturbed") / "wine"
    assert main([*STUDY, "--out", str(out)]) == 0
    return comparable(out)


def at(stage: str, monkeypatch: pytest.MonkeyPatch, signalled: Callable[[], None]) -> None:
    """Let ``signalled`` happen once, at that call of the stage."""
    module, name, call = STAGES[stage]
    *owners, last = name.split(".")
    owner = importlib.import_module(module)
    for part in owners:
        owner = getattr(owner, part)
    original, calls = getattr(owner, last), [0]

    def hooked(*arguments: Any, **options: Any) -> Any:
        calls[0] += 1
        if calls[0] == call:
            signalled()
        return original(*arguments, **options)

    monkeypatch.setattr(owner, last, hooked)


def swallowed(number: int) -> Callable[[], None]:
    """A signal whose exception does not get out, as in a callback of the garbage collector."""

    def arrive() -> None:
        with suppress(KeyboardInterrupt):
            os.kill(os.getpid(), number)
            signal.sigtimedwait([], 0.01)  # the handler runs here

    return arrive


def stop_at(stage: str, out: Path, signalled: Callable[[], None], capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    with pytest.MonkeyPatch.context() as patched:
        at(stage, patched, signalled)
        code = main([*STUDY, "--out", str(out), *(["--resume"] if (out / "study.db").exists() else [])])
    errors = capsys.readouterr().err
    assert code == 130, errors
    assert len(errors.strip().splitlines()) == 1, errors


def resume(out: Path) -> dict[str, Any]:
    assert main([*STUDY, "--out", str(out), *(["--resume"] if (out / "study.db").exists() else [])]) == 0
    return comparable(out)


@pytest.mark.parametrize("stage", STAGES)
def test_a_stop_at_any_stage_is_exit_130_and_changes_nothing(
    stage: str, tmp_path: Path, undisturbed: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    number = signal.SIGINT if stage in ("profile", "search") else signal.SIGTERM
    stop_at(stage, tmp_path / "wine", swallowed(number), capsys)
    assert resume(tmp_path / "wine") == undisturbed
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


@pytest.mark.parametrize("stage", ["menu", "search"])
def test_many_stops_in_one_population_fail_no_trial(
    stage: str, tmp_path: Path, undisturbed: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(4):
        stop_at(stage, tmp_path / "wine", lambda: os.kill(os.getpid(), signal.SIGTERM), capsys)
    assert resume(tmp_path / "wine") == undisturbed


def test_int_int_term_is_one_stop(
    tmp_path: Path, undisturbed: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    def three() -> None:
        try:
            os.kill(os.getpid(), signal.SIGINT)
        finally:  # the others arrive while the first unwinds the program
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGTERM)

    stop_at("menu", tmp_path / "wine", three, capsys)
    assert resume(tmp_path / "wine") == undisturbed

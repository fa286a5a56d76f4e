"""Several searches that start at once: in one folder, in default places, with a store of their own or a common one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from losssearch.cli.app import main

STUDY = ["search", "builtin:wine", "--target", "target", "--epochs", "1", "--confirm-seeds", "2", "--trials", "4"]
FEW = [*STUDY, "--workers", "0", "--no-mlflow", "--silent"]
ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.e2e


def together(folder: Path, *commands: list[str]) -> list[tuple[int, str]]:
    """Exit codes and messages of searches that start at the same moment, in ``folder``."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "losssearch", *command],
            cwd=folder,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for command in commands
    ]
    messages = [process.communicate(timeout=280)[1] for process in started]
    return [(process.returncode, message) for process, message in zip(started, messages, strict=True)]


def test_of_three_in_one_folder_one_runs(tmp_path: Path) -> None:
    store = ["--storage", f"sqlite:///{tmp_path}/common.db"]
    found = together(tmp_path, *([*FEW, *store, "--study", f"s{n}", "--out", "one"] for n in range(3)))
    assert sorted(code for code, _ in found) == [0, 2, 2], found
    winner = json.loads((tmp_path / "one/result.json").read_text())["study"]
    for code, message in found:
        if code == 2:
            assert len(message.splitlines()) == 1
            assert repr(winner) in message
            assert "another --out" in message


def test_unnamed_ones_each_have_a_folder_of_their_own(tmp_path: Path) -> None:
    found = together(tmp_path, FEW, FEW, FEW)
    assert [code for code, _ in found] == [0, 0, 0], found
    folders = list((tmp_path / "losssearch-runs").iterdir())
    assert len(folders) == 3
    assert {json.loads((one / "result.json").read_text())["study"] for one in folders} == {one.name for one in folders}


def test_a_finished_study_in_another_store_is_not_overwritten(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([*FEW, "--storage", f"sqlite:///{tmp_path}/a.db", "--out", "one"]) == 0
    before = {path: path.read_bytes() for path in (tmp_path / "one").rglob("*") if path.is_file()}
    other = ["search", "builtin:breast_cancer", "--target", "target", "--storage", f"sqlite:///{tmp_path}/b.db"]
    assert main([*other, "--out", "one"]) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert "holds the study 'one': resume it with --resume, or give another --out" in line
    assert not (tmp_path / "b.db").exists()
    for path in (tmp_path / "one").iterdir():
        if path.name in ("result.json", "report.html"):
            path.unlink()
    assert main(["search", "--resume", "--out", "one", "--silent"]) == 0
    assert {path: path.read_bytes() for path in (tmp_path / "one").rglob("*") if path.is_file()} == before

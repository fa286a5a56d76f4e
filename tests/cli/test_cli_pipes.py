"""Output whose reader goes away: the command ends quietly, with the exit code that it would have had."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def piped(arguments: str, folder: Path, *, errors_too: bool = False) -> tuple[int, str]:
    """Exit code and stderr of a command whose output is read by nobody; its stderr goes the same way if asked."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "losssearch", *arguments.split()],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
            stdout=writing,
            stderr=writing if errors_too else subprocess.PIPE,
            text=True,
            check=False,
        )
    finally:
        os.close(writing)
    return done.returncode, done.stderr or ""


@pytest.mark.parametrize("arguments", ["terms --json", "spaces", "--help", "metrics"])
def test_a_closed_pipe_ends_a_command_quietly(arguments: str, tmp_path: Path) -> None:
    assert piped(arguments, tmp_path) == (0, "")


def test_a_fault_keeps_its_exit_code(tmp_path: Path) -> None:
    code, said = piped("terms focall", tmp_path)
    assert (code, len(said.splitlines())) == (2, 1)
    assert piped("terms focall", tmp_path, errors_too=True)[0] == 2


SEARCH = (
    "search builtin:wine --target target --trials 2 --epochs 1 --draws 1 --rates 0.01 --confirm-seeds 2 --workers 0"
)


def test_a_search_goes_on_without_readers(tmp_path: Path) -> None:
    code, _ = piped(f"{SEARCH} --no-mlflow --out study", tmp_path, errors_too=True)
    assert code == 0
    assert (tmp_path / "study" / "report.html").exists()


def test_output_that_the_shell_closed_is_dropped(tmp_path: Path) -> None:
    command = f"{sys.executable} -m losssearch terms >&-"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(["bash", "-c", command], cwd=tmp_path, env=environment, stderr=subprocess.PIPE, check=False)
    assert (done.returncode, done.stderr) == (0, b"")

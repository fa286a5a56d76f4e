"""A search on Ray that loses its head, its node or its user: a whole program, its exit code, and what it leaves."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

MODEL = """
import os, time
import layers  # beside this file, where no worker would find it by name

def factory(features, outputs):
    return layers.Net(features, outputs)
"""

LAYERS = """
import os, time
from torch import nn

class Net(nn.Linear):
    def forward(self, x):
        if self.training:
            time.sleep(float(os.environ.get("PAUSE", "0")))
        return super().forward(x)
"""

PROGRAM = """
import sys
from losssearch.cli.app import main
from losssearch.execution import cluster
cluster.PATIENCE = 4.0
sys.exit(main(sys.argv[1:]))
"""

SEARCH = ["search", "builtin:wine", "--target", "target", "--model", "my_model:factory", "--trials", "96"]
SEARCH += ["--epochs", "4", "--confirm-seeds", "2", "--no-mlflow", "--quiet", "--out", "wine"]


def start(folder: Path, *arguments: str, pause: float = 0.0, module: bool = False) -> subprocess.Popen[str]:
    (folder / "my_model.py").write_text(MODEL)
    (folder / "layers.py").write_text(LAYERS)
    return subprocess.Popen(
        [sys.executable, *(("-m", "losssearch") if module else ("-c", PROGRAM)), *SEARCH, *arguments],
        cwd=folder,
        env=os.environ | {"PAUSE": str(pause), "OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def below(root: int) -> dict[int, str]:
    """Processes under ``root``, with their names."""
    parents, names = {}, {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                name, _, rest = (entry / "stat").read_text().partition("(")[2].rpartition(")")
            except OSError:
                continue
            parents[int(entry.name)], names[int(entry.name)] = int(rest.split()[1]), name
    found: set[int] = {root}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return {pid: names[pid] for pid in found - {root} if pid in names}


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def until_some_trials_ended(store: Path) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        try:
            with sqlite3.connect(f"file:{store}?mode=ro", uri=True, timeout=10) as connection:
                query = "select count(*) from losssearch_trial where state <> 'running'"
                if connection.execute(query).fetchone()[0]:
                    return
        except sqlite3.OperationalError:
            pass
        time.sleep(0.1)
    pytest.fail("no trial ended")


@pytest.mark.slow
@pytest.mark.e2e
@pytest.mark.parametrize(
    ("victim", "number", "code", "said"),
    [
        pytest.param("gcs_server", signal.SIGKILL, 4, "the head of the Ray cluster", marks=pytest.mark.nightly),
        ("raylet", signal.SIGKILL, 4, "(raylet) must live"),
        pytest.param("", signal.SIGINT, 130, "stopped after", marks=pytest.mark.nightly),
        ("", signal.SIGTERM, 130, "stopped after"),
    ],
)
def test_ends_in_one_line_and_leaves_nothing_running(
    victim: str, number: int, code: int, said: str, tmp_path: Path
) -> None:
    process = start(tmp_path, "--workers", "2", pause=0.5)  # long enough to notice a loss
    until_some_trials_ended(tmp_path / "wine/study.db")
    others = below(process.pid)
    if victim:  # Ray's own agents look for a lost head for a minute, and then end by themselves
        others = {pid: name for pid, name in others.items() if not name.startswith(("ray::Dash", "ray::Runt"))}
    targets = [pid for pid, name in others.items() if name.startswith(victim)] if victim else [process.pid]
    assert len(targets) == 1, others
    os.kill(targets[0], number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == code, errors
    assert len(errors.strip().splitlines()) == 1, errors
    assert said in errors
    assert "--resume" in errors
    deadline = time.monotonic() + 20
    while any(map(alive, others)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert [others[pid] for pid in others if alive(pid)] == []
    if victim == "raylet":
        resumed = start(tmp_path, "--workers", "0", "--resume")
        _, errors = resumed.communicate(timeout=120)
        assert resumed.returncode == 0, errors


def until_there_is(name: str, root: int) -> int:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        for pid, found in below(root).items():
            if found.startswith(name):
                return pid
        time.sleep(0.02)
    pytest.fail(f"no {name}")


@pytest.mark.slow
@pytest.mark.e2e
@pytest.mark.parametrize(
    ("victim", "number", "code", "said"),
    [
        ("gcs_server", signal.SIGKILL, 4, "the head of the Ray cluster"),
        pytest.param("raylet", signal.SIGKILL, 4, "(raylet) must live", marks=pytest.mark.nightly),
        pytest.param("", signal.SIGTERM, 130, "interrupted", marks=pytest.mark.nightly),
    ],
)
def test_a_start_that_is_broken_off_ends_within_seconds(
    victim: str, number: int, code: int, said: str, tmp_path: Path
) -> None:
    """Ray itself waits for half a minute, or ends the program after a whole one with 1 and a log."""
    process = start(tmp_path, "--workers", "2", module=True)
    head = until_there_is("gcs_server", process.pid)
    pid = until_there_is("raylet", process.pid) if victim == "raylet" else head
    if victim == "gcs_server":
        until_there_is("python", process.pid)  # what Ray starts once its head answers
    others = below(process.pid)
    begun = time.monotonic()
    os.kill(pid if victim else process.pid, number)
    _, errors = process.communicate(timeout=25)
    assert process.returncode == code, errors
    assert len(errors.strip().splitlines()) == 1, errors
    assert said in errors
    assert time.monotonic() - begun < 25
    deadline = time.monotonic() + 20
    while any(map(alive, others)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert [others[pid] for pid in others if alive(pid)] == []

"""A disk that is full at any stage of a study: exit 4 in one line, and a resume once there is room."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from losssearch.cli.app import main
from losssearch.tracking.template import discard_unfinished

STUDY = ["search", "builtin:wine", "--target", "target", "--epochs", "2", "--confirm-seeds", "2", "--trials", "6"]

pytestmark = pytest.mark.e2e


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small file system; `resized` changes its size."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("mounting a small file system needs root")
    point = tmp_path / "small"
    point.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8k", "tmpfs", point], capture_output=True, check=False
    ).returncode:
        pytest.skip("this machine lets nobody mount")
    yield point
    subprocess.run(["umount", "--lazy", point], check=True)


def resized(disk: Path, size: str) -> None:
    subprocess.run(["mount", "-o", f"remount,size={size}", disk], check=True)


# Room for the claim alone, for half of MLflow's tables, for some trials, and for some of the files at the end.
@pytest.mark.parametrize("size", ["8k", "700k", "1300k", "1500k"])
def test_a_full_disk_is_exit_4_and_a_resume_completes_the_study(
    disk: Path, size: str, capfd: pytest.CaptureFixture[str]
) -> None:
    resized(disk, size)
    assert main([*STUDY, "--workers", "0", "--out", str(disk / "study"), "--silent"]) == 4
    (line,) = capfd.readouterr().err.splitlines()
    assert "No space left" in line or "disk is full" in line or "disk I/O error" in line
    resized(disk, "64m")
    assert main(["search", "--resume", "--out", str(disk / "study"), "--silent"]) == 0
    result = json.loads((disk / "study/result.json").read_text())
    assert result["trials"]["total"] == 6
    assert (disk / "study/export/loss.py").is_file()
    with sqlite3.connect(disk / "study/mlflow.db") as connection:
        assert connection.execute("select count(*) from tags where key = 'mlflow.parentRunId'").fetchone()[0] == 6
        assert connection.execute("select distinct status from runs").fetchall() == [("FINISHED",)]


def test_a_store_with_runs_or_of_others_is_never_discarded(tmp_path: Path) -> None:
    tables = {"alembic_version": "v", "runs": "run_uuid"}
    for name, kept in (("other.db", {"mine": "x"}), ("used.db", tables), ("unfinished.db", {"alembic_version": "v"})):
        with sqlite3.connect(tmp_path / name) as connection:
            for table, column in kept.items():
                connection.execute(f"create table {table} ({column} text)")
                connection.execute(f"insert into {table} values ('1')")
    (tmp_path / "none.db").write_text("no database at all, but a text " * 40)
    found = {name: discard_unfinished(tmp_path / name) for name in ("other.db", "used.db", "none.db", "unfinished.db")}
    assert found == {"other.db": False, "used.db": False, "none.db": False, "unfinished.db": True}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["none.db", "other.db", "used.db"]

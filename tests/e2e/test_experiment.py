"""The MLflow experiment of a study: named once, kept for its resume, and told in its result."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

import losssearch as ls
from losssearch.cli.app import main
from losssearch.errors import OptionError

pytestmark = pytest.mark.e2e


def _experiments(store: Path) -> dict[str, int]:
    """Runs by the name of their experiment."""
    query = "SELECT e.name, count(*) FROM runs JOIN experiments e USING (experiment_id) GROUP BY e.name"
    with closing(sqlite3.connect(store)) as connection:
        return dict(connection.execute(query).fetchall())


def test_an_experiment_is_kept_and_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    small = ["--epochs", "1", "--confirm-seeds", "2", "--draws", "1", "--rates", "0.01", "--workers", "0", "--silent"]
    command = ["search", "builtin:wine", "--target", "target", "--trials", "4", "--out", str(out), *small]
    assert main([*command, "--experiment", "team red"]) == 0
    assert json.loads((out / "result.json").read_text())["mlflow"]["experiment"] == "team red"
    assert _experiments(out / "mlflow.db") == {"team red": 5}
    assert main(["search", "--resume", "--out", str(out), "--trials", "5", "--silent"]) == 0
    assert json.loads((out / "result.json").read_text())["mlflow"]["experiment"] == "team red"
    assert _experiments(out / "mlflow.db") == {"team red": 6}
    assert main(["search", "--resume", "--out", str(out), "--experiment", "blue", "--silent"]) == 2
    assert "was started with --experiment 'team red', got 'blue'" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["", " x", "a\nb", "x" * 251])
def test_a_name_that_no_store_takes_leaves_nothing(name: str, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"^experiment must be 1 to 250 printable characters"):
        ls.search("builtin:wine", target="target", out=tmp_path / "out", experiment=name, workers=0, verbose=0)
    assert not (tmp_path / "out").exists()

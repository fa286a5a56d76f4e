"""A study with boosted trees, as a user runs it: verdict, the same with workers, and the exported objective."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from losssearch.cli.app import main
from losssearch.models import boosted

pytestmark = pytest.mark.e2e

STUDY = ["search", "builtin:breast_cancer", "--metric", "f1", "--model", "lightgbm", "--trials", "12"]
SHORT = ["--epochs", "4", "--confirm-seeds", "2", "--no-mlflow"]


def losssearch(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "losssearch", *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def comparable(out: Path) -> dict[str, object]:
    """What must be equal between two runs of one study: all of its result but times, places and names."""
    result = json.loads((out / "result.json").read_text(encoding="utf-8"))
    return {name: value for name, value in result.items() if name not in ("timing", "mlflow", "export", "study")}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("boosted")
    run = losssearch(*STUDY, *SHORT, "--workers", "0", "--out", "alone", cwd=folder)
    assert run.returncode == 0, run.stderr
    assert "Verdict" in run.stdout
    return folder / "alone"


def test_it_ends_with_a_verdict(finished: Path) -> None:
    result = json.loads((finished / "result.json").read_text(encoding="utf-8"))
    assert result["model"] == "lightgbm"
    assert result["trials"]["total"] == 12
    assert result["trials"]["failed"] == 0
    assert result["best"]["test"]["mean"] > 0.9
    assert result["best"]["learning_rate"] in (0.05, 0.1, 0.3)


@pytest.mark.slow
def test_workers_change_nothing(finished: Path) -> None:
    run = losssearch(*STUDY, *SHORT, "--workers", "2", "--out", "two", cwd=finished.parent)
    assert run.returncode == 0, run.stderr
    assert comparable(finished.parent / "two") == comparable(finished)


@pytest.mark.parametrize("library", ["lightgbm", "xgboost"])
def test_the_objective_is_exported(finished: Path, library: str, tmp_path: Path) -> None:
    run = losssearch("export", str(finished), "--format", library, "--out", str(tmp_path / "trees"), cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    check = subprocess.run(
        [sys.executable, "-I", tmp_path / "trees" / "objective.py"], capture_output=True, check=False
    )
    assert check.returncode == 0, check.stderr


def test_a_missing_package_is_one_line_and_exit_code_2(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(boosted, "find_spec", lambda name: None)
    assert main([*STUDY, "--out", str(tmp_path / "never")]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "pip install 'losssearch[lightgbm]'" in said
    assert "Traceback" not in said
    assert not (tmp_path / "never").exists()

"""Who reads and who changes what in MLflow, as the service starts it (deploy/tracking)."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).resolve().parent


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("mlflow")
    command = [sys.executable, HERE / "mlflow_answers.py", folder]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=280)
    assert done.returncode == 0, done.stderr[-4000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def status(answers: dict[str, Any], name: str) -> int:
    return int(answers[name]["status"])


def test_a_worker_makes_experiments_runs_and_artifacts(answers: dict[str, Any]) -> None:
    wrote = [status(answers, f"worker {what}") for what in ("makes an experiment", "makes a run", "keeps an artifact")]
    assert wrote == [200, 200, 200]


def test_only_health_is_open_to_strangers(answers: dict[str, Any]) -> None:
    assert status(answers, "health") == 200
    assert status(answers, "stranger") == 401
    assert status(answers, "stranger with a wrong password") == 401
    assert status(answers, "wrong proxy") == 401
    assert status(answers, "proxy without a team") == 403
    assert status(answers, "wrong host") == 403


def test_a_person_reads_the_experiment_of_the_own_team(answers: dict[str, Any]) -> None:
    assert status(answers, "page") == 200
    own = [status(answers, f"own {what}") for what in ("experiment", "runs", "run", "artifact", "download")]
    assert own == [200] * 5
    assert "losssearch/red" in answers["experiments"]["text"]
    assert "run_id" in answers["own runs"]["text"]


def test_a_person_sees_nothing_of_another_team(answers: dict[str, Any]) -> None:
    assert "losssearch/blue" not in answers["experiments"]["text"]
    assert "run_id" not in answers["other runs"]["text"]
    assert [status(answers, f"other {what}") for what in ("experiment", "run", "artifact", "download")] == [403] * 4


def test_a_person_changes_nothing(answers: dict[str, Any]) -> None:
    allowed = {name: status(answers, name) for name in answers["changes"] if status(answers, name) != 403}
    assert allowed == {}
    assert len(answers["changes"]) >= 8


def test_nothing_is_unpickled(answers: dict[str, Any]) -> None:
    assert answers["pickles"] == "false"

"""Additions from outside, one file each, through Python, the command line, Ray workers, resume, report and export."""

from __future__ import annotations

import html
import json
import os
import shutil
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.extensions.cases import CASES, Extension

HERE = Path(__file__).parent
ROOT = HERE.parents[1]

pytestmark = pytest.mark.e2e


def run(command: str, folder: Path, content: str = "case.json") -> None:
    """Run a command of ``program.py`` in a process that knows nothing of the extension."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, str(HERE / "program.py"), command, content],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]


def write_case(case: Extension, folder: Path) -> dict[str, Any]:
    """The rows, the module and its space in ``folder``, outside the package."""
    draws = np.random.default_rng(0)
    rows = pd.DataFrame(draws.normal(size=(120, 3)), columns=["x0", "x1", "x2"])
    rows["label"] = (rows["x0"] + 0.5 * draws.normal(size=120) > 0).astype(int)
    rows["level"] = rows["x1"] + 0.3 * draws.normal(size=120)
    rows["height"] = rows["x2"] - rows["x0"] + 0.3 * draws.normal(size=120)
    rows.to_csv(folder / "rows.csv", index=False)
    file = folder / f"{case.module}.py"
    shutil.copy(HERE / "modules" / file.name, file)
    options = dict(case.options)
    if case.space:
        (folder / "space.yaml").write_text(case.space)
        options["space"] = str(folder / "space.yaml")
    content = asdict(case) | {"file": str(file), "options": options}
    (folder / "case.json").write_text(json.dumps(content))
    return content


def leaderboard(folder: Path) -> Any:
    return json.loads((folder / "leaderboard.json").read_text())


@pytest.fixture(
    scope="module",
    params=[pytest.param(case, marks=[pytest.mark.nightly] * case.nightly) for case in CASES],
    ids=[case.module for case in CASES],
)
def case(request: pytest.FixtureRequest) -> Extension:
    found: Extension = request.param
    return found


@pytest.fixture(scope="module")
def folder(case: Extension, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a case, with the undisturbed study in ``python/``."""
    place = tmp_path_factory.mktemp(case.module)
    write_case(case, place)
    run("whole", place)
    return place


def test_a_search_uses_it(case: Extension, folder: Path) -> None:
    assert case.shows in (folder / "python/result.json").read_text() + (folder / "python/leaderboard.json").read_text()


def test_a_stopped_search_of_the_command_line_resumes_by_its_folder_alone(case: Extension, folder: Path) -> None:
    run("stopped", folder)
    assert not (folder / "cli/result.json").exists()
    run("resumed", folder)
    assert leaderboard(folder / "cli") == leaderboard(folder / "python")
    # A weighting or a balance is shown by its formula, not by its name.
    named = json.loads((folder / "cli/result.json").read_text())
    assert named["searched"]["formula"] in html.unescape((folder / "report.html").read_text())
    assert json.loads((folder / "spec/loss.json").read_text())["study"] == "cli"
    if case.standalone:
        done = subprocess.run(
            [sys.executable, "-I", "loss.py"], cwd=folder / "exported", capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.nightly
def test_ray_workers_load_it(case: Extension, folder: Path, all_on_ray: dict[str, Path]) -> None:
    assert leaderboard(all_on_ray[case.module] / "ray") == leaderboard(folder / "python")


@pytest.fixture(scope="module")
def all_on_ray(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of all cases, each with its study by one cluster's worker in ``ray/``."""
    folders = {case.module: tmp_path_factory.mktemp(f"ray-{case.module}") for case in CASES}
    contents = [write_case(case, folders[case.module]) for case in CASES]
    together = tmp_path_factory.mktemp("together")
    (together / "cases.json").write_text(json.dumps(contents))
    run("on_ray", together, "cases.json")
    return folders

"""The examples of docs/extending.md are whole: each file is written as it stands there, imported and used."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"```(?:python|yaml)\n(?=# (\w+\.(?:py|yaml)))(.*?)```", PAGE, re.DOTALL))
MODULES = [name for name in FILES if name.startswith("my_") and name.endswith(".py")]

CHECK = """
import sys
from losssearch.cli.app import main
modules = [part for name in sys.argv[1:] for part in ("--import", name)]
assert main(["spaces", "my_space.yaml", "--check", *modules]) == 0
for term in ("soft_margin", "learned_error", "pair_likelihood", "rate_deviance"):
    assert main(["terms", term, *modules]) == 0
import runpy
runpy.run_path("use_them.py")
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("extending")
    for name, text in FILES.items():
        (place / name).write_text(text, encoding="utf-8")
    return place


def run(folder: Path, *arguments: str) -> str:
    environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{folder}"}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_there_is_an_example_of_each_addition() -> None:
    assert set(FILES) == {
        "my_terms.py", "my_space.yaml", "my_network.py", "my_weighting.py", "my_balance.py", "my_metric.py",
        "my_task.py", "my_rates.py", "use_them.py", "search_pairs.py",
    }  # fmt: skip


def test_every_module_is_loaded_and_its_declarations_are_used(folder: Path) -> None:
    shown = run(folder, "-c", CHECK, *MODULES)
    assert "hinge with a tunable margin" in shown
    assert float(shown.strip().splitlines()[-1]) > 0


@pytest.mark.nightly
def test_the_search_for_two_columns_ends_with_a_verdict(folder: Path) -> None:
    assert "pair_deviance" in run(folder, "search_pairs.py")
    assert "pair_likelihood" in (folder / "pairs" / "leaderboard.json").read_text(encoding="utf-8")

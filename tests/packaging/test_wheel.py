"""What the wheel puts into an environment, and that the bundled spaces are found however losssearch was installed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).resolve().parents[2]
SPACES = {path.name for path in (ROOT / "search_spaces").glob("*.yaml")}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout, built by its own build backend and without a network."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


def spaces(folder: Path, path: Path) -> tuple[set[str], Path]:
    """The spaces that ``losssearch spaces`` lists with ``path`` first on the import path, and the copy that ran."""
    script = "import losssearch; print(losssearch.__file__); from losssearch.cli.app import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", script, "spaces", "--json"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(path)},
        check=True,
        capture_output=True,
        text=True,
    )
    where, _, listed = done.stdout.partition("\n")
    return {f"{space['name']}.yaml" for space in json.loads(listed)}, Path(where)


def test_the_wheel_installs_one_package_and_nothing_beside_it(wheel: Path) -> None:
    names = ZipFile(wheel).namelist()
    assert {name.split("/")[0].removesuffix(".dist-info").split("-")[0] for name in names} == {"losssearch"}
    assert {Path(name).name for name in names if name.startswith("losssearch/_search_spaces/")} == SPACES
    assert "losssearch/py.typed" in names


def test_an_installed_copy_finds_its_spaces(wheel: Path, tmp_path: Path) -> None:
    target, elsewhere = tmp_path / "target", tmp_path / "elsewhere"
    elsewhere.mkdir()
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--target", str(target)]
    subprocess.run([*pip, str(wheel)], check=True, capture_output=True)
    found, where = spaces(elsewhere, target)
    assert where.is_relative_to(target)
    assert found == SPACES


def test_a_checkout_finds_its_spaces_beside_the_package(tmp_path: Path) -> None:
    found, where = spaces(tmp_path, ROOT)
    assert where.is_relative_to(ROOT)
    assert found == SPACES

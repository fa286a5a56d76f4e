"""Pins must hold on every Python that the package supports, its oldest patch release included."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.specifiers import SpecifierSet
from packaging.version import Version

ROOT = Path(__file__).parents[2]
PINS = re.findall(r"^([\w.\-]+)==([\w.\-+!]+)$", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE)


def test_pins_can_be_installed_on_the_oldest_python() -> None:
    oldest = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["requires-python"]
    assert oldest == ">=3.11"
    faults, seen = [], 0
    for name, version in PINS:
        try:
            found = distribution(name)
        except PackageNotFoundError:
            continue  # of an extra that is not installed here
        seen += 1
        assert Version(found.version).public == Version(version).public, name
        if not SpecifierSet(found.metadata.get("Requires-Python") or "").contains("3.11.0"):
            faults.append(f"{name} {version} needs Python {found.metadata['Requires-Python']}")
    assert seen > 100
    assert not faults

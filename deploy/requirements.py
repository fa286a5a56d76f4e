"""Prints what the product needs for the image, one requirement per line: ``requirements.py service,lightgbm``."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path
from typing import Any


def requirements(project: dict[str, Any], extras: list[str]) -> list[str]:
    """List the dependencies of a project, with those of its ``extras``.

    Args:
        project: the table ``[project]`` of ``pyproject.toml``.
        extras: names of optional dependencies.

    Returns:
        Requirements as pip reads them.

    Raises:
        KeyError: the project has no such extra.
    """
    return [*project["dependencies"], *(line for extra in extras for line in project["optional-dependencies"][extra])]


if __name__ == "__main__":
    text = Path(__file__).resolve().with_name("pyproject.toml").read_text(encoding="utf-8")
    sys.stdout.write("\n".join(requirements(tomllib.loads(text)["project"], sys.argv[1].split(","))) + "\n")

"""ARCHITECTURE.md shows the tree as it is, and the layers that the import contract has."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")


def pictured(text: str) -> set[str]:
    """The folders, each with a slash at its end, and the modules that the picture of the tree shows."""
    block = text.split("## The tree", 1)[1].split("```", 2)[1]
    found, path = set(), []
    for line in block.strip("\n").splitlines():
        name = line.split()[0]
        depth = (len(line) - len(line.lstrip())) // 4
        path[depth:] = [name]
        found.add("".join(path))
    return found


def real(root: Path) -> set[str]:
    """Folders of code at any depth and other folders of the repository at the first, and the package's own modules."""
    ignored = {
        line.rstrip("/")
        for line in (root / ".gitignore").read_text(encoding="utf-8").splitlines()
        if line.endswith("/") and "*" not in line
    }
    folders = {path for path in root.iterdir() if path.is_dir() and path.name[0] != "." and path.name not in ignored}
    folders |= {file.parent for file in (root / "losssearch").rglob("*.py")}
    modules = {file for file in (root / "losssearch").glob("*.py") if not file.name.startswith("__")}
    return {f"{path.relative_to(root)}/" for path in folders} | {str(file.relative_to(root)) for file in modules}


def layers(text: str) -> list[set[str]]:
    """The layers of the table, high to low."""
    table = text.split("| layer, high to low |", 1)[1].split("\n\n", 1)[0]
    return [set(re.findall(r"`(\w+)`", row.split("|")[1])) for row in table.splitlines()[2:]]


def test_the_picture_is_the_tree() -> None:
    assert pictured(TEXT) == real(ROOT)


def test_a_folder_that_is_missing_in_the_picture_is_seen() -> None:
    line = next(line for line in TEXT.splitlines(keepends=True) if line.strip().startswith("proposing/"))
    assert real(ROOT) - pictured(TEXT.replace(line, "")) == {"losssearch/study/proposing/"}


def test_the_table_of_layers_is_the_contract() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    contract = next(one for one in contracts if one.get("containers") == ["losssearch"])
    expected = [set(re.split(r" [|:] ", layer)) for layer in contract["layers"]]
    assert layers(TEXT) == [layer for layer in expected if layer != {"__main__"}]

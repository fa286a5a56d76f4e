"""Outside the files of the kinds, nobody asks which kind of task there is: what differs is in the kind's record."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import losssearch
from losssearch.tasks import KINDS

ROOT = Path(losssearch.__file__).parent
OWN = ROOT / "tasks" / "kinds"
WORDS = frozenset({"count"})
"""Kinds whose name is a word that other tables have as a key: they are looked for in comparisons alone."""


def compared(source: str) -> Iterator[int]:
    """Lines that compare a kind's name, look it up, have it as a key or match it."""
    names = [name for name in KINDS if f'"{name}"' in source]
    for node in ast.walk(ast.parse(source if names else "")):
        asked: list[ast.AST | None] = []
        if isinstance(node, ast.Compare):
            asked = [node.left, *node.comparators]
        elif isinstance(node, ast.Dict):
            asked = list(node.keys)
        elif isinstance(node, ast.MatchValue):
            asked = [node.value]
        elif isinstance(node, ast.Subscript):
            asked = [node.slice]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            asked = list(node.args[:1]) if node.func.attr in ("get", "startswith") else []
        direct = asked if isinstance(node, ast.Compare | ast.MatchValue) else []
        for one in asked:
            for found in ast.walk(one) if one is not None and not isinstance(one, ast.Lambda) else ():
                if (
                    isinstance(found, ast.Constant)
                    and found.value in names
                    and (found.value not in WORDS or found in direct)
                ):
                    yield found.lineno


def test_nobody_compares_kinds_outside_their_own_files() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in sorted(ROOT.rglob("*.py"))
        if OWN not in path.parents
        for line in compared(path.read_text())
    ]
    assert not found


def test_the_count_sees_every_form_of_a_comparison() -> None:
    forms = [
        'x == "binary"',
        '"regression" != x',
        'x in ("binary", "multiclass")',
        '{"binary": 1}',
        'table["multiclass"]',
        'table.get("regression", 0)',
        'match x:\n    case "binary":\n        pass',
    ]
    assert [len(set(compared(form))) for form in forms] == [1] * len(forms)
    assert not list(compared('get_task("binary")'))

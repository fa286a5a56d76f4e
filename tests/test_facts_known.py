"""Facts of the data are known where they are made and where they are used, and passed on unseen everywhere else."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest

import losssearch

ROOT = Path(losssearch.__file__).parent
MADE = ("data/batch.py", "data/facts.py", "study/context.py")
"""Where facts are declared and computed."""
OPTION = ("api.py", "request.py", "request/*", "assembly/*", "study/user_study.py")
"""The option that says what only a user's training function knows of its data."""
TEXT = ("export/*", "tasks/export_text.py", "publishing/publication.py")
"""The exported loss, and the record that it is written from."""
KNOWN = {
    "class_prior": (
        *(*MADE, *OPTION, *TEXT),
        "tasks/kinds/*",
        "losses/inputs.py",
        "losses/readable.py",
        "losses/compose.py",
        "losses/arriving.py",
        "losses/primitives/*",
        "losses/adaptive/min_max.py",
        "evaluation/adjustment.py",
        "evaluation/decision_tuning.py",
        "evaluation/grid.py",
        "evaluation/prior_shift.py",
        "evaluation/worst_cell.py",
        "report/shape.py",
        "report/stages.py",
        "cli/term_plot.py",
        "study/proposing/probe.py",
    ),
    "zero": (
        *(*MADE, *OPTION, *TEXT),
        "tasks/kinds/*",
        "losses/inputs.py",
        "losses/readable.py",
        "losses/compose.py",
        "losses/primitives/*",
        "report/shape.py",
        "cli/term_plot.py",
    ),
}
"""Patterns of the files that may name each fact: the kinds of task and terms that use it, and what draws or tunes."""


def names(text: str) -> Iterator[str]:
    """All names of a file's text, and its strings."""
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.arg(arg=name) | ast.keyword(arg=str(name)):
                yield name
            case ast.Constant(value=str(name)):
                yield name


@pytest.mark.parametrize("fact", KNOWN)
def test_who_knows_a_fact(fact: str) -> None:
    texts = {str(file.relative_to(ROOT)): file.read_text() for file in ROOT.rglob("*.py")}
    found = {name for name, text in texts.items() if fact in text and fact in names(text)}
    assert "data/facts.py" in found
    strangers = {name for name in found if not any(fnmatch(name, pattern) for pattern in KNOWN[fact])}
    assert not strangers

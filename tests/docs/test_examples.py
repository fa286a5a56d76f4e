"""The examples in the docstrings of public modules run and give what they show."""

from __future__ import annotations

import doctest
import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from losssearch.data import target_kind
from losssearch.evaluation import declaring
from losssearch.losses import term as terms
from losssearch.losses.term import LossTerm
from losssearch.tasks import kind

MODULES = (
    "losssearch.data.batch",
    "losssearch.errors",
    "losssearch.evaluation.decision_tuning",
    "losssearch.evaluation.declaring",
    "losssearch.export.reading",
    "losssearch.losses.adaptive.robust",
    "losssearch.losses.arrays",
    "losssearch.losses.compose",
    "losssearch.losses.domains",
    "losssearch.losses.learned.class_balance",
    "losssearch.losses.learned.curve",
    "losssearch.losses.learned.network",
    "losssearch.losses.noise.levels",
    "losssearch.losses.noise.selection",
    "losssearch.losses.noise.targets",
    "losssearch.losses.primitives.amounts",
    "losssearch.losses.primitives.classification",
    "losssearch.losses.primitives.imbalance",
    "losssearch.losses.primitives.margin",
    "losssearch.losses.primitives.overlap",
    "losssearch.losses.primitives.ranking",
    "losssearch.losses.primitives.regression",
    "losssearch.losses.primitives.symbolic",
    "losssearch.losses.spec",
    "losssearch.losses.state",
    "losssearch.losses.term",
    "losssearch.losses.trees.display",
    "losssearch.losses.trees.tree",
    "losssearch.study_result",
    "losssearch.tasks.declare",
    "losssearch.training.handle",
)
OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@pytest.fixture(autouse=True)
def _registries() -> Iterator[None]:
    """Take out of the registries what an example declared."""
    mappings: list[dict[str, Any]] = [terms._registry, kind._kinds, target_kind._entries]
    before, metrics = [dict(one) for one in mappings], list(declaring._records)
    yield
    for one, old in zip(mappings, before, strict=True):
        one.clear()
        one.update(old)
    declaring._records[:] = metrics


def examples(name: str) -> Iterator[doctest.DocTest]:
    """The docstrings of a module that hold an example; those of terms belong to the functions behind them."""
    module = importlib.import_module(name)
    found = doctest.DocTestFinder(exclude_empty=True)
    yield from found.find(module, name)
    for member in vars(module).values():
        if isinstance(member, LossTerm) and member.function.__module__ == name:
            yield from found.find(member.function, f"{name}.{member.name}", module=module)


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    runner = doctest.DocTestRunner(optionflags=OPTIONS)
    tests = [test for test in examples(name) if test.examples]
    assert tests, f"{name} shows no example"
    report: list[str] = []
    for test in tests:
        runner.run(test, out=report.append)
    assert runner.summarize(verbose=False).failed == 0, "".join(report)

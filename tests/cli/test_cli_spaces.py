"""``losssearch spaces``: the list, one space, and the check of a file."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from losssearch.space import bundled_spaces, load_space

ROOT = Path(__file__).resolve().parents[2]
BROKEN = "# Which?\ntask: binary\nslots:\n  base: {terms: {focall: }}\nsolts: 1\n"


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    file = tmp_path / "broken.yaml"
    file.write_text(BROKEN, encoding="utf-8")
    return file


def test_table_names_every_bundled_space(run: Callable[..., Any]) -> None:
    done = run("spaces")
    assert (done.code, done.err) == (0, "")
    assert all(re.search(rf"│ {name} ", done.out) for name in bundled_spaces())


def test_json_lists_every_space_with_its_question(run: Callable[..., Any]) -> None:
    records = json.loads(run("spaces", "--json").out)
    assert [record["name"] for record in records] == list(bundled_spaces())
    assert all(record["question"].endswith("?") for record in records)


@pytest.mark.parametrize("name", bundled_spaces())
def test_one_space_shows_its_terms(run: Callable[..., Any], name: str) -> None:
    done = run("spaces", name)
    assert done.code == 0
    assert all(term in done.out for term in load_space(name).terms)
    assert json.loads(run("spaces", name, "--json").out)["slots"]


def test_check_of_the_bundled_spaces(run: Callable[..., Any]) -> None:
    done = run("spaces", "--check")
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines() == [f"{name}: valid" for name in bundled_spaces()]


MANY = """# Which?
task: binary
slots:
  base: {terms: {focall: , focal: {gamma: 9}}}
  more: {terms: {soft_f1: }, weight: [3, 1]}
conditions:
  - never_together: [focal]
portfolio:
  - parts: [{term: focal, gamma: 7}, {term: soft_f2}, {term: focal, wieght: 1}]
  - parts: [{term: focal, gamma: $metric.nothing}]
  - parts: [{term: squared}]
  - parts: [{term: focal}]
balances: [summ]
"""


def test_faults_of_slots_and_of_the_portfolio_are_told_together(run: Callable[..., Any], tmp_path: Path) -> None:
    file = tmp_path / "many.yaml"
    file.write_text(MANY, encoding="utf-8")
    lines = [line.removeprefix(str(file)) for line in run("spaces", str(file), "--check").out.splitlines()]
    expected = {
        ":4: unknown term 'focall'", ":4: focal.gamma must lie in [0, 5]", ":5: weight: `low <= high` must hold",
        ":7: never_together names two or more terms", ":9: portfolio: focal.gamma must lie in [0, 5]",
        ":9: portfolio: unknown term 'soft_f2'", ":9: portfolio: focal has no hyperparameter 'wieght'",
        ":10: portfolio: unknown number of a metric 'nothing'",
        ":11: portfolio: squared reads prediction, target, which task binary does not offer",
        ":13: unknown balance 'summ'",
    }  # fmt: skip
    for start in expected:
        assert sum(line.startswith(start) for line in lines) == 1, (start, lines)
    assert len(lines) == len(expected)


def test_check_names_every_broken_rule_with_its_line(run: Callable[..., Any], broken: Path) -> None:
    done = run("spaces", str(broken), "--check")
    assert done.code == 2
    lines = done.out.splitlines()
    assert [line.removeprefix(str(broken))[:3] for line in lines] == [":4:", ":5:"]
    assert "did you mean focal, class_focal, coral?" in lines[0]
    assert "did you mean slots?" in lines[1]
    assert done.err == f"losssearch: {broken} breaks 2 rules\n"


def test_check_as_json(run: Callable[..., Any], broken: Path) -> None:
    (report,) = json.loads(run("spaces", str(broken), "--check", "--json").out)
    assert (report["space"], report["ok"], len(report["problems"])) == (str(broken), False, 2)


def test_a_broken_file_cannot_be_shown(run: Callable[..., Any], broken: Path) -> None:
    done = run("spaces", str(broken))
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(f"losssearch: {broken}:4: ")
    assert done.err.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "message"), [("binry", "did you mean binary, binary_"), ("no/such.yaml", "no/such.yaml")]
)
def test_an_unknown_space_is_one_line_and_exit_2(run: Callable[..., Any], name: str, message: str) -> None:
    done = run("spaces", name)
    assert (done.code, done.out) == (2, "")
    assert message in done.err
    assert done.err.count("\n") == 1


def test_the_documented_examples_keep_every_rule(run: Callable[..., Any], tmp_path: Path) -> None:
    page = (ROOT / "docs" / "search-spaces.md").read_text(encoding="utf-8")
    examples = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    assert len(examples) > 1
    for number, example in enumerate(examples):
        file = tmp_path / f"example_{number}.yaml"
        file.write_text(example, encoding="utf-8")
        assert run("spaces", str(file), "--check") == (0, f"{file}: valid\n", "")

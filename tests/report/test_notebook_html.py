"""What a notebook shows of results, verdicts, leaderboards and losses."""

from __future__ import annotations

from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

import losssearch as ls
from losssearch.study_result import SearchResult, VerdictSummary

Maker = Callable[..., dict[str, Any]]
HOSTILE = ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "</table></div><svg onload=x>", "{{ 7 * 7 }}"]
TAGS = {"div", "b", "span", "table", "thead", "tbody", "tr", "th", "td", "code", "details", "summary", "ul", "li"}


class Shown(HTMLParser):
    """The tags of a piece of HTML, its text, and whether every tag is closed in its turn."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.text, self.open = "", []  # type: ignore[var-annotated]
        self.feed(page)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.open.append(tag)
        assert {name for name, _ in attrs} <= {"style", "class"}

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_a_result_shows_verdict_leaderboard_and_notes(make_result: Maker) -> None:
    result = make_result()
    result["notes"] = ["train longer"]
    result["verdict"] |= {"grade": "better", "probability_better": 0.998}
    shown = Shown(SearchResult(result, Path("runs/adult"))._repr_html_())
    assert shown.tags <= TAGS
    words = " ".join(shown.text.split())
    for text in (
        "Use the searched loss",
        "It beats the best baseline",
        "grade: better",
        "= 0.99",
        "searched ◀",
        "train longer",
    ):
        assert text in words
    assert "fnlwgt: taken as a number" in words
    assert "2 notes" in words
    assert all(entry["name"] in words for entry in result["baselines"])
    assert "runs/adult/export/loss.py" in words


@pytest.mark.parametrize("hostile", HOSTILE)
def test_a_result_escapes_names_from_data_and_user(make_result: Maker, hostile: str) -> None:
    result = make_result()
    result |= {"study": hostile, "notes": [hostile]}
    result["metric"]["name"] = result["verdict"]["text"] = result["verdict"]["grade"] = hostile
    for entry in result["baselines"]:
        entry |= {"name": hostile, "formula": hostile}
    result["best"]["constraints"] = [
        {"name": hostile, "op": hostile, "limit": 0.1, "test": 0.05, "confirmation": {}, "noise_floor": {}}
    ]
    result["searched"]["constraints"] = result["best"]["constraints"]
    shown = Shown(SearchResult(result, Path(hostile))._repr_html_())
    assert shown.tags <= TAGS
    assert shown.text.count(hostile) >= 8


@pytest.mark.parametrize("hostile", HOSTILE)
def test_a_verdict_escapes_its_text(hostile: str) -> None:
    verdict = VerdictSummary("baseline", hostile, 0.0, (0.0, 0.0), 0.95, hostile, hostile, hostile, 0.5)
    shown = Shown(verdict._repr_html_())
    assert shown.tags <= TAGS
    assert hostile in shown.text


def test_a_verdict_of_an_older_study_has_no_grade(make_result: Maker) -> None:
    shown = Shown(SearchResult(make_result(recommended="baseline"), Path()).verdict._repr_html_())
    assert "Use the baseline focal" in shown.text
    assert "grade" not in shown.text
    assert "None" not in shown.text


def test_a_leaderboard_is_a_data_frame_that_escapes(make_result: Maker) -> None:
    result = make_result()
    result["baselines"][0]["name"] = HOSTILE[0]
    page = SearchResult(result, Path()).leaderboard._repr_html_()  # type: ignore[operator]
    assert "<script" not in page
    assert "&lt;script" in page


def test_a_loss_shows_its_formula_and_its_terms() -> None:
    loss = ls.compose({"parts": [{"term": "focal", "gamma": 1.5, "weight": 0.7}, {"term": "soft_f1", "weight": 0.3}]})
    shown = Shown(loss._repr_html_())
    assert shown.tags <= TAGS
    assert loss.spec.formula() in shown.text
    assert f"focal: {ls.terms['focal'].summary.replace('`', '')}" in shown.text


def test_formulas_are_not_typeset_as_mathematics(make_result: Maker) -> None:
    """A dollar in a column's name would begin a formula of MathJax."""
    for page in (
        SearchResult(make_result(), Path())._repr_html_(),
        ls.compose({"parts": [{"term": "focal"}]})._repr_html_(),
    ):
        assert "mathjax_ignore" in page
        assert "tex2jax_ignore" in page


@pytest.mark.parametrize("task", ["binary", "regression"])
def test_any_task_has_a_page(make_result: Maker, task: str) -> None:
    assert Shown(SearchResult(make_result(task), Path())._repr_html_()).tags <= TAGS

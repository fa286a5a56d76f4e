"""The page of a report in Chromium: readable on a telephone, sorted without a network, nothing that axe minds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from losssearch.losses.spec import LossSpec
from losssearch.report.html import write_report
from losssearch.report.pictures import draw_pictures
from tests.services.pages.browser import PATIENCE, launched, needs_chromium

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = [needs_chromium, pytest.mark.e2e]

WIDER = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launched() as made:
        yield made


def told() -> dict[str, Any]:
    """What a study tells of the training and of test."""
    grid = np.linspace(0, 1, 11).tolist()
    curve = {"recall": grid, "precision": grid[::-1], "decided": [0.6, 0.4]}
    bins = {"predicted": grid, "found": grid[::-1], "share": [1 / 11] * 11, "error": 0.1}
    remembers = LossSpec.from_json({"parts": [{"term": "early_learning"}, {"term": "brier"}]})
    loss = {
        "name": "searched", "trial": 9, "spec": remembers.to_json(), "learned": {}, "epochs": 4, "states": {},
        "weights": {"parts": ["brier", "early_learning"], "epochs": [0, 1, 2], "values": [[1, 2, 3], [3, 2, 1]]},
        "rows": {
            "edges": [-1.0, 0.0, 1.0, 2.0], "kept": [0, 5, 90], "changed": [30, 2, 0], "learned": 4,
            "means": {"class": 0, "kept": {"1_kept": [0.8, 0.2]}, "changed": {"1_kept": [0.1, 0.9]}},
        },
    }  # fmt: skip
    metrics = [{"name": "f1", "direction": "maximize", "recommended": 0.7, "baseline": 0.69, "plain": 0.65}]
    return {
        "command": "losssearch search adult.parquet --target income --trials 128",
        "plan": {"epochs": 4},
        "course": {"curves": [{"name": "focal", "values": [0.1, 0.4, None], "best": 2}], "loss": loss},
        "diagnosis": {
            "tuned": "threshold",
            "metrics": metrics,
            "positive": 1,
            "confusion": {"before": {"counts": [[9.0, 1], [2, 3]]}, "after": {"counts": [[8.0, 2], [1, 4]]}},
            "precision_recall": {"before": curve, "after": curve},
            "reliability": {"before": bins},
        },
    }


@pytest.fixture
def report(make_result: Callable[..., Any], make_trials: Callable[..., Any], tmp_path: Path) -> Path:
    result = make_result() | told()
    trials, spec = make_trials(result), LossSpec.from_json(result["best"]["spec"])
    pictures, explained = draw_pictures(result, trials, spec)
    assert {"shape", "slope", "stages", "slopes", "weights", "rows", "curves", "history"} <= set(pictures)
    assert {"precision_recall", "reliability"} <= set(pictures)
    assert "R²" in explained
    return write_report(tmp_path / "report.html", result, trials, {}, pictures=pictures, explained=explained)


def opened(browser: Browser, report: Path, width: int, theme: Any = "light") -> Page:
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=theme, offline=True)
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    page.on("console", lambda said: pytest.fail(said.text))
    page.goto(report.as_uri())
    return page


@pytest.mark.parametrize(("width", "theme"), [(1280, "light"), (390, "dark")])
def test_nothing_is_cut_and_axe_minds_nothing(browser: Browser, report: Path, width: int, theme: str) -> None:
    from axe_playwright_python.sync_playwright import Axe

    page = opened(browser, report, width, theme)
    assert page.evaluate(WIDER) <= 0
    found = Axe().run(page).response["violations"]
    assert [(one["id"], one["nodes"][0]["html"]) for one in found if one["impact"] in ("serious", "critical")] == []
    inside = (
        "[...document.querySelectorAll('main > .table td')].every(e => e.getBoundingClientRect().right <= innerWidth)"
    )
    assert page.evaluate(inside), "no cell of a table is beyond the window"
    page.context.close()


def test_all_trials_are_there_and_a_heading_sorts_them(browser: Browser, report: Path) -> None:
    page = opened(browser, report, 1280)
    rows = "[...document.querySelectorAll('#trials tbody tr')].map(row => row.cells[3].textContent)"
    assert len(page.evaluate(rows)) == 128
    heading = page.get_by_role("columnheader", name="value").get_by_role("button")
    heading.click()
    rising = [float(value) for value in page.evaluate(rows) if value != "–"]
    assert rising == sorted(rising)
    heading.click()
    falling = [float(value) for value in page.evaluate(rows) if value != "–"]
    assert falling == rising[::-1]
    assert page.evaluate(rows)[-1] == "–"
    page.context.close()


def test_the_same_result_gives_the_same_page(
    report: Path, make_result: Callable[..., Any], make_trials: Callable[..., Any], tmp_path: Path
) -> None:
    result = make_result() | told()
    trials, spec = make_trials(result), LossSpec.from_json(result["best"]["spec"])
    pictures, explained = draw_pictures(result, trials, spec)
    again = write_report(tmp_path / "again.html", result, trials, {}, pictures=pictures, explained=explained)
    assert again.read_bytes() == report.read_bytes()
    assert len(report.read_bytes()) < 2_000_000

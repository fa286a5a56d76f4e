"""The page and the figures of a study with groups."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from matplotlib.image import imread

from losssearch.losses.spec import LossSpec
from losssearch.report.fairness_figures import fairness_figures
from losssearch.report.figures import write_figures
from losssearch.report.html import render_report

Maker = Callable[..., Any]


def words(page: str) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", page.split("</style>")[1]).split())


@pytest.fixture
def fair_trials(make_trials: Maker) -> Maker:
    """Trials that judged a gap: metric, excess and gap on two replicas."""

    def make(result: dict[str, Any]) -> list[Any]:
        trials = make_trials(result, 30)
        return [
            replace(t, details=((t.value, 0.1, 0.06), (t.value, -0.1, 0.04))) if t.value is not None else t
            for t in trials
        ]

    return make


FRONT = [
    {
        "limit": limit,
        "trial": 1,
        "name": "searched-1" if origin == "searched" else "cross_entropy_tuned",
        "origin": origin,
        "formula": "focal(gamma=2)",
        "validation": {"metric": 0.7 + limit, "gap": limit - 0.01},
        "test": {"metric": 0.69 + limit, "gap": limit},
    }
    for limit, origin in ((0.02, "searched"), (0.04, "baseline"), (0.06, "searched"))
]


def test_the_page_says_all_of_constraints_and_groups(
    make_fair_result: Maker, fair_trials: Maker, tmp_path: Path
) -> None:
    result = make_fair_result()
    trials = fair_trials(result)
    paths = write_figures(tmp_path, result, trials, LossSpec.from_json(result["best"]["spec"]))
    assert {"trade_off", "price", "groups"} <= {path.stem for path in paths}
    page = render_report(result, trials, paths)
    text = words(page)
    for said in (
        "≤ 0.05 0.0190 0.0220 0.0410 certified at 95 % 0.0210 kept up to 0.0120",
        "The price: the baseline that is best whatever its gap is cross entropy",
        "demographic parity difference 0.1900 ✗",
        "F 400 0.250 0.200 to 0.300",
        "What this shows",
        "What it does not show",
        "nothing is promised to one person",
    ):
        assert said in text, said
    assert page.count("data:image/png") == len(paths)


def test_a_front_and_thresholds_of_groups_are_shown(make_fair_result: Maker) -> None:
    result = make_fair_result() | {"constraints": [], "front": FRONT}
    limit = {"name": "demographic_parity_difference", "op": "<=", "limit": 0.05, "test": 0.01, "met": True}
    result["best"]["group_thresholds"] = {
        "thresholds": {"F": [0.1, 0.2], "M": [-0.3, -0.2]},
        "test": {"metric": 0.72, "constraints": [limit]},
        "needs": "the attribute at prediction",
    }
    result["best"]["constraints"] = []
    drawn = fairness_figures(result, [])
    assert set(drawn) == {"front", "groups"}
    text = words(render_report(result, [], drawn))
    assert "0.0200 searched-1 focal(gamma=2) 0.7200 0.0100 0.7100 0.0200 0.0400 cross entropy tuned 0.7400" in text
    assert "They need the attribute at prediction" in text
    assert "F 0.1000, 0.2000" in text
    assert "on test is 0.7200, demographic parity difference 0.0100 ✓ (≤ 0.05)" in text
    assert "No limit is certified" in text


def reference(kind: str, limit: float, needs: str | None = None) -> dict[str, Any]:
    gap = {"name": "demographic_parity_difference", "op": "<=", "limit": limit, "test": limit + 0.013, "met": False}
    return {
        "name": "ThresholdOptimizer" if kind == "post-processed" else "ExponentiatedGradient",
        "library": "fairlearn",
        "kind": kind,
        "under": f"demographic_parity_difference <= {limit}",
        "base": "logistic regression",
        "needs": needs,
        "test": {"mean": 0.6543, "std": 0.01, "values": [0.6543]},
        "constraints": [gap],
    }


def test_other_mitigations_stand_beside(make_fair_result: Maker) -> None:
    result = make_fair_result()
    before = fairness_figures(result, [])
    result["references"] = [
        reference("post-processed", 0.05, "the attribute at prediction"),
        reference("reduction", 0.05),
    ]
    drawn = fairness_figures(result, [])
    assert drawn["price"] != before["price"]
    text = words(render_report(result, [], drawn))
    assert "demographic parity difference ≤ 0.05 0.6543 0.0630 not kept the attribute at prediction" in text
    assert "0.6543 0.0630 not kept nothing more" in text
    front = {**result, "constraints": [], "front": FRONT}
    front["references"] = [reference("reduction", limit) for limit in (0.02, 0.05)]
    plain = fairness_figures({**front, "references": []}, [])
    assert fairness_figures(front, [])["front"] != plain["front"]


def test_the_pull_on_groups_is_shown(make_fair_result: Maker) -> None:
    result = make_fair_result()
    result["best"]["groups"]["pull"] = [
        {"part": "focal(gamma=2)", "pull": {"F": 1.25, "M": 0.8333}},
        {"part": "group_disparity(limit=0.05)", "pull": {"F": None, "M": None}},
        {"part": "plain", "pull": {"F": 1.0, "M": 1.0}},
    ]
    text = words(render_report(result, [], {}))
    assert "focal(gamma=2) 1.250 0.833 group_disparity(limit=0.05) – – the plain loss, at the same outputs" in text


def test_incomplete_parts_are_left_out(make_fair_result: Maker) -> None:
    result = make_fair_result()
    result["front"] = [{"limit": 0.1, "name": "mse", "origin": "baseline", "formula": "squared"}]
    result["best"]["group_thresholds"] = {"thresholds": {}}
    for held in result["best"]["constraints"]:
        del held["noise_floor"], held["confirmation"]
    drawn = fairness_figures(result, [])
    text = words(render_report(result, [], drawn))
    assert not re.search(r"undefined|None", text)


def test_a_study_without_groups_says_nothing_of_them(make_result: Maker, make_trials: Maker) -> None:
    result = make_result()
    assert fairness_figures(result, make_trials(result)) == {}
    assert "Constraints" not in words(render_report(result, [], {}))


@pytest.mark.parametrize("task", ["regression", "multiclass"])
def test_groups_of_other_tasks(make_fair_result: Maker, task: str) -> None:
    result = make_fair_result() | {"task": task}
    one = {"value": 1234.5, "low": -1.0, "high": 2000.0}
    by_class = {"low": one, "a <b> class with a long name": one}
    rows = result["best"]["groups"]["test"]
    for row in rows:
        row.update(dict.fromkeys(("mean_target", "mean_prediction", "mean_error", "mae", "rmse"), one))
        row.update(dict.fromkeys(("selection_rate", "recall"), by_class) if task == "multiclass" else {})
    drawn = fairness_figures(result, [])
    assert imread(io.BytesIO(drawn["groups"])).shape[1] == 1350
    text = words(render_report(result, [], drawn))
    assert ("mean absolute error" if task == "regression" else "recall of low") in text
    assert "1,234" in text


@pytest.mark.parametrize("hostile", ["<script>alert(1)</script>", "$x_1$ \\frac"])
def test_names_of_groups_are_escaped(make_fair_result: Maker, hostile: str) -> None:
    result = make_fair_result()
    result["best"]["groups"]["test"][0]["group"] = hostile
    result["data"]["sensitive"] = [hostile]
    drawn = fairness_figures(result, [])
    assert "<script>" not in render_report(result, [], drawn)


def test_no_figure_runs_over_its_edge(make_fair_result: Maker, fair_trials: Maker) -> None:
    result = make_fair_result()
    result["best"]["groups"]["test"][0]["group"] = "a group with a name that goes on " * 4
    for held in result["best"]["constraints"]:
        held["limit"] = 0.5  # far from every trial
    for content in fairness_figures(result, fair_trials(result)).values():
        image = imread(io.BytesIO(content))[..., :3]
        assert (image[:, :4] == 1).all()
        assert (image[:, -4:] == 1).all()

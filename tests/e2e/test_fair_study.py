"""A study under constraints as a user runs it: its result, its exit codes, its report, and going on with it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import losssearch as ls
from losssearch.cli.app import main
from losssearch.errors import ConstraintUnmetError, InterruptedStudyError
from losssearch.option_names import spelled_by
from losssearch.request import flag
from losssearch.storage.records import TrialRecord
from losssearch.study.observer import SilentObserver

LIMIT = "demographic_parity_difference <= 0.3"
SMALL = ("--metric", "accuracy", "--trials", "12", "--epochs", "3", "--confirm-seeds", "2", "--workers", "0")


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """1,600 rows in two groups, of which one is positive more often, and a feature that follows the group."""
    generator = np.random.default_rng(7)
    group = generator.integers(0, 2, 1_600)
    score, other = generator.normal(size=1_600) + 0.4 * group, generator.normal(size=1_600)
    label = score + 0.5 * other + 0.5 * generator.normal(size=1_600) > 0.2
    frame = pd.DataFrame(
        {
            "score": score,
            "other": other,
            "sex": np.where(group, "m", "f"),
            "rare": np.where(np.arange(1_600) < 30, "x", "y"),
            "single": "z",
            "label": label.astype(int),
        }
    )
    place = tmp_path_factory.mktemp("fair") / "people.parquet"
    frame.to_parquet(place)
    return place


def call(table: Path, *options: str) -> int:
    return main(["search", str(table), "--target", "label", "--drop", "rare,single", *SMALL, *options])


@pytest.fixture(scope="module")
def finished(table: Path) -> Path:
    """A finished study under a limit that can be kept."""
    out = table.parent / "kept"
    assert call(table, "--sensitive", "sex", "--constraint", LIMIT, "--out", str(out), "--quiet") == 0
    return out


def result_of(out: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((out / "result.json").read_text(encoding="utf-8"))
    return content


def comparable(result: dict[str, Any]) -> dict[str, Any]:
    """What must be equal between two runs of one study."""
    return {key: value for key, value in result.items() if key not in ("timing", "mlflow", "export", "study")}


def test_the_result_says_how_the_limit_is_kept(finished: Path) -> None:
    result = result_of(finished)
    assert result["constraints"] == [LIMIT]
    assert result["data"]["sensitive"] == ["sex"]
    assert result["data"]["sensitive_as_feature"] is False
    assert set(result["data"]["groups"]) == {"f", "m"}
    assert result["data"]["features"] == 2
    assert result["verdict"]["unmet"] is None
    assert "out-of-fold rows certify it at 95%" in result["verdict"]["text"]
    for entry in (result["best"], *result["baselines"]):
        (held,) = entry["constraints"]
        assert {"name", "op", "limit", "validation", "confirmation", "test", "met"} <= set(held)
        assert set(held["confirmation"]) >= {"value", "bound", "status", "level"}
        assert held["met"] == (held["test"] <= 0.3)
        assert held["confirmation"]["value"] <= held["confirmation"]["bound"]
    (held,) = result["best"]["constraints"]
    assert held["promise"]["kept"]
    assert held["promise"]["bound"] <= 0.3
    assert held["confirmation"]["status"] == "met"
    assert held["noise_floor"]["verifiable"]
    assert 0 < held["noise_floor"]["mean"] < held["noise_floor"]["quantile"] < 0.3
    rows = result["best"]["groups"]["test"]
    assert [row["group"] for row in rows] == ["f", "m"]
    assert sum(row["rows"] for row in rows) == result["data"]["rows"]["test"]
    rates = [row["selection_rate"]["value"] for row in rows]
    assert abs(rates[0] - rates[1]) == pytest.approx(held["test"], abs=0.02)


def test_fairlearns_mitigations_stand_beside(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("fairlearn", reason="the extra `fairness` is not installed")
    post, reduction = result_of(finished)["references"]
    assert (post["name"], post["needs"]) == ("ThresholdOptimizer", "the attribute at prediction")
    assert (reduction["name"], reduction["needs"]) == ("ExponentiatedGradient", None)
    for entry in (post, reduction):
        assert entry["under"] == LIMIT
        assert 0.7 < entry["test"]["mean"] < 0.95
        (held,) = entry["constraints"]
        assert held["met"] == (held["test"] <= 0.3)
        assert 0 <= held["confirmation"]["value"] <= 0.33
    assert "fairlearn ThresholdOptimizer" in (finished / "report.html").read_text(encoding="utf-8")
    assert main(["leaderboard", str(finished)]) == 0
    assert "Compare" in capsys.readouterr().out


def test_without_fairlearn_a_note_says_how_to_get_it(
    table: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(import_module("losssearch.study.fairness.references"), "available", lambda: False)
    out = table.parent / "alone"
    options = ("--sensitive", "sex", "--constraint", LIMIT, "--trials", "4", "--no-mlflow")
    assert call(table, *options, "--out", str(out)) == 0
    assert "losssearch[fairness]" in capfd.readouterr().err.replace("\n", " ")
    assert result_of(out)["references"] == []


def test_the_mitigations_can_be_left_out(table: Path, capfd: pytest.CaptureFixture[str]) -> None:
    out = table.parent / "bare"
    options = ("--sensitive", "sex", "--constraint", LIMIT, "--trials", "4", "--no-mlflow", "--no-references")
    assert call(table, *options, "--out", str(out)) == 0
    assert "fairlearn" not in capfd.readouterr().err
    assert result_of(out)["references"] == []


def test_no_raw_row_is_in_the_report(finished: Path, table: Path) -> None:
    page = (finished / "report.html").read_text(encoding="utf-8")
    assert "Constraints" in page
    for value in pd.read_parquet(table)["score"]:
        assert f"{value:.6f}" not in page


def test_the_tables_show_gap_and_groups(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["leaderboard", str(finished)]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "✓" in shown
    assert "demographic" in shown
    assert "Groups on test" in shown
    assert main(["leaderboard", str(finished), "--json"]) == 0
    first, *_ = json.loads(capsys.readouterr().out)
    assert first["demographic_parity_difference_met"] is True


def test_the_report_is_made_again(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    again = finished.parent / "again.html"
    assert main(["report", str(finished), "--out", str(again)]) == 0
    assert str(again) in capsys.readouterr().out
    assert again.read_text(encoding="utf-8") == (finished / "report.html").read_text(encoding="utf-8")
    assert main(["report", str(finished), "--out", str(finished)]) == 2
    assert main(["report", str(finished.parent / "nowhere")]) == 2


def test_a_limit_that_nobody_keeps_ends_with_3_and_the_closest(table: Path, capfd: pytest.CaptureFixture[str]) -> None:
    out = table.parent / "unmet"
    limit = "worst_group_accuracy >= 0.9999"
    code = call(table, "--sensitive", "sex", "--constraint", limit, "--out", str(out), "--json", "--no-mlflow")
    shown = capfd.readouterr()
    assert code == 3
    assert json.loads(shown.out) == result_of(out)
    (line,) = shown.err.splitlines()
    assert "No candidate satisfies worst_group_accuracy >= 0.9999: the closest is" in line
    assert "beyond the limit" in line
    assert "not promised" in line
    assert "a lower confidence leave more room" in line
    result = result_of(out)
    assert not result["best"]["decision"]["promised"]
    assert result["verdict"]["unmet"] in line
    assert not result["best"]["constraints"][0]["met"]


BAD = {
    "the target": (["--sensitive", "label", "--constraint", LIMIT], "'label'"),
    "a single group": (["--sensitive", "single", "--constraint", LIMIT], "two groups"),
    "too few rows": (["--sensitive", "rare", "--constraint", LIMIT], "100 rows"),
    "no such column": (["--sensitive", "gender", "--constraint", LIMIT], "'gender'"),
    "many numbers": (["--sensitive", "score", "--constraint", LIMIT], "score>="),
    "unknown gap": (["--sensitive", "sex", "--constraint", "demografic_parity <= 1"], "demographic_parity_difference"),
    "wrong sign": (["--sensitive", "sex", "--constraint", "demographic_parity_difference >= 0.1"], "<="),
    "no sensitive column": (["--constraint", LIMIT], "--sensitive"),
    "two limits": (["--sensitive", "sex", "--constraint", LIMIT, "--constraint", LIMIT], "one limit"),
    "confidence": (["--sensitive", "sex", "--constraint", LIMIT, "--confidence", "1"], "--confidence"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_and_writes_nothing(case: str, table: Path, capfd: pytest.CaptureFixture[str]) -> None:
    options, mentioned = BAD[case]
    out = table.parent / "bad"
    arguments = ["search", str(table), "--target", "label", *SMALL, *options, "--out", str(out)]
    assert main(arguments) == 2
    shown = capfd.readouterr()
    assert shown.out == ""
    assert mentioned in shown.err.splitlines()[-1]
    assert len(shown.err.splitlines()) == 1
    assert not out.exists()


class Stops(SilentObserver):
    """Presses Ctrl-C once so many trials have ended."""

    def __init__(self, after: int) -> None:
        self.left = after

    def trials(self, records: Sequence[TrialRecord], best: float | None) -> None:
        """See `losssearch.study.observer.Observer.trials`."""
        self.left -= len(records)
        if self.left <= 0:
            raise KeyboardInterrupt


def test_a_stopped_study_goes_on_to_the_same_result(finished: Path, table: Path) -> None:
    options: dict[str, Any] = {
        "target": "label",
        "metric": "accuracy",
        "drop": ["rare", "single"],
        "sensitive": ["sex"],
        "constraints": [LIMIT],
        "trials": 12,
        "epochs": 3,
        "confirm_seeds": 2,
        "workers": 0,
        "mlflow": False,
        "out": finished.parent / "stopped",
    }
    with pytest.raises(InterruptedStudyError):
        ls.search(str(table), **options, observer=Stops(4))
    with spelled_by(flag):  # the other was started from the command line, and notes name options as there
        found = ls.search(str(table), **options, resume=True).to_json()
    assert comparable(found) == comparable(result_of(finished))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_workers_do_not_change_the_result(finished: Path, table: Path) -> None:
    out = finished.parent / "workers"
    options = ["--workers", "2", "--no-mlflow", "--quiet"]
    assert call(table, "--sensitive", "sex", "--constraint", LIMIT, "--out", str(out), *options) == 0
    assert comparable(result_of(out)) == comparable(result_of(finished))


def test_the_error_carries_the_closest_result(table: Path) -> None:
    with pytest.raises(ConstraintUnmetError) as caught:
        ls.search(
            str(table),
            target="label",
            metric="accuracy",
            sensitive="sex",
            drop=["rare", "single"],
            constraints="worst_group_accuracy >= 0.9999",
            trials=12,
            epochs=1,
            confirm_seeds=2,
            workers=0,
            mlflow=False,
            out=table.parent / "python-unmet",
        )
    assert caught.value.result.verdict.recommended in ("searched", "baseline")

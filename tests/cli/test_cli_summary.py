"""What the terminal shows of a finished study with groups."""

from __future__ import annotations

from typing import Any

import pytest

from losssearch.cli import summary
from losssearch.cli.summary import print_groups, print_leaderboard, print_verdict


def held(test: float, *, status: str = "met") -> dict[str, Any]:
    return {
        "name": "demographic_parity_difference",
        "op": "<=",
        "limit": 0.05,
        "test": test,
        "confirmation": {"value": test, "bound": test + 0.01, "status": status, "level": 0.95},
        "noise_floor": {"mean": 0.01, "quantile": 0.02, "verifiable": True},
    }


def a_result() -> dict[str, Any]:
    rate = {"value": 0.5, "low": 0.4, "high": 0.6}
    columns = ("base_rate", "selection_rate", "true_positive_rate", "false_positive_rate", "precision", "accuracy")
    group = dict.fromkeys((*columns, "calibration"), rate)

    def entry(name: str, mean: float, gap: float) -> dict[str, Any]:
        values = {"mean": mean, "std": 0.01, "values": [mean - 0.01, mean + 0.01]}
        formula = "0.5·binary_cross_entropy(smoothing=0) + 0.5·group_disparity(limit=0.05)"
        return {"name": name, "formula": formula, "validation": values, "test": values, "constraints": [held(gap)]}

    best = entry("searched-3", 0.8, 0.03) | {"groups": {"test": [{"group": g, "rows": 50, **group} for g in "ab"]}}
    return {
        "study": "s",
        "task": "binary",
        "metric": {"name": "accuracy", "direction": "maximize", "unit": ""},
        "constraints": ["demographic_parity_difference <= 0.05"],
        "best": best,
        "searched": best,
        "baselines": [entry("cross_entropy", 0.9, 0.2)],
        "verdict": {"recommended": "searched", "against": "cross_entropy", "text": "Use the searched loss."},
    }


@pytest.fixture
def shown(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    def show(result: dict[str, Any], width: int = 140) -> str:
        monkeypatch.setenv("COLUMNS", str(width))
        print_leaderboard(result)
        print_groups(result)
        return " ".join(capsys.readouterr().out.split())

    return show


def test_gap_mark_and_floor_of_a_limit(shown: Any) -> None:
    text = shown(a_result())
    assert "0.0300 ✓" in text
    assert "0.2000 ✗" in text
    assert "0.5·binary_cross_entropy + 0.5·group_disparity │" in text
    assert "a perfectly fair model would show up to 0.02 on this number of rows" in text
    assert "calibration" in text
    assert "│ a │ 50 │ 0.500 │" in text


def test_formulas_give_way_on_a_narrow_screen(shown: Any) -> None:
    text = shown(a_result(), 80)
    assert "0.0300 ✓" in text
    assert "binary_cross_entropy" not in text
    assert "calibration" not in text


def test_without_limits_a_narrow_screen_has_formulas_below_the_names(shown: Any) -> None:
    result = a_result()
    for entry in (result["best"], *result["baselines"]):
        entry["constraints"] = []
    assert "│ cross_entropy │ 0.9000 │ 0.9000 ± 0.0100 │ │ 0.5·binary_cross_entropy(smoothing=0) + │" in shown(
        result, 80
    )


def test_mean_and_spread_are_shown_to_the_same_digit(shown: Any) -> None:
    result = a_result()
    result["best"]["test"] = {"mean": 46.4039, "std": 2.0475, "values": [44.0, 48.0]}
    assert "46.4 ± 2.0 │" in shown(result)


def test_the_verdict_is_advice_and_evidence(capsys: pytest.CaptureFixture[str]) -> None:
    text = "Use the baseline focal: the search found nothing better; interval [-0.1, +0.2]."
    print_verdict(a_result() | {"verdict": {"recommended": "baseline", "against": "focal", "text": text}})
    first, second = capsys.readouterr().out.strip().splitlines()
    assert first == "Verdict  Use the baseline focal"
    assert second.strip() == "The search found nothing better; interval [-0.1, +0.2]."


def test_what_cannot_be_certified_is_a_warning(shown: Any) -> None:
    result = a_result()
    result["best"]["constraints"] = [held(0.03, status="not certifiable")]
    assert "Warning So few rows cannot certify demographic parity difference ≤ 0.05" in shown(result)


def test_front_and_thresholds_of_groups(shown: Any) -> None:
    place = {
        "limit": 0.1,
        "name": "focal",
        "validation": {"metric": 0.8, "gap": 0.1},
        "test": {"metric": 0.7, "gap": 0.2},
    }
    result = a_result() | {
        "objectives": ["accuracy", "demographic_parity_difference"],
        "front": [place, {"limit": 0.2, "name": "plain"}],
    }
    result["best"]["group_thresholds"] = {
        "test": {"metric": 0.81, "constraints": [held(0.01)]},
        "needs": "the attribute",
    }
    text = shown(result)
    assert "mean accuracy over limits on demographic parity difference" in text
    assert "│ 0.1 │ focal │ 0.8000 │ 0.1000 │ 0.7000 │ 0.2000 │" in text
    assert "│ 0.2 │ plain │ – │" in text
    assert "accuracy 0.8100 on test, demographic parity difference 0.0100 ✓; needs the attribute" in text


@pytest.mark.parametrize("mean", [9.985e-12, 0.000123, 0.5, 12.3, 1234.5, 1.7e9, 1e50])
@pytest.mark.parametrize("share", [0.1, 1e-4])
def test_figures_of_any_size_keep_digits(mean: float, share: float) -> None:
    shown, _, spread = summary._with_spread(mean, share * mean, 5).partition(" ± ")
    assert float(shown.replace(",", "")) == pytest.approx(mean, rel=6e-3)
    assert float(spread.replace(",", "")) == pytest.approx(share * mean, rel=1.1)
    assert len(shown) <= 13

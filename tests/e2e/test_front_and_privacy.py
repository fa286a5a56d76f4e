"""A study that draws a trade-off, a threshold a group, and a private final model: from the call to the files."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.torch import load_file

import losssearch as ls


def _frame(rows: int = 700) -> pd.DataFrame:
    random = np.random.default_rng(0)
    group = random.integers(0, 2, rows)
    skill = random.normal(size=rows)
    return pd.DataFrame(
        {
            "skill": skill,
            "proxy": group + random.normal(scale=0.5, size=rows),
            "group": np.where(group == 1, "a", "b"),
            "hired": (skill + group + random.normal(scale=0.7, size=rows) > 0.5).astype(int),
        }
    )


@pytest.mark.e2e
def test_a_front_is_drawn(tmp_path: Path) -> None:
    result = ls.search(
        _frame(),
        target="hired",
        sensitive="group",
        objectives=["accuracy", "demographic_parity_difference"],
        trials=12,
        epochs=5,
        workers=0,
        mlflow=False,
        out=tmp_path / "study",
    ).to_json()
    front = result["front"]
    gaps = [place["validation"]["gap"] for place in front]
    values = [place["validation"]["metric"] for place in front]
    assert gaps == sorted(gaps)
    assert values == sorted(values)
    assert len(front) > 3
    assert {place["origin"] for place in front} <= {"baseline", "searched"}
    assert result["verdict"]["recommended"] in ("searched", "baseline")
    if find_spec("fairlearn"):
        assert {entry["kind"] for entry in result["references"]} == {"post-processed", "reduction"}
        reached = [(entry["name"], *entry["test"]["values"]) for entry in result["references"]]
        assert len(set(reached)) == len(reached) > 2
    assert json.loads((tmp_path / "study" / "result.json").read_text())["front"] == front
    assert (tmp_path / "study" / "report.html").is_file()


@pytest.mark.e2e
def test_thresholds_by_group_and_a_private_model(tmp_path: Path) -> None:
    pytest.importorskip("opacus", reason="the extra `private` is not installed")
    result = ls.search(
        _frame(),
        target="hired",
        sensitive="group",
        metric="accuracy",
        constraints="demographic_parity_difference <= 0.4",
        group_thresholds=True,
        private_epsilon=8.0,
        trials=8,
        epochs=4,
        workers=0,
        mlflow=False,
        out=tmp_path / "study",
    ).to_json()
    by_group = result["best"]["group_thresholds"]
    assert set(by_group["thresholds"]) == {"a", "b"}
    assert by_group["needs"] == "the sensitive attribute at prediction"
    private = result["private"]
    assert 7 < private["epsilon"] <= 8
    assert load_file(tmp_path / "study" / private["model"])
    assert result["data"]["sensitive"] == ["group"]

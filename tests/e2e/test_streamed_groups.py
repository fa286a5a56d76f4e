"""A study under a limit whose table does not fit memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import losssearch as ls
from losssearch.errors import ConstraintUnmetError


@pytest.mark.e2e
def test_streamed_rows_train_with_their_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    random = np.random.default_rng(0)
    rows = 30_000
    group = random.integers(0, 2, rows)
    skill = random.normal(size=rows)
    frame = pd.DataFrame({"skill": skill, "proxy": group + 0.5 * random.normal(size=rows)})
    frame["group"] = np.where(group == 1, "a", "b")
    frame["hired"] = (skill + group + 0.7 * random.normal(size=rows) > 0.5).astype(int)
    frame.to_parquet(tmp_path / "t.parquet", row_group_size=5_000)
    try:
        found = ls.search(
            str(tmp_path / "t.parquet"),
            target="hired",
            sensitive="group",
            constraints="calibration_difference <= 0.03",  # no threshold changes it, so training must
            metric="accuracy",
            data_memory="2M",
            trials=8,
            epochs=2,
            confirm_seeds=2,
            workers=0,
            mlflow=False,
            out=tmp_path / "study",
        )
    except ConstraintUnmetError as error:
        found = error.result
    result = found.to_json()
    assert any("30,000 rows are streamed" in note for note in result["data"]["notes"])
    assert set(result["data"]["groups"]) == {"a", "b"}
    gaps = {entry["name"]: entry["constraints"][0]["validation"] for entry in result["baselines"]}
    assert gaps["fixed_penalty"] < gaps["cross_entropy"]
    assert "group" in result["best"]["groups"]["test"][0]

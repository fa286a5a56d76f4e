"""Studies with sample weights, from the command line to result.json."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from losssearch.cli.app import app, main
from losssearch.errors import OptionError

FEW = ["--trials", "4", "--epochs", "6", "--confirm-seeds", "2", "--no-mlflow", "--json", "--metric", "accuracy"]


def two_populations(folder: Path) -> Path:
    """Half of the rows follow one rule and half its opposite; those of the second rule weigh next to nothing."""
    generator = np.random.default_rng(0)
    features = generator.normal(size=(1200, 2))
    first = generator.random(1200) < 0.5
    labels = ((features[:, 0] > 0) == first).astype(int)
    path = folder / "two.csv"
    frame = pd.DataFrame({"a": features[:, 0], "b": features[:, 1], "w": np.where(first, 1.0, 0.001), "y": labels})
    frame.assign(sex=np.where(generator.random(1200) < 0.5, "f", "m")).to_csv(path, index=False)
    return path


@pytest.mark.parametrize("model", ["mlp", "lightgbm"])
def test_heavy_rows_are_learnt_and_judged(tmp_path: Path, model: str) -> None:
    path = two_populations(tmp_path)
    command = ["search", str(path), "--target", "y", "--drop", "sex", "--model", model, "--workers", "0", *FEW]
    weighted = CliRunner().invoke(app, [*command, "--weight", "w", "--out", str(tmp_path / "weighted")])
    assert weighted.exit_code == 0, weighted.output
    found = json.loads(weighted.stdout)
    assert found["best"]["test"]["mean"] > 0.9
    assert found["data"]["features"] == 2
    assert found["data"]["weight"]["column"] == "w"
    assert found["data"]["weight"]["effective_rows"] == pytest.approx(600, rel=0.1)
    low, high = found["verdict"]["interval"]
    assert low <= found["verdict"]["difference"] <= high
    plain = CliRunner().invoke(app, [*command, "--drop", "w", "--out", str(tmp_path / "plain")])
    assert json.loads(plain.stdout)["best"]["test"]["mean"] < 0.65


@pytest.mark.parametrize(
    ("options", "other"),
    [
        (["--sensitive", "sex", "--constraint", "demographic_parity_difference <= 0.1"], "--constraint"),
        (
            ["--sensitive", "sex", "--objective", "accuracy", "--objective", "demographic_parity_difference"],
            "--objective",
        ),
        (["--private-epsilon", "3"], "--private-epsilon"),
    ],
)
def test_what_is_promised_of_rows_is_refused_with_weights(
    tmp_path: Path, options: list[str], other: str, capfd: pytest.CaptureFixture[str]
) -> None:
    path = two_populations(tmp_path)
    out = tmp_path / "out"
    given = [*FEW, "--workers", "0", "--weight", "w", *options, "--out", str(out)]
    assert main(["search", str(path), "--target", "y", *given]) == OptionError.exit_code
    assert f"--weight and {other} do not go together" in capfd.readouterr().err
    assert not out.exists()

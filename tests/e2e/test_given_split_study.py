"""Studies on splits of one's own, from the command line to result.json."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import losssearch as ls
from losssearch.cli.app import app
from losssearch.errors import ConstraintUnmetError, OptionError

FEW = ["--trials", "4", "--epochs", "8", "--confirm-seeds", "2", "--workers", "0", "--no-mlflow", "--json"]


def patients(folder: Path) -> Path:
    generator = np.random.default_rng(0)
    rows = np.repeat(np.arange(100), 10)
    features = generator.normal(size=(100, 8))[rows] + 0.01 * generator.normal(size=(1000, 8))
    labels = (generator.permutation(100) < 50).astype(int)[rows]
    path = folder / "patients.csv"
    pd.DataFrame(features).rename(columns="f{}".format).assign(patient=rows * 7 + 3, y=labels).to_csv(path, index=False)
    return path


def test_what_cannot_be_learnt_across_patients_is_chance(tmp_path: Path) -> None:
    path = patients(tmp_path)
    command = ["search", str(path), "--target", "y", "--metric", "roc_auc", *FEW]
    split = CliRunner().invoke(app, [*command, "--group", "patient", "--out", str(tmp_path / "by-patient")])
    assert split.exit_code == 0, split.output
    found = json.loads(split.stdout)
    assert found["data"]["split"]["how"] == "group"
    assert found["data"]["split"]["group"] == "patient"
    assert found["data"]["split"]["groups"] == 100
    assert 0.2 < found["best"]["test"]["mean"] < 0.75
    low, high = found["verdict"]["interval"]
    assert low <= found["verdict"]["difference"] <= high
    # The same rows at random: the patients of the test part are known from training.
    leaky = CliRunner().invoke(app, [*command, "--drop", "patient", "--out", str(tmp_path / "by-row")])
    assert json.loads(leaky.stdout)["best"]["test"]["mean"] > 0.9
    assert json.loads(leaky.stdout)["data"]["split"]["how"] == "random"


def test_a_study_goes_on_with_its_own_split_alone(tmp_path: Path) -> None:
    path = patients(tmp_path)
    options = {
        "data": path, "target": "y", "metric": "roc_auc", "trials": 2, "epochs": 2, "confirm_seeds": 2, "workers": 0,
        "mlflow": False, "out": tmp_path / "out", "model": "linear",
    }  # fmt: skip
    first = ls.search(**options, group="patient")
    again = ls.search(**options, group="patient", resume=True)
    assert again.to_json() == first.to_json()
    with pytest.raises(OptionError, match="drop left out, got patient"):
        ls.search(**options, drop=("patient",), resume=True)
    with pytest.raises(OptionError, match="time left out, got 'patient'; leave time out"):
        ls.search(**options, time="patient", resume=True)
    with pytest.raises(OptionError, match="group"):
        ls.search(train=lambda loss, trial: 0.0, task="binary", metric="f1", group="patient")


def test_limits_are_certified_by_patient(tmp_path: Path) -> None:
    generator = np.random.default_rng(1)
    rows = np.repeat(np.arange(240), 8)
    sex = generator.integers(0, 2, 240)
    signal = generator.normal(size=240) + sex
    frame = pd.DataFrame({"a": signal[rows] + 0.01 * generator.normal(size=1920), "sex": sex[rows], "patient": rows})
    frame = frame.assign(y=(signal + generator.normal(size=240) > 0.5).astype(int)[rows])
    options = {
        "data": frame, "target": "y", "metric": "accuracy", "sensitive": "sex", "trials": 4, "epochs": 3, "workers": 0,
        "constraints": "demographic_parity_difference <= 0.3", "confirm_seeds": 2, "mlflow": False, "model": "linear",
        "references": False,
    }  # fmt: skip

    def margin(**split: str | tuple[str, ...]) -> float:
        try:
            found = ls.search(**options, **split, out=tmp_path / "-".join(split)).to_json()
        except ConstraintUnmetError as error:
            found = error.result.to_json()
        said = found["best"]["constraints"][0]["confirmation"]
        return said["bound"] - said["value"]

    assert margin(group="patient") > 1.8 * margin(drop=("patient",))

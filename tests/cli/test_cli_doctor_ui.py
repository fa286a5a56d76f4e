"""``losssearch doctor`` and ``losssearch ui``."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from losssearch.cli import doctor
from losssearch.tracking.mlflow import local_store


@pytest.fixture
def light(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the seconds that importing Ray and MLflow takes."""
    monkeypatch.setattr(doctor, "IMPORTED", ("torch", "optuna"))


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What would have been served."""
    calls: list[tuple[Any, ...]] = []

    def serve(uri: str, artifacts: Path | None, *, host: str, port: int | None, experiment: str) -> None:
        calls.append((uri, artifacts, host, port, experiment))

    monkeypatch.setattr("losssearch.tracking.ui.serve_ui", serve)
    return calls


def study(folder: Path, age: int) -> None:
    folder.mkdir(parents=True)
    (folder / "mlflow.db").touch()
    os.utime(folder / "mlflow.db", (1_000_000 - age, 1_000_000 - age))


def test_doctor_finds_this_installation_well(run: Callable[..., Any], light: None) -> None:
    done = run("doctor", "--json")
    report = json.loads(done.out)
    assert (done.code, done.err) == (0, "")
    assert {check["name"]: check["ok"] for check in report["checks"]} == {
        "import torch": True,
        "import optuna": True,
        "devices": True,
        "store sqlite": True,
        "spaces": True,
    }
    assert all(report["packages"].values())


def test_doctor_for_people(run: Callable[..., Any], light: None) -> None:
    done = run("doctor")
    assert done.code == 0
    assert "store sqlite" in done.out
    assert "BROKEN" not in done.out


def test_doctor_names_what_is_broken_and_goes_on(run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "IMPORTED", ("no_such_package",))
    done = run("doctor", "--json")
    checks = {check["name"]: check for check in json.loads(done.out)["checks"]}
    assert done.code == 1
    assert not checks["import no_such_package"]["ok"]
    assert "No module named 'no_such_package'" in checks["import no_such_package"]["detail"]
    assert checks["spaces"]["ok"]


def test_doctor_asks_the_store_that_is_named(run: Callable[..., Any], light: None, tmp_path: Path) -> None:
    done = run("doctor", "--json", "--storage", f"sqlite:///{tmp_path}/none.db")
    checks = {check["name"]: check for check in json.loads(done.out)["checks"]}
    assert done.code == 1
    assert not checks["store --storage"]["ok"]
    assert not (tmp_path / "none.db").exists()


def test_doctor_says_that_a_store_does_not_answer(run: Callable[..., Any], light: None) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"postgresql+psycopg://nobody@127.0.0.1:{closed.getsockname()[1]}/none"
        done = run("doctor", "--json", "--storage", url)
    assert done.code == 4
    assert [check["name"] for check in json.loads(done.out)["checks"] if not check["ok"]] == ["store --storage"]


def test_ui_serves_the_named_study(run: Callable[..., Any], served: list[tuple[Any, ...]], tmp_path: Path) -> None:
    study(tmp_path / "one", age=0)
    assert run("ui", str(tmp_path / "one"), "--port", "5001").code == 0
    assert served == [(*local_store(tmp_path / "one"), "127.0.0.1", 5001, "losssearch")]


def test_ui_serves_the_newest_study(
    run: Callable[..., Any], served: list[tuple[Any, ...]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, age in (("older", 2), ("newest", 0), ("old", 1)):
        study(tmp_path / "losssearch-runs" / name, age)
    assert run("ui", "--host", "0.0.0.0").code == 0
    assert served == [(*local_store(Path("losssearch-runs/newest")), "0.0.0.0", None, "losssearch")]


def test_ui_serves_the_store_that_the_result_names(
    run: Callable[..., Any], served: list[tuple[Any, ...]], tmp_path: Path
) -> None:
    result = {"mlflow": {"tracking_uri": "http://tracking:5000", "experiment": "ours"}}
    (tmp_path / "result.json").write_text(json.dumps(result), encoding="utf-8")
    assert run("ui", str(tmp_path)).code == 0
    assert served == [("http://tracking:5000", None, "127.0.0.1", None, "ours")]


def test_ui_finds_a_store_in_a_folder_that_was_moved(
    run: Callable[..., Any], served: list[tuple[Any, ...]], tmp_path: Path
) -> None:
    result = {"mlflow": {"tracking_uri": "sqlite:///runs.db", "experiment": "losssearch"}}
    (tmp_path / "result.json").write_text(json.dumps(result), encoding="utf-8")
    assert run("ui", str(tmp_path)).code == 0
    assert served == [(f"sqlite:///{tmp_path}/runs.db", None, "127.0.0.1", None, "losssearch")]


@pytest.mark.parametrize("result", [None, {}, {"mlflow": {"tracking_uri": None}}])
def test_ui_without_a_tracked_study_is_one_line_and_exit_2(
    run: Callable[..., Any], tmp_path: Path, result: dict[str, Any] | None
) -> None:
    if result is not None:
        (tmp_path / "result.json").write_text(json.dumps(result), encoding="utf-8")
    done = run("ui", str(tmp_path))
    assert (done.code, done.out) == (2, "")
    assert done.err == (
        f"losssearch: DIR must be the folder of a study that was tracked, but {tmp_path} holds no mlflow.db\n"
    )


def test_doctor_says_what_a_dataset_shows_as_a_search_does(run: Callable[..., Any], tmp_path: Path) -> None:
    import numpy as np
    import pandas as pd

    draw = np.random.default_rng(0)
    true = draw.integers(0, 4, 800)
    labels = np.where(draw.random(800) < 0.4, (true + 1) % 4, true)
    frame = pd.DataFrame({"a": 4.0 * (true % 2), "b": 4.0 * (true // 2)}) + 0.8 * draw.normal(size=(800, 2))
    frame.assign(y=[f"c{label}" for label in labels]).to_csv(tmp_path / "t.csv", index=False)
    done = run("doctor", str(tmp_path / "t.csv"), "--target", "y")
    assert (done.code, done.err) == (0, "")
    assert "of the labels look wrong, most in one direction, such as 'c" in done.out
    told = json.loads(run("doctor", str(tmp_path / "t.csv"), "--target", "y", "--json").out)["data"]
    assert told["wrong_labels"]["pairwise"]
    assert told["searched"] == told["wrong_labels"]["rows"] == 480
    assert told["notes"][-1] in done.out


def test_doctor_needs_data_for_a_target_and_names_what_it_lacks(run: Callable[..., Any], tmp_path: Path) -> None:
    assert (alone := run("doctor", "--target", "y")).code == 2
    assert alone.err == "losssearch: --target is a column of DATA: give a file, builtin:NAME or openml:ID\n"
    assert (missing := run("doctor", str(tmp_path / "none.csv"), "--target", "y")).code == 2
    assert missing.err.count("\n") == 1

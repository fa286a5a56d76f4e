"""Where labels look wrong in one direction, a study searches the losses against it too; elsewhere nothing changes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import losssearch as ls
from losssearch.assembly.place import Place
from losssearch.assembly.spaces import fitted_space, space_of
from losssearch.data import load
from losssearch.data.quality.looking import look
from losssearch.request import Request
from losssearch.request.bundled import bundled_folder
from losssearch.space import SearchSpace, load_space
from losssearch.storage.sql import SqlStore
from losssearch.tasks import get_task

SMALL: dict[str, Any] = {
    "target": "y", "trials": 4, "epochs": 1, "workers": 0, "mlflow": False, "verbose": 0, "draws": 1,
    "confirm_seeds": 2,
}  # fmt: skip
NOISY = "task: multiclass\nslots: {base: {terms: {early_learning: }}}\nportfolio: [{parts: [{term: early_learning}]}]\n"
CENTRES = np.array([[0, 0], [4, 0], [0, 4], [4, 4]], dtype=float)


@pytest.fixture(autouse=True)
def bundled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bundled spaces, the one against wrong labels with a single term."""
    folder = tmp_path / "spaces"
    shutil.copytree(bundled_folder(), folder)
    (folder / "multiclass_noisy.yaml").write_text(NOISY, encoding="utf-8")
    for module in ("losssearch.request.bundled", "losssearch.space.loading"):
        monkeypatch.setattr(f"{module}.bundled_folder", lambda: folder)


def table(share: float) -> pd.DataFrame:
    draw = np.random.default_rng(4)
    true = draw.integers(0, 4, 1000)
    frame = pd.DataFrame(CENTRES[true] + 0.8 * draw.normal(size=(1000, 2)), columns=["a", "b"])
    labels = np.where(draw.random(1000) < share, (true + 1) % 4, true)
    return frame.assign(y=[f"c{label}" for label in labels])


def kept(out: Path) -> dict[str, Any]:
    store = SqlStore(f"sqlite:///{out / 'study.db'}", create=False)
    try:
        space: dict[str, Any] = store.study(out.name).config["space"]
    finally:
        store.close()
    return space


def result(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "result.json").read_text(encoding="utf-8"))
    return found


def test_terms_join_where_labels_look_wrong_and_a_resume_keeps_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "study"
    ls.search(table(0.4), out=out, space="auto", **SMALL)
    assert "early_learning" in kept(out)["slots"]["base"]["terms"]
    found = result(out)
    assert found["data"]["wrong_labels"]["pairwise"]
    assert found["data"]["wrong_labels"]["mistaken"][0]["class"] in ("c0", "c1", "c2", "c3")
    assert any("most in one direction" in line for line in found["data"]["notes"])
    assert any(
        "those of the space multiclass_noisy, are searched too; space='multiclass' leaves" in one
        for one in found["notes"]
    )
    assert found["label_quality"] == "label_quality.parquet"
    judged = pd.read_parquet(out / "label_quality.parquet")
    assert list(judged) == ["row", "label", "suggested", "wrong", "loss", "kept", "running_loss"]
    assert (table(0.4)["y"].iloc[judged["row"]].to_numpy() == judged["label"]).all()
    (out / "label_quality.parquet").unlink()
    # Another machine may estimate otherwise near the threshold.
    monkeypatch.setattr("losssearch.data.quality.wrong_labels.ONE_WAY", 0.9)
    ls.search(table(0.4), out=out, resume=True, **{**SMALL, "trials": 5})
    assert result(out)["trials"]["total"] == 5
    again = pd.read_parquet(out / "label_quality.parquet")
    pd.testing.assert_frame_equal(again[list(judged)[:5]], judged[list(judged)[:5]])


def test_the_recommended_loss_says_what_it_has_kept_of_each_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The searched loss is recommended here whatever it reaches; a file that was lost is made again, to the digit."""
    monkeypatch.setattr("losssearch.study.selecting.claim.EVEN", -1.0)
    monkeypatch.setattr("losssearch.study.selecting.claim.graded", lambda test, probability: "better")
    monkeypatch.setattr("losssearch.study.selecting.evidence.Evidence.likely", property(lambda evidence: True))
    out = tmp_path / "study"
    asked = {**SMALL, "epochs": 3, "trials": 8}
    ls.search(table(0.2), out=out, space="multiclass_noisy", **asked)
    assert result(out)["best"]["formula"].startswith("early_learning")
    judged = pd.read_parquet(out / "label_quality.parquet")
    known = judged[judged["kept"].notna()]
    assert len(known) > 0.9 * len(judged), "nearly every row was trained on with one of two seeds"
    kept_target = np.stack(known["kept"])
    assert kept_target.shape[1] == 4
    np.testing.assert_allclose(kept_target.sum(1), 1, rtol=1e-5)
    assert (known["running_loss"] >= 0).all()
    other = np.array([f"c{place}" for place in kept_target.argmax(1)]) != known["label"].to_numpy()
    wrong = known["wrong"].to_numpy() > 0.5
    assert (other == wrong).mean() > 0.8, "both mostly find the same labels"
    (out / "label_quality.parquet").unlink()
    ls.search(table(0.2), out=out, resume=True, **asked)
    pd.testing.assert_frame_equal(pd.read_parquet(out / "label_quality.parquet"), judged)
    loss = result(out)["course"]["loss"]
    assert loss["name"] == "searched"
    assert sum(loss["rows"]["kept"]) + sum(loss["rows"]["changed"]) + loss["rows"]["learned"] > 300


def fitted(frame: pd.DataFrame, **asked: Any) -> SearchSpace:
    """The space of a study that begins."""
    dataset = load(frame, target="y")
    task = get_task(dataset.task)
    options = Request(data=frame, target="y", **asked)
    seen = look(dataset, np.arange(dataset.rows))
    assert seen.labels is not None
    return fitted_space(space_of(options, task), seen, dataset, task, Place(options, None))


def test_only_where_labels_look_wrong_does_the_space_of_the_task_change() -> None:
    assert fitted(table(0.4)).terms == load_space("multiclass").terms | {"early_learning"}
    assert fitted(table(0.4), space="auto") == fitted(table(0.4))
    assert fitted(table(0.0)) == load_space("multiclass")
    assert fitted(table(0.0), space="auto") == load_space("multiclass")


@pytest.mark.parametrize("asked", [{"space": "multiclass"}, {"model": "lightgbm"}])
def test_a_space_that_is_asked_for_and_that_of_trees_stay(asked: dict[str, str]) -> None:
    assert fitted(table(0.4), **asked) == load_space("multiclass")

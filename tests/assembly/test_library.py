"""A warm start from the user's earlier studies."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest

import losssearch as ls
from losssearch.assembly.library import OTHER_METRIC, Likeness
from losssearch.errors import OptionError
from losssearch.storage.sql import SqlStore

SMALL: dict[str, Any] = {
    "metric": "average_precision", "trials": 6, "epochs": 1, "workers": 0, "mlflow": False, "verbose": 0, "draws": 2,
    "confirm_seeds": 2,
}  # fmt: skip


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The folder of a finished study, and the spec of the searched loss that it confirmed."""
    out = tmp_path_factory.mktemp("earlier") / "first"
    ls.search("builtin:breast_cancer", out=out, **SMALL)
    return out, _result(out)["searched"]["spec"]


def _result(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "result.json").read_text(encoding="utf-8"))
    return found


@pytest.fixture
def library(earlier: tuple[Path, dict[str, Any]], tmp_path: Path) -> Path:
    shutil.copytree(earlier[0], tmp_path / "first")
    return tmp_path


def test_a_study_is_nearest_to_itself_and_further_by_the_decade() -> None:
    here = Likeness.of("binary", "f1", 1000, 10, (0.5, 0.5))
    assert here.distance(here) == 0
    assert here.distance(Likeness.of("binary", "f1", 10_000, 10, (0.5, 0.5))) == pytest.approx(1)
    assert here.distance(Likeness.of("binary", "f1", 10_000, 100, (0.5, 0.5))) == pytest.approx(math.sqrt(2))
    assert here.distance(Likeness.of("binary", "auc", 1000, 10, (0.5, 0.5))) == OTHER_METRIC
    assert here.distance(Likeness.of("multiclass", "f1", 1000, 10, (0.5, 0.5))) == math.inf


def test_the_confirmed_loss_comes_first_and_stays_when_the_study_is_resumed(
    earlier: tuple[Path, dict[str, Any]], library: Path
) -> None:
    out = library / "second"
    ls.search("builtin:breast_cancer", out=out, warm_start="library", seed=1, **SMALL)
    assert any("1 losses of the nearest of 1 earlier studies" in note for note in _result(out)["notes"])
    terms = [(part["term"], part["weight"]) for part in earlier[1]["parts"]]
    store = SqlStore(f"sqlite:///{out / 'study.db'}", create=False)
    try:
        kept = store.study("second").config["space"]["portfolio"]
        first = next(trial for trial in store.trials("second") if trial.origin == "searched")
    finally:
        store.close()
    assert [(part["term"], part["weight"]) for part in kept[0]["parts"]] == terms
    assert [part["term"] for part in first.spec["parts"]] == [term for term, _ in terms]
    shutil.copytree(library / "second", library / "third")  # the library has grown
    ls.search(resume=True, out=out, trials=7, verbose=0)
    assert _result(out)["trials"]["total"] == 7


def test_an_empty_library_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"^warm_start='library' needs an earlier finished study of task binary .*0 "):
        ls.search("builtin:breast_cancer", out=tmp_path / "first", warm_start="library", **SMALL)
    assert list(tmp_path.iterdir()) == []
    storage = f"sqlite:///{tmp_path / 'none.db'}"
    with pytest.raises(OptionError, match="in its store; found 0 of other tasks: leave it out"):
        ls.search("builtin:breast_cancer", out=tmp_path / "x", warm_start="library", storage=storage, **SMALL)


def test_studies_of_other_tasks_and_damaged_stores_are_told(library: Path) -> None:
    (library / "damaged").mkdir()
    (library / "damaged" / "study.db").write_bytes(b"no database" * 500)
    asked = SMALL | {"metric": "rmse"}
    with pytest.raises(OptionError, match=r"of task regression .*found 1 of other tasks, and stores .*read: 1"):
        ls.search("builtin:diabetes", out=library / "new", warm_start="library", **asked)


@pytest.mark.parametrize("given", ["lib", True, 3])
def test_there_is_one_library(given: object, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"^warm_start must be 'library', got "):
        ls.search("builtin:breast_cancer", out=tmp_path / "x", warm_start=given, **SMALL)

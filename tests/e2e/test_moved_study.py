"""A study's folder is moved: nothing in it names the old place, and every command works on it."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from sklearn.datasets import load_wine

import losssearch as ls
from losssearch.cli.app import main
from losssearch.study_result import SearchResult

pytestmark = pytest.mark.e2e

EXPORTED = {
    "python": "export/loss.py",
    "spec": "export/loss.json",
    "weights": None,
    "pt2": None,
    "report": "report.html",
}


@pytest.fixture(scope="module")
def moved(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Where a study was made, and where it is now; the file of its data is in neither place."""
    root = tmp_path_factory.mktemp("moved")
    made, data = root / "made-here" / "study", root / "rows.csv"
    load_wine(as_frame=True).frame.to_csv(data, index=False)
    small = ["--epochs", "1", "--confirm-seeds", "2", "--draws", "1", "--rates", "0.01", "--workers", "0", "--silent"]
    assert (
        main(
            [
                "search",
                str(data),
                "--target",
                "target",
                "--metric",
                "accuracy",
                "--trials",
                "4",
                *small,
                "--out",
                str(made),
            ]
        )
        == 0
    )
    now = root / "elsewhere"
    made.rename(now)
    made.parent.rmdir()
    return made, now


def _texts(folder: Path) -> dict[str, str]:
    """Everything in the files of a folder as text: of databases, every value of every table too."""
    found = {str(path.relative_to(folder)): path.read_bytes().decode("latin-1") for path in folder.rglob("*.*")}
    for store in folder.glob("*.db"):
        with closing(sqlite3.connect(store)) as connection:
            for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
                rows = connection.execute(f'SELECT * FROM "{table}"').fetchall()
                found[f"{store.name}:{table}"] = repr(rows)
    return found


def test_nothing_names_the_old_place(moved: tuple[Path, Path]) -> None:
    made, now = moved
    texts = _texts(now)
    assert {"study.db:losssearch_trial", "mlflow.db:runs", "result.json", "report.html", "export/loss.py"} <= set(texts)
    assert [name for name, text in texts.items() if str(made) in text or "made-here" in text] == []
    # The user's own path of the data is kept for a resume; MLflow is told the name of the file alone.
    assert [name for name, text in texts.items() if str(now.parent / "rows.csv") in text] == ["study.json"]
    assert "rows.csv" in texts["mlflow.db:datasets"]


def test_a_moved_study_is_read(moved: tuple[Path, Path]) -> None:
    _, now = moved
    result = ls.load_result(now)
    assert result.to_json()["export"] == EXPORTED
    assert result.to_json()["mlflow"]["tracking_uri"] == "sqlite:///mlflow.db"
    assert result.files == {name: now / path for name, path in EXPORTED.items() if path}
    assert all(path.is_file() for path in result.files.values())
    assert result.tracking_uri == f"sqlite:///{now}/mlflow.db"
    assert str(now) in result._repr_html_()
    assert len(result.leaderboard)
    assert result.loss is not None


def test_every_command_works_on_a_moved_study(
    moved: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made, now = moved
    served: list[object] = []
    monkeypatch.setattr("losssearch.tracking.ui.serve_ui", lambda *given, **options: served.extend(given))
    assert main(["leaderboard", str(now)]) == 0
    assert main(["report", str(now), "--out", str(tmp_path / "r.html")]) == 0
    assert main(["export", str(now), "--format", "python", "--out", str(tmp_path / "x")]) == 0
    assert main(["ui", str(now)]) == 0
    assert served == [f"sqlite:///{now}/mlflow.db", now / "mlartifacts"]
    assert main(["search", "--resume", "--out", str(now), "--trials", "5"]) == 0
    assert re.search(r"elsewhere/export/loss\.py", "".join(capsys.readouterr().out.split()))
    assert ls.load_result(now).to_json()["trials"]["total"] == 5
    assert not made.exists()


def test_a_result_with_whole_paths_is_read(moved: tuple[Path, Path], tmp_path: Path) -> None:
    """As earlier versions wrote it; and in a folder that was moved since."""
    _, now = moved
    place = tmp_path / "place"
    shutil.copytree(now, place)
    content = json.loads((place / "result.json").read_text())
    content["export"] = {name: path and f"/nowhere/study/{path}" for name, path in EXPORTED.items()}
    content["mlflow"]["tracking_uri"] = "sqlite:////nowhere/study/mlflow.db"
    (place / "result.json").write_text(json.dumps(content))
    result = ls.load_result(place)
    assert result.files == {name: place / path for name, path in EXPORTED.items() if path}
    assert result.tracking_uri == f"sqlite:///{place}/mlflow.db"
    assert SearchResult(content | {"mlflow": {}}, place).tracking_uri is None
    (tmp_path / "kept.py").touch()
    content["export"]["python"] = str(tmp_path / "kept.py")
    assert SearchResult(content, place).files["python"] == tmp_path / "kept.py"

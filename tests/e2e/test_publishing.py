"""A study that is killed between any two steps of its publishing, and one whose files are lost later."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from losssearch.cli.app import main
from losssearch.storage.sql import SqlStore

STUDY = ["search", "builtin:wine", "--target", "target", "--epochs", "2", "--confirm-seeds", "2", "--trials", "6"]
STEPS = ("os.rename", "os.mkdir", "os.remove", "os.link", "os.rmdir")

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning"),  # a child here drives one study and is killed
]


def files_of(out: Path) -> dict[str, bytes]:
    """Every file of a study but the databases, whose content is read apart."""
    found = (path for path in out.rglob("*") if path.is_file() and "mlartifacts" not in path.parts)
    return {str(path.relative_to(out)): path.read_bytes() for path in found if ".db" not in path.name}


def tracked(out: Path) -> tuple[int, list[str], list[str]]:
    """Children, states of all runs, and artifacts of the parent."""
    with sqlite3.connect(out / "mlflow.db") as connection:
        children = connection.execute("select count(*) from tags where key = 'mlflow.parentRunId'").fetchone()[0]
        states = [state for (state,) in connection.execute("select distinct status from runs")]
    kept = sorted(str(p.relative_to(out)).split("artifacts/", 2)[-1] for p in (out / "mlartifacts").rglob("*.*"))
    return children, states, kept


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """``whole`` is a finished study, ``kept`` the same when its store had the result but no file was written."""
    folder, before = tmp_path_factory.mktemp("publishing"), Path.cwd()
    os.chdir(folder)
    assert in_child(lambda: main([*STUDY, "--workers", "0", "--out", "runs", "--silent"]), "save_stage:finished") == 9
    assert not (folder / "runs" / "export").exists()
    shutil.copytree("runs", "kept")
    assert resumed() == 0
    shutil.copytree("runs", "whole")
    yield folder
    os.chdir(before)


def resumed() -> int:
    """The exit code of a resume that names the folder alone."""
    return main(["search", "--resume", "--out", "runs", "--silent"])


def in_child(run: Callable[[], int], kill_after: str | int = "") -> int:
    """The exit code of ``run`` in a process of its own, which kills itself with 9 after a step of the publishing.

    The step is a change of the folder, by its number, or ``METHOD:STAGE`` of the store. 100 + n says that all of n
    steps were made.
    """
    if (child := os.fork()) != 0:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    steps = 0

    def step(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal steps
        opened = event == "open" and str(arguments[0]).startswith(".losssearch-") and arguments[2] & os.O_CREAT
        if opened or (event in STEPS and "mlartifacts" not in str(arguments[0])):
            steps += 1
            if steps == kill_after:
                os._exit(9)

    def watched(name: str) -> None:
        method = getattr(SqlStore, name)

        def call(self: SqlStore, study: str, *arguments: Any) -> Any:
            nonlocal steps
            steps += 1
            if steps == kill_after:
                os._exit(9)
            found = method(self, study, *arguments)
            if kill_after == f"{name}:{arguments[0] if isinstance(arguments[0], str) else ''}":
                os._exit(9)
            return found

        setattr(SqlStore, name, call)

    code = 1
    try:
        sys.addaudithook(step)
        for name in ("save_stage", "save_result"):
            watched(name)
        code = run()
    finally:
        os._exit(100 + steps if isinstance(kill_after, int) and code == 0 else code)


def test_kills_in_a_row_that_each_come_a_step_later(folder: Path) -> None:
    shutil.rmtree("runs")
    shutil.copytree("kept", "runs")
    codes = []
    while codes[-1:] in ([], [9]):
        codes.append(in_child(resumed, len(codes) + 1))
    assert len(codes) > 5
    assert codes[-1] >= 100
    assert files_of(folder / "runs") == files_of(folder / "whole")
    assert tracked(folder / "runs") == tracked(folder / "whole")


@pytest.mark.nightly
@pytest.mark.timeout(1200)
def test_a_kill_between_any_two_steps_is_made_good_by_a_resume(folder: Path) -> None:
    expected, told = files_of(folder / "whole"), tracked(folder / "whole")
    assert {"result.json", "leaderboard.json", "report.html", "export/loss.py", "figures/history.png"} <= set(expected)
    assert told[:2] == (6, ["FINISHED"])
    step = 0
    while True:
        step += 1
        shutil.rmtree("runs")
        shutil.copytree("kept", "runs")
        code = in_child(resumed, step)
        if code != 9:
            assert code == 100 + step - 1
            break
        assert resumed() == 0
        assert files_of(folder / "runs") == expected, step
        assert tracked(folder / "runs") == told, step
    assert step > 15  # a file and its rename each, the swap of the bundle, and the marks of the store


@pytest.mark.parametrize("command", ["leaderboard", "report", "export"])
def test_other_commands_write_what_is_missing(
    folder: Path, tmp_path: Path, command: str, capfd: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree("runs")
    shutil.copytree("kept", "runs")
    more = {"export": ["--out", str(tmp_path / "loss")], "leaderboard": ["--json"], "report": []}
    assert main([command, "runs", *more[command]]) == 0
    found, whole = files_of(folder / "runs"), files_of(folder / "whole")
    whole.pop("label_quality.parquet")  # rows of the data are in no store
    one, other = (json.loads(files.pop("result.json")) for files in (found, whole))
    assert found == whole
    assert one.pop("mlflow") | {"complete": True, "problems": []} == other.pop("mlflow")  # which a resume finds out
    assert one == other
    if command == "leaderboard":
        assert json.loads(capfd.readouterr().out) == json.loads((folder / "whole/leaderboard.json").read_bytes())
    assert resumed() == 0
    assert tracked(folder / "runs") == tracked(folder / "whole")


def _lose(out: Path, name: str) -> None:
    place = out / name
    if place.is_dir():
        shutil.rmtree(place)
    else:
        place.unlink()


LOST: dict[str, Callable[[Path], object]] = {
    "result": lambda out: _lose(out, "result.json"),
    "a torn result": lambda out: (out / "result.json").write_bytes((out / "result.json").read_bytes()[:200]),
    "the result of another study": lambda out: (out / "result.json").write_text('{"study": "other"}'),
    "report": lambda out: _lose(out, "report.html"),
    "figures": lambda out: _lose(out, "figures"),
    "export": lambda out: _lose(out, "export"),
    "one file of the export": lambda out: _lose(out, "export/MODEL_CARD.md"),
    "a file of the export in part": lambda out: (out / "export/loss.json").write_text("{"),
    "all": lambda out: [_lose(out, n) for n in ("result.json", "leaderboard.json", "report.html", "figures", "export")],
}


@pytest.mark.parametrize("lost", LOST)
def test_a_resume_writes_what_was_lost_later(folder: Path, lost: str) -> None:
    shutil.rmtree("runs")
    shutil.copytree("whole", "runs")
    LOST[lost](folder / "runs")
    assert files_of(folder / "runs") != files_of(folder / "whole")
    assert resumed() == 0
    assert files_of(folder / "runs") == files_of(folder / "whole")


def test_a_finished_study_of_an_older_version_that_lost_its_files_is_published_again(folder: Path) -> None:
    shutil.rmtree("runs")
    shutil.copytree("whole", "runs")
    with sqlite3.connect("runs/study.db") as connection:
        connection.execute("delete from losssearch_stage where stage in ('finished', 'published')")
    for name in ("result.json", "leaderboard.json", "report.html", "figures", "export", "study.json"):
        _lose(folder / "runs", name)
    assert main(["search", "--resume", "--out", "runs"]) == 2  # no command is kept
    assert main([*STUDY, "--workers", "0", "--out", "runs", "--silent", "--resume"]) == 0
    before, after = (json.loads((folder / out / "result.json").read_bytes()) for out in ("whole", "runs"))
    del before["timing"], after["timing"]
    assert before == after
    assert resumed() == 0


def test_nothing_is_written_through_links_that_come_later(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (folder / "victim").mkdir(exist_ok=True)
    for name in ("figures", "export", "result.json", "report.html"):
        shutil.rmtree("runs")
        shutil.copytree("kept", "runs")
        (folder / "runs" / name).symlink_to(folder / "victim")
        assert resumed() == 2
        (line,) = capfd.readouterr().err.splitlines()
        assert f"{name} is a link: remove it" in line
        (folder / "runs" / name).unlink()
    assert list((folder / "victim").iterdir()) == []
    assert resumed() == 0

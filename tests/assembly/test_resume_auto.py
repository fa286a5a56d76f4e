"""``resume="auto"``: one command that starts a study or continues it, wherever an earlier driver was killed."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import losssearch as ls
from losssearch import api
from losssearch.assembly import place
from losssearch.assembly.claim import CLAIM, claim_folder, read_claim
from losssearch.assembly.command import Command
from losssearch.cli.app import main
from losssearch.errors import ConnectionLostError, OptionError, StudyHeldError
from losssearch.option_names import spelled_by
from losssearch.progress import progress
from losssearch.request import Request, flag
from losssearch.storage.lease import Job
from losssearch.storage.records import TrialRecord
from losssearch.storage.sql import SqlStore

pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
"""A child here drives one study and is killed."""

OPTIONS: dict[str, Any] = {
    "data": "builtin:wine",
    "target": "target",
    "trials": 4,
    "epochs": 1,
    "draws": 1,
    "confirm_seeds": 2,
    "workers": 0,
    "mlflow": False,
    "study": "wine",
}
COMMAND = ["search", "builtin:wine", "--target", "target", "--trials", "4", "--epochs", "1", "--draws", "1"]
COMMAND += ["--confirm-seeds", "2", "--workers", "0", "--no-mlflow", "--study", "wine", "--silent"]


def at(owner: Any, name: str, act: Callable[[], object], *, before: bool = False, calls: int = 1) -> None:
    """Act before or after one of the calls of a function."""
    function, made = getattr(owner, name), 0

    def called(*arguments: Any, **named: Any) -> Any:
        nonlocal made
        made += 1
        if before and made == calls:
            act()
        found = function(*arguments, **named)
        if made == calls:
            act()
        return found

    setattr(owner, name, called)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def forked(run: Callable[[], int]) -> int:
    """The number of a new process, which runs this."""
    if (child := os.fork()) != 0:
        return child
    code = 70
    try:
        code = run()
    finally:
        os._exit(code)


def code_of(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def content(out: Path) -> tuple[dict[str, Any], list[TrialRecord]]:
    """The result but for its times and places, and the trials."""
    result = json.loads((out / "result.json").read_text(encoding="utf-8"))
    for apart in ("timing", "export"):
        del result[apart]
    store = SqlStore(f"sqlite:///{out}/study.db", create=False)
    trials = [replace(trial, seconds=0.0, attempts=0) for trial in store.trials("wine")]
    store.close()
    return result, trials


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("undisturbed") / "study"
    assert main([*COMMAND, "--out", str(out)]) == 0
    return out


POINTS: dict[str, Callable[[], None]] = {
    "before the claim": lambda: at(place, "claim_folder", die, before=True),
    "after the claim": lambda: at(place, "claim_folder", die),
    "the claim again": lambda: at(place, "resumed_claim", die),
    "before the entry": lambda: at(SqlStore, "create_study", die, before=True),
    "after the entry": lambda: at(SqlStore, "create_study", die),
    "after the lease": lambda: at(SqlStore, "acquire", die),
    "in the search": lambda: at(SqlStore, "save_trials", die, calls=2),
    "publishing": lambda: at(SqlStore, "save_result", die, before=True),
    "at the end": lambda: None,
}


def test_the_same_command_after_kills_at_every_point(undisturbed: Path, tmp_path: Path) -> None:
    out = tmp_path / "study"

    def killed(kill: Callable[[], None]) -> int:
        kill()
        return main([*COMMAND, "--resume", "auto", "--out", str(out)])

    codes = {point: code_of(forked(lambda kill=kill: killed(kill))) for point, kill in POINTS.items()}
    assert codes == {point: 0 if point == "at the end" else -signal.SIGKILL for point in POINTS}
    assert content(out) == content(undisturbed)
    again = ls.search(**OPTIONS, out=out, resume="auto", verbose=0)
    assert again.to_json() == json.loads((out / "result.json").read_text(encoding="utf-8"))


def test_a_study_is_found_by_the_name_that_its_data_give(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    made = place.Place(Request(data="builtin:wine", target="target", resume="auto", workers=0))
    made.settle("wine-f1")
    assert made.may_be_new
    assert made.claim is not None
    made.claim.begin(made.claim.command)
    again = place.Place(Request(data="builtin:wine", target="target", resume="auto", workers=0))
    again.settle("wine-f1")
    assert again.folder == made.folder
    assert not again.may_be_new


def test_a_store_that_knows_the_study_of_a_lost_folder(undisturbed: Path, tmp_path: Path) -> None:
    url = f"sqlite:///{undisturbed}/study.db"
    asked = Request(**OPTIONS, out=tmp_path / "elsewhere", resume="auto", storage=url)
    assert not place.Place(asked).may_be_new
    other = place.Place(replace(asked, study="another", out=tmp_path / "new"))
    assert other.may_be_new
    assert other.claim is not None
    other.claim.leave()


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"epochs": 3}, "^resume='auto' continues .* epochs 1, got 3; repeat the first command"),
        ({"seed": 1}, "^resume='auto' continues .* seed 0, got 1; repeat the first command"),
        ({"epochs": None}, r"differ: epochs \(started with 1, got \d+\); repeat the first command"),
        ({"metric": "accuracy"}, r"differ: metric \(started with balanced_accuracy, got accuracy\); repeat"),
    ],
)
def test_other_options_are_refused(undisturbed: Path, changed: dict[str, Any], said: str) -> None:
    with pytest.raises(OptionError, match=said):
        ls.search(**OPTIONS | changed, out=undisturbed, resume="auto", verbose=0)


def test_more_trials_are_asked_for_and_the_same_number_is_not(undisturbed: Path) -> None:
    def asked(**changed: Any) -> set[str]:
        options = Request(**OPTIONS | changed, out=undisturbed, resume="auto")
        return {"trials", "time_budget"} & set(place.Place(options).options.explicit or ())

    assert asked() == set()
    assert asked(trials=8) == {"trials"}
    assert asked(time_budget=60.0) == {"time_budget"}


def test_bad_input_leaves_no_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["search", "builtin:wine", "--target", "nothing", "--workers", "0", "--resume", "auto"]
    assert main([*command, "--out", str(tmp_path / "deep" / "study")]) == 2
    assert list(tmp_path.iterdir()) == []
    assert main(["search", "--resume", "auto", "--out", str(tmp_path)]) == 2
    assert "DATA must be given" in capsys.readouterr().err


def _must_not_load(*arguments: Any, **named: Any) -> Any:
    raise AssertionError("data were loaded")


@pytest.mark.parametrize("resume", [["--resume"], ["--resume", "auto"]])
def test_a_study_that_is_driven_elsewhere_is_refused_before_data_are_read(
    undisturbed: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], resume: list[str]
) -> None:
    monkeypatch.setattr("losssearch.assembly.from_data.load", _must_not_load)
    monkeypatch.setattr("losssearch.storage.lease._place", lambda: "another container")
    driver = SqlStore(f"sqlite:///{undisturbed}/study.db")
    driver.acquire("wine")
    monkeypatch.setattr("losssearch.storage.lease._place", lambda: "this container")
    assert main([*COMMAND, *resume, "--out", str(undisturbed)]) == 5
    driver.close()
    said = capsys.readouterr().err
    assert "'wine' is driven by process" in said
    assert said.count("\n") == 1


def test_a_study_that_is_being_started_is_held(tmp_path: Path) -> None:
    claim = claim_folder(tmp_path, "wine", Command())
    for resume in (True, "auto"):
        with pytest.raises(StudyHeldError, match="'wine', which another search is starting"):
            place.Place(Request(**OPTIONS, out=tmp_path, resume=resume))  # type: ignore[arg-type]
    claim.leave()
    place.Place(Request(**OPTIONS, out=tmp_path, resume="auto"))


def attempt(number: int, out: Path) -> int:
    """Run the study as one attempt of a job; its exit code."""
    try:
        with progress(0) as observer, spelled_by(flag):  # as the command does, for equal texts
            api.run(Request(**OPTIONS, out=out, resume="auto"), observer, job=Job("job-7", number))
    except (ConnectionLostError, StudyHeldError) as error:
        return error.exit_code
    return 0


def stand_still() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


@pytest.mark.parametrize("point", ["after the claim", "in the search"])
def test_the_next_attempt_of_a_job_takes_the_study_from_one_that_stands_still(
    undisturbed: Path, tmp_path: Path, point: str
) -> None:
    out = tmp_path / "study"

    def first() -> int:
        if point == "after the claim":
            at(place, "claim_folder", stand_still)
        else:
            at(SqlStore, "save_trials", stand_still, calls=2)
        return attempt(1, out)

    def next_one() -> int:
        if point == "after the claim":  # the older one wakes up while this one drives
            at(SqlStore, "save_trials", awake, calls=2)
        return attempt(2, out)

    older = forked(first)
    assert os.WIFSTOPPED(os.waitpid(older, os.WUNTRACED)[1])

    def awake() -> None:
        os.kill(older, signal.SIGCONT)
        while Path(f"/proc/{older}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
            time.sleep(0.05)

    with pytest.raises(StudyHeldError):
        place.Place(Request(**OPTIONS, out=out, resume="auto"), Job("job-8", 9))
    assert code_of(forked(next_one)) == 0
    if point == "in the search":
        os.kill(older, signal.SIGCONT)
    assert code_of(older) == (5 if point == "after the claim" else 4)
    assert content(out) == content(undisturbed)
    claim = read_claim(out)
    assert claim is not None
    assert claim.begun
    assert (out / CLAIM).is_file()

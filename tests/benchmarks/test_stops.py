"""The benchmark of stops: it must see what it is there to see."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.stops.__main__ import Found, Run
from benchmarks.stops.kinds import KINDS, listens
from benchmarks.stops.studies import STUDIES
from losssearch.storage.records import StudyRecord, TrialRecord, TrialState
from losssearch.storage.sql import SqlStore

STUDY = dataclasses.replace(STUDIES[0], tracking="")


class Server:
    url = ""


def run_in(folder: Path, values=(0.5, 0.6), states=(TrialState.COMPLETED,) * 2, **result) -> Run:
    """A folder with an undisturbed study, and one that was stopped with ``values``, ``states`` and ``result``."""
    for name, reached, ended, found in (
        ("undisturbed", (0.5, 0.6), (TrialState.COMPLETED,) * 2, {}),
        ("stopped-1", values, states, result),
    ):
        out = folder / name
        out.mkdir()
        store = SqlStore(f"sqlite:///{out / 'study.db'}")
        store.create_study(StudyRecord("study", {}, "0", "2026-01-01T00:00:00+00:00"))
        trials = [
            TrialRecord(n, "baseline", "x", {}, "key", state, value=value, seconds=n, attempts=len(found))
            for n, (value, state) in enumerate(zip(reached, ended, strict=True))
        ]
        store.save_trials("study", trials)
        store.close()
        (out / "result.json").write_text(json.dumps({"best": 1, "timing": name, **found}))
    return Run(STUDY, folder, folder, (Server(), Server()), "0")


def test_equal_studies_are_equal_whatever_their_times(tmp_path):
    run = run_in(tmp_path)
    run._compare("stopped-1")
    assert run.found.wrong == []


@pytest.mark.parametrize(
    ("difference", "said"),
    [
        ({"values": (0.5, 0.7)}, "different: [1]"),
        ({"values": (0.5,), "states": (TrialState.COMPLETED,)}, "2 trials, found 1"),
        ({"states": (TrialState.COMPLETED, TrialState.FAILED)}, "different: [1]"),
        ({"best": 2}, "best of result.json differs"),
    ],
    ids=["value", "lost trial", "failed trial", "result"],
)
def test_a_difference_is_told(tmp_path, difference, said):
    run = run_in(tmp_path, **difference)
    run._compare("stopped-1")
    assert any(said in wrong for wrong in run.found.wrong), run.found.wrong


def test_a_file_that_is_missing_is_told(tmp_path):
    run = run_in(tmp_path)
    (tmp_path / "undisturbed" / "report.html").touch()
    run._compare("stopped-1")
    assert any("report.html" in wrong for wrong in run.found.wrong)


def test_what_was_found_goes_into_the_json_file():
    found = Found("one")
    found.stops["TERM"] += 2
    assert json.loads(json.dumps(vars(found)))["stops"] == {"TERM": 2}


def test_an_exit_code_out_of_place_is_told(tmp_path):
    run = Run(STUDY, tmp_path, tmp_path, (Server(), Server()), "0")
    process = subprocess.Popen([sys.executable, "-c", "raise SystemExit(134)"], text=True)
    assert run._end(process, "after TERM", {0, 130}) is None
    assert run.found.wrong == ["after TERM: exit 134, expected [0, 130]"]


@pytest.mark.parametrize("catches", [True, False])
def test_whether_a_program_catches_sigterm_is_seen(catches):
    handler = "lambda *_: None" if catches else "signal.SIG_DFL"
    code = f"import signal; signal.signal(signal.SIGTERM, {handler}); print('up', flush=True); input()"
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "up\n"
    assert listens(process) is catches
    process.communicate("\n")


def test_every_kind_of_stop_fits_some_study():
    for kind in KINDS:
        assert any(kind.fits(study) for study in STUDIES), kind.name

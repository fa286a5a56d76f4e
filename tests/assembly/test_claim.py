"""Whose a study's folder is, when several searches want it, when one dies, and what may not be in it."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
from pathlib import Path

import pytest

from losssearch.assembly.claim import CLAIM, FILES, FOLDERS, TakenError, check_free, claim_folder, read_claim
from losssearch.assembly.command import Command
from losssearch.assembly.place import RUNS, Place
from losssearch.errors import ConnectionLostError, DataError, OptionError
from losssearch.request import Request

WINE = "builtin:wine"
pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
"""The children here only claim and end."""


def _claims_and_waits(out: Path, start, answers) -> None:  # type: ignore[no-untyped-def]
    start.wait()
    try:
        claim = claim_folder(out, f"study-{os.getpid()}", Command())
    except TakenError as error:
        answers.put(str(error))
    else:
        answers.put("")
        signal.pause()
        claim.leave()


def test_of_four_that_start_at_once_one_has_the_folder(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    start, answers = context.Barrier(4), context.Queue()
    out = tmp_path / "deep" / "study"
    processes = [context.Process(target=_claims_and_waits, args=(out, start, answers)) for _ in range(4)]
    for process in processes:
        process.start()
    found = [answers.get(timeout=240) for _ in processes]
    holder = read_claim(out)
    for process in processes:
        process.kill()
        process.join()
    assert holder is not None
    assert sorted(map(bool, found)) == [False, True, True, True]
    refused = [message for message in found if message]
    assert all(str(out) in message and "give another out" in message for message in refused)
    assert all(holder.study in message for message in refused)


def _claims_and_dies(out: Path) -> None:
    claim_folder(out, "died", Command({"data": WINE}))
    os._exit(9)


def test_the_claim_of_a_process_that_died_before_its_study_began_is_taken_over(tmp_path: Path) -> None:
    process = multiprocessing.get_context("fork").Process(target=_claims_and_dies, args=(tmp_path / "study",))
    process.start()
    process.join()
    left = read_claim(tmp_path / "study")
    assert left is not None
    assert (left.study, left.begun) == ("died", False)
    claim = claim_folder(tmp_path / "study", "next", Command())
    with pytest.raises(TakenError, match="'next', which another search is starting"):
        claim_folder(tmp_path / "study", "third", Command())
    claim.begin(Command())
    with pytest.raises(TakenError, match="holds the study 'next': resume it with resume=True"):
        claim_folder(tmp_path / "study", "third", Command())
    assert [path.name for path in (tmp_path / "study").iterdir()] == [CLAIM]


def test_a_claim_that_was_never_written_is_taken_over(tmp_path: Path) -> None:
    (tmp_path / CLAIM).touch()
    claim_folder(tmp_path, "wine", Command()).leave()
    found = read_claim(tmp_path)
    assert found is not None
    assert found.study == "wine"


def test_a_withdrawn_claim_leaves_nothing(tmp_path: Path) -> None:
    claim_folder(tmp_path / "a" / "b", "wine", Command()).withdraw()
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "mine.txt").touch()
    claim_folder(tmp_path, "wine", Command()).withdraw()
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize("name", [*FILES, *FOLDERS])
def test_a_link_in_the_place_of_a_file_of_ours_is_refused_at_the_start(tmp_path: Path, name: str) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / name).symlink_to(tmp_path / "elsewhere")
    for options in (Request(data=WINE, out=tmp_path / "study"), Request(out=tmp_path / "study", resume=True)):
        with pytest.raises(OptionError, match=rf"{name} is a link: remove it"):
            Place(options)
    assert list((tmp_path / "elsewhere").iterdir()) == []


@pytest.mark.parametrize("name", ["result.json", "report.html"])
def test_a_folder_in_the_place_of_a_file_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    with pytest.raises(OptionError, match=rf"{name} is no file"):
        check_free(tmp_path)


def test_other_files_in_the_export_are_found_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "export").mkdir()
    check_free(tmp_path)
    (tmp_path / "export" / "mine.txt").touch()
    with pytest.raises(OptionError, match="export is not empty"):
        check_free(tmp_path)


@pytest.mark.parametrize("name", ["study.db", "result.json"])
def test_the_folder_of_an_older_version_is_taken(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(json.dumps({"study": "old"}))
    with pytest.raises(TakenError, match="resume=True"):
        claim_folder(tmp_path, "wine", Command())


@pytest.mark.parametrize("text", ["[]", "{", "\0", '{"study": 1}', '{"command": {"options": 3}}'])
def test_a_damaged_claim_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / CLAIM).write_text(text)
    with pytest.raises(DataError, match=rf"{CLAIM} must be the record of a study"):
        read_claim(tmp_path)


@pytest.mark.parametrize("name", [".", "..", "...", "a/b", "", "../x"])
def test_a_name_does_not_lead_out_of_the_folder(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for resume in (False, True):
        with pytest.raises(OptionError, match="study must be 1 to 100 letters"):
            Place(Request(data=WINE, study=name, resume=resume))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_without_a_name_asks_for_one() -> None:
    with pytest.raises(OptionError, match="study must be given"):
        Place(Request(data=WINE, out="/"))


def test_default_places_are_numbered_past_those_that_are_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    places = [Place(Request(data=WINE)) for _ in range(3)]
    (tmp_path / RUNS / "wine-f1-2").mkdir(parents=True)
    (tmp_path / RUNS / "wine-f1-2" / "study.db").touch()
    for place in places:
        place.settle("wine-f1")
    assert [place.study for place in places] == ["wine-f1", "wine-f1-3", "wine-f1-4"]
    assert all(place.out == RUNS / place.study for place in places)


def test_a_disk_without_room_is_a_lost_connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, content: write(os.open("/dev/full", os.O_WRONLY), content))
    with pytest.raises(ConnectionLostError, match="No space left"):
        claim_folder(tmp_path / "study", "wine", Command())
    assert list(tmp_path.iterdir()) == []

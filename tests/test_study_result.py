"""What can go wrong between a finished study's folder and its user."""

from __future__ import annotations

from pathlib import Path

import pytest

import losssearch as ls
from losssearch.errors import DataError, OptionError
from losssearch.study_result import SearchResult, open_result


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A study's folder that holds what `SearchResult.export` copies."""
    folder = tmp_path / "study"
    (folder / "export").mkdir(parents=True)
    (folder / "export" / "loss.json").write_text("{}", encoding="utf-8")
    (folder / "result.json").write_text("{}", encoding="utf-8")
    return folder


def test_a_folder_without_a_result_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds result\.json, which was not found"):
        open_result(str(tmp_path))


@pytest.mark.parametrize("wrong", [3, None, ["a"]])
def test_what_is_no_path_is_refused(wrong: object) -> None:
    with pytest.raises(OptionError, match="takes the folder of a study"):
        ls.load_result(wrong)  # type: ignore[arg-type]


def test_an_unfinished_study_says_how_to_go_on(tmp_path: Path) -> None:
    (tmp_path / "study.db").touch()
    with pytest.raises(DataError, match=r"resume=True and out="):
        open_result(str(tmp_path))


def test_a_damaged_result_is_refused(study: Path) -> None:
    (study / "result.json").write_text("{", encoding="utf-8")
    with pytest.raises(DataError, match="must be JSON"):
        open_result(str(study))


def test_an_export_goes_to_a_new_folder(study: Path, tmp_path: Path) -> None:
    assert open_result(str(study)).export(tmp_path / "new" / "folder") == tmp_path / "new" / "folder"
    assert (tmp_path / "new" / "folder" / "loss.json").read_text(encoding="utf-8") == "{}"


def test_an_export_does_not_mix_with_other_files(study: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.txt").touch()
    with pytest.raises(OptionError, match="new, empty or a bundle"):
        SearchResult({}, study).export(tmp_path / "other")


def test_a_folder_that_cannot_be_made_is_refused(study: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OptionError, match="must be one that can be made"):
        SearchResult({}, study).export(tmp_path / "file" / "below")


def test_load_result_says_what_is_wrong_with_a_folder(tmp_path: Path, study: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "stopped").mkdir()
    (tmp_path / "stopped" / "study.db").touch()
    cases = {
        tmp_path / "nowhere": "is missing",
        study / "result.json": "is a file",
        tmp_path / "empty": r"holds result\.json, which was not found",
        tmp_path / "stopped": "resume=True and out=",
        study: "lacks study, metric, best, verdict",
    }
    for folder, message in cases.items():
        with pytest.raises(DataError, match=message) as refused:
            ls.load_result(folder)
        assert "\n" not in str(refused.value)


def test_notes_are_those_of_data_study_and_run_each_once() -> None:
    content = {
        "data": {"notes": ["of the data"]},
        "notes": ["of the study", "of the data"],
        "timing": {"notes": ["of the budget"], "run_notes": ["of the workers", "of the budget"]},
    }
    assert SearchResult(content, Path()).notes == ["of the data", "of the study", "of the budget", "of the workers"]
    assert SearchResult({}, Path()).notes == []

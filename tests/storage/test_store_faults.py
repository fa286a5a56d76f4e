"""A database that is lost, full, unwritable or none, and how the store says so."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from losssearch.errors import ConnectionLostError, DataError, OptionError
from losssearch.storage.records import StudyRecord, TrialRecord
from losssearch.storage.sql import SqlStore

ROOT = Path(__file__).parents[2]
STUDY = StudyRecord("adult", {}, "0", "now")
NOBODY = 65534


def _trials(count: int) -> list[TrialRecord]:
    return [TrialRecord(n, "searched", f"searched-{n}", {"pad": "x" * 4000}, "key") for n in range(count)]


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("study.db", "no URL"),
        ("mysql://u:secret@h/db", r"mysql://u:\*\*\*@h/db"),
        ("sqlite://", "needs a file"),
        ("sqlite:///:memory:", "needs a file"),
    ],
)
def test_an_unusable_url_is_refused(url: str, found: str) -> None:
    with pytest.raises(OptionError, match=rf"storage must be sqlite:///FILE.*{found}"):
        SqlStore(url)


def test_a_file_that_is_no_database_is_refused_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("a,b\n" * 500)
    with pytest.raises(DataError, match=r"table\.csv.*not a database"):
        SqlStore(f"sqlite:///{path}")
    assert path.read_text() == "a,b\n" * 500


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is a folder"):
        SqlStore(f"sqlite:///{tmp_path}")


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="is not"):
        SqlStore(f"sqlite:///{tmp_path}/file/study.db")


def test_reading_a_missing_file_makes_none(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="losssearch search"):
        SqlStore(f"sqlite:///{tmp_path}/runs/study.db", create=False)
    assert list(tmp_path.iterdir()) == []


def test_a_new_file_gets_its_folder_and_a_write_ahead_log(tmp_path: Path) -> None:
    store = SqlStore(f"sqlite:///{tmp_path}/runs/adult/study.db")
    store.create_study(STUDY)
    assert (tmp_path / "runs/adult/study.db-wal").exists()
    store.close()
    store.close()
    assert [path.name for path in (tmp_path / "runs/adult").iterdir()] == ["study.db"]


@pytest.fixture
def folder_of_another() -> Iterator[Path]:
    """A folder that this process may read and not write."""
    folder = Path(tempfile.mkdtemp(prefix="losssearch-"))
    SqlStore(f"sqlite:///{folder}/study.db").close()
    folder.chmod(0o555)
    as_root = os.geteuid() == 0
    if as_root:
        os.seteuid(NOBODY)
    yield folder
    if as_root:
        os.seteuid(0)
    folder.chmod(0o755)
    shutil.rmtree(folder)


@pytest.mark.parametrize("name", ["study.db", "new.db"])
def test_an_unwritable_folder_is_a_lost_store(folder_of_another: Path, name: str) -> None:
    with pytest.raises(ConnectionLostError, match=rf"{name} was not.*resume=True"):
        SqlStore(f"sqlite:///{folder_of_another}/{name}")


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 512 KiB."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("mounting a small file system needs root")
    point = tmp_path / "small"
    point.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(point)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this machine lets nobody mount")
    yield point
    subprocess.run(["umount", "--lazy", str(point)], check=True)


def test_a_full_disk_loses_no_committed_batch(full_disk: Path) -> None:
    store = SqlStore(f"sqlite:///{full_disk}/study.db")
    store.create_study(STUDY)
    store.save_trials("adult", _trials(5))
    with pytest.raises(ConnectionLostError, match="full"):
        store.save_trials("adult", _trials(300))
    assert store.trials("adult") == _trials(5)
    store.close()

"""A search whose folder lies on a full disk: it fails with what to do, and continues to an equal result."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.queue import requeue
from services.worker import Timing
from tests.services.conftest import House
from tests.services.studies import REQUEST, Studies
from tests.services.test_worker import ON_SQLITE

ROOT = Path(__file__).resolve().parents[2]

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(1200), ON_SQLITE]


@pytest.fixture
def studies(house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Studies]:
    """A service whose searches have folders on a disk of 32 kB."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("mounting a small file system needs root")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    made = Studies.made(house, tmp_path / "data")
    disk = made.folder / "searches"
    mount = ["mount", "-t", "tmpfs", "-o", "size=8k", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this machine lets nobody mount")
    yield made
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


def resized(studies: Studies, size: str) -> None:
    subprocess.run(["mount", "-o", f"remount,size={size}", str(studies.folder / "searches")], check=True)


# Room for nothing, for the claim, and for some of the files at the end.
@pytest.mark.parametrize("size", ["4k", "8k", "100k"])
def test_a_search_on_a_full_disk_fails_and_continues_once_there_is_room(studies: Studies, size: str) -> None:
    resized(studies, size)
    search = studies.submit()
    with studies.worker(timing=Timing(retries=())):
        row = studies.ends(search)
        print(row["message"])  # noqa: T201
        assert (row["state"], row["exit_code"], row["attempt"]) == ("failed", 4, 1)
        *_, line = row["message"].splitlines()
        assert "No space left on device" in line
        assert "make room" in line
        assert "=True" not in row["message"]
        assert not (studies.folder / "searches" / search / "result.json").exists()
        resized(studies, "64m")
        studies.house.database.run(lambda connection: requeue(connection, search, request=REQUEST))
        row = studies.ends(search)
    assert (row["state"], row["exit_code"]) == ("done", 0)
    expected, trials = studies.undisturbed()
    assert (studies.result(search), studies.trials(search)) == (expected, trials)
    left = [path.name for path in (studies.folder / "searches" / search).rglob("*") if path.name.startswith(".")]
    assert left == []

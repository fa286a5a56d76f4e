"""Tracking stores that cannot be used, and how the MLflow tracker says so."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from losssearch.errors import ConnectionLostError, DataError, OptionError
from losssearch.tracking.mlflow import MlflowTracker

NOBODY = 65534


def test_a_file_that_is_no_database_is_refused_and_kept(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_text("a,b\n")
    with pytest.raises(DataError, match=r"mlflow\.db is not: give another tracking_uri"):
        MlflowTracker(f"sqlite:///{tmp_path}/mlflow.db").prepare()
    assert (tmp_path / "mlflow.db").read_text() == "a,b\n"


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="must be an SQLite database"):
        MlflowTracker(f"sqlite:///{tmp_path}").prepare()


@pytest.fixture
def folder_of_another() -> Iterator[Path]:
    """A folder that this process may read and not write."""
    folder = Path(tempfile.mkdtemp(prefix="losssearch-"))
    folder.chmod(0o555)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


def test_an_unwritable_folder_is_a_lost_store(folder_of_another: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if os.geteuid() == 0:  # whom no folder refuses: ask as somebody else would
        answer = os.access
        monkeypatch.setattr(os, "access", lambda path, mode: answer(path, mode) and os.stat(path).st_mode & 0o222 != 0)
    with pytest.raises(ConnectionLostError, match="must be writable"):
        MlflowTracker(f"sqlite:///{folder_of_another}/runs/mlflow.db").prepare()
    assert list(folder_of_another.iterdir()) == []


def test_a_uri_of_no_known_kind_is_refused() -> None:
    with pytest.raises(OptionError, match=r"tracking_uri must be sqlite:///FILE.*got gopher://\*\*\*@host"):
        MlflowTracker("gopher://u:secret@host").prepare()


def test_a_server_that_does_not_answer_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with pytest.raises(ConnectionLostError, match=rf"127.0.0.1:{port} was not.*resume=True.*mlflow=False") as caught:
        MlflowTracker(f"http://127.0.0.1:{port}").prepare()
    assert "\n" not in str(caught.value)

"""An empty MLflow store to begin with, made once for each version of MLflow and then copied.

MLflow makes its tables by some fifty migrations and so takes seconds; a copy takes milliseconds.
"""

from __future__ import annotations

import errno
import importlib.metadata
import os
import shutil
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

from losssearch.errors import ConnectionLostError
from losssearch.option_names import option
from losssearch.tracking.client import import_mlflow
from losssearch.tracking.tables import is_known, root_of

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def place_empty_store(file: Path, artifacts: Path) -> bool:
    """Put an empty store at ``file``, which must not be there; ``artifacts`` is for files of its default experiment.

    False if that cannot be done: the cache cannot be written, or this MLflow has other tables than we know.
    Raises `OptionError` if MLflow is not installed.
    """
    try:
        version = importlib.metadata.version("mlflow")
    except importlib.metadata.PackageNotFoundError:
        import_mlflow()  # says what to do
        return False
    try:
        template = cache_folder() / f"mlflow-{version}.db"
        if not template.is_file() or not is_known(template):
            _make(template)
            if not is_known(template):
                return False
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".losssearch-", dir=file.parent) as folder:
            draft = Path(folder, file.name)
            shutil.copyfile(template, draft)
            with closing(sqlite3.connect(draft)) as connection, connection:
                connection.execute("UPDATE experiments SET artifact_location = ?", (f"{root_of(artifacts, file)}/0",))
            os.link(draft, file)  # unlike a rename, never in place of what another process made meanwhile
    except FileExistsError:
        return is_known(file)
    except (OSError, RuntimeError) as error:
        if isinstance(error, OSError) and error.errno in _FULL:
            raise ConnectionLostError(
                f"the tracking store must be writable, {file} was not ({error.strerror}): make room and use "
                f"{option('resume', True)}"
            ) from error
        return False
    return True


def discard_unfinished(file: Path) -> bool:
    """Remove a store that MLflow could not finish, as on a full disk, and that holds no run; whether it was one."""
    try:
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            if "runs" in tables and connection.execute("SELECT count(*) FROM runs").fetchone()[0]:
                return False
            if tables and not any(name.startswith(("alembic", "_alembic")) for name in tables):
                return False  # not MLflow's
    except sqlite3.DatabaseError:
        return False
    for suffix in ("", "-wal", "-shm", "-journal"):
        file.with_name(file.name + suffix).unlink(missing_ok=True)
    return True


def cache_folder() -> Path:
    """Where templates lie: ``losssearch`` under ``$XDG_CACHE_HOME`` or ``~/.cache``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "losssearch")


def _make(template: Path) -> None:
    """Let MLflow make a store, and put it in place whole."""
    import_mlflow()
    from mlflow import MlflowClient

    template.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".losssearch-", dir=template.parent) as folder:
        draft = Path(folder, "mlflow.db")
        uri = f"sqlite:///{draft}"
        MlflowClient(uri, uri).search_experiments()
        with closing(sqlite3.connect(draft, isolation_level=None)) as connection:
            connection.execute("PRAGMA journal_mode=DELETE").close()
            connection.execute("VACUUM")
        os.replace(draft, template)

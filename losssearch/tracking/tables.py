"""Runs straight into the tables of a study's own MLflow store: one transaction for many trials, and no MLflow.

MLflow's client needs its import (seconds, at the start of every search) and about 5 ms per trial. A store in
a file of our own whose tables are those that we know is written by SQL instead, as the client would have written it;
any other store goes through the client. Ids of children follow from the parent's id and the trial's number, so the
table's own key keeps a trial from being recorded twice, even by a driver that is about to die.
"""

from __future__ import annotations

import json
import sqlite3
import time
import urllib.parse
import urllib.request
import uuid
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from losssearch.redaction import redact
from losssearch.tracking.client import deleted
from losssearch.tracking.runs import PARENT, TRIAL, Child, copied, cut
from losssearch.tracking.tracker import DatasetInfo, Status

LAYOUT = {
    "experiments": "experiment_id name artifact_location lifecycle_stage creation_time last_update_time workspace",
    "runs": "run_uuid name source_type source_name entry_point_name user_id status start_time end_time source_version "
    "lifecycle_stage artifact_uri experiment_id deleted_time",
    "tags": "key value run_uuid",
    "params": "key value run_uuid",
    "metrics": "key value timestamp run_uuid step is_nan",
    "latest_metrics": "key value timestamp step is_nan run_uuid",
    "datasets": "dataset_uuid experiment_id name digest dataset_source_type dataset_source dataset_schema "
    "dataset_profile",
    "inputs": "input_uuid source_type source_id destination_type destination_id step",
    "input_tags": "input_uuid name value",
}
"""Tables and their columns, as MLflow 3.17 has them."""

_WAIT = 20.0
"""Seconds to wait for another writer, such as the UI."""

_TAG = "INSERT OR REPLACE INTO tags (key, value, run_uuid) VALUES (?, ?, ?)"
_PARAM = "INSERT OR REPLACE INTO params (key, value, run_uuid) VALUES (?, ?, ?)"
_POINT = "INSERT OR REPLACE INTO metrics (key, value, timestamp, run_uuid, step, is_nan) VALUES (?, ?, ?, ?, ?, 0)"
_LATEST = (
    "INSERT OR REPLACE INTO latest_metrics (key, value, timestamp, run_uuid, step, is_nan) VALUES (?, ?, ?, ?, ?, 0)"
)

_CHILDREN = uuid.UUID("6c6f7373-7365-6172-6368-747269616c73")


def is_known(file: Path) -> bool:
    """Whether a file is an MLflow store with the tables of `LAYOUT`, a file of ours or the template of one."""
    try:
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            return all(
                sorted(row[1] for row in connection.execute(f"PRAGMA table_info({table})")) == sorted(columns.split())
                for table, columns in LAYOUT.items()
            )
    except sqlite3.DatabaseError:
        return False


class TableRuns:
    """A `losssearch.tracking.runs.Runs` in an SQLite file for which `is_known` holds.

    Makes the experiment, with its files under ``artifacts``, where it is missing. `is_local` says whether an experiment
    that was there already keeps its files on this machine. Where files lie is kept relative to the folder of ``file``,
    in which the UI is started: the folder may be moved.
    """

    def __init__(self, file: Path, experiment: str, artifacts: Path) -> None:
        self._file = file
        self._opened: weakref.finalize[[], TableRuns] | None = None
        self._connection: sqlite3.Connection | None = None
        self._others: dict[str, dict[int, tuple[str, int]]] = {}
        root, now = root_of(artifacts, file), _now()
        with self._transaction() as connection:
            if not urllib.parse.urlparse(root).scheme:
                _make_relative(connection, artifacts, root)
            connection.execute(
                "INSERT OR IGNORE INTO experiments (name, artifact_location, lifecycle_stage, creation_time, "
                "last_update_time, workspace) VALUES (?, ?, 'active', ?, ?, 'default')",
                (experiment, root, now, now),
            )
            found = "SELECT experiment_id, artifact_location, lifecycle_stage FROM experiments WHERE name = ?"
            self._experiment_id, self._root, stage = connection.execute(found, (experiment,)).fetchone()
        if stage != "active":
            raise deleted(experiment)

    @property
    def experiment_id(self) -> str:
        """See `Runs.experiment_id`."""
        return str(self._experiment_id)

    @property
    def is_local(self) -> bool:
        """Whether the experiment's files lie on this machine."""
        return urllib.parse.urlparse(self._root).scheme in ("", "file")

    def begin(self, name: str, tags: Mapping[str, str], dataset: DatasetInfo) -> str:
        """See `Runs.begin`."""
        run_id, now = uuid.uuid4().hex, _now()
        with self._transaction() as connection:
            self._create(connection, run_id, name, "RUNNING", now, None)
            _put(connection, _TAG, run_id, cut({**tags, "mlflow.runName": name}))
            self._add_dataset(connection, run_id, dataset)
        self._others[run_id] = {}
        return run_id

    def resume(self, run_id: str) -> Mapping[str, str] | None:
        """See `Runs.resume`."""
        with self._transaction() as connection:
            opened = connection.execute(
                "UPDATE runs SET status = 'RUNNING', end_time = NULL WHERE run_uuid = ? AND lifecycle_stage = 'active'",
                (run_id,),
            )
            if not opened.rowcount:
                return None
            return dict(connection.execute("SELECT key, value FROM params WHERE run_uuid = ?", (run_id,)))

    def add(self, run_id: str, params: Mapping[str, str], metrics: Mapping[str, float]) -> None:
        """See `Runs.add`."""
        with self._transaction() as connection:
            _put(connection, _PARAM, run_id, cut(params))
            (start,) = connection.execute("SELECT start_time FROM runs WHERE run_uuid = ?", (run_id,)).fetchone()
            # The time is the run's start, so that to write a result again changes nothing.
            _put_points(connection, [(name, value, start, run_id, 0) for name, value in metrics.items()])

    def tag(self, run_id: str, tags: Mapping[str, str]) -> None:
        """See `Runs.tag`."""
        with self._transaction() as connection:
            _put(connection, _TAG, run_id, cut(tags))

    def write(self, parent: str, children: Sequence[Child]) -> None:
        """See `Runs.write`; all of them or, on an error, none."""
        tags: list[tuple[str, str, str]] = []
        params: list[tuple[str, str, str]] = []
        points: list[tuple[str, float, int, str, int]] = []
        with self._transaction() as connection:
            if parent not in self._others:
                self._others[parent] = _of_other_writers(connection, parent)
            for child in children:
                run_id, start = self._others[parent].get(child.number, (child_id(parent, child.number), child.start))
                if child.number in self._others[parent]:
                    left_open = "UPDATE runs SET status = ?, end_time = ? WHERE run_uuid = ? AND status = 'RUNNING'"
                    fresh = connection.execute(left_open, (child.status, child.end, run_id)).rowcount > 0
                else:
                    fresh = self._create(connection, run_id, child.name, child.status, start, child.end)
                if fresh:
                    shown = cut({PARENT: parent, **child.tags, "mlflow.runName": child.name})
                    tags += [(name, value, run_id) for name, value in shown.items()]
                    params += [(name, value, run_id) for name, value in cut(child.params).items()]
                    points += [(name, value, start, run_id, step) for name, value, step in child.points]
            # Few statements of many rows: at each one the search's thread is waited for.
            connection.executemany(_TAG, tags)
            connection.executemany(_PARAM, params)
            _put_points(connection, points)

    def keep(self, run_id: str, paths: Sequence[Path]) -> None:
        """See `Runs.keep`."""
        with self._transaction() as connection:
            (uri,) = connection.execute("SELECT artifact_uri FROM runs WHERE run_uuid = ?", (run_id,)).fetchone()
        folder = self._file.resolve().parent / urllib.request.url2pathname(urllib.parse.urlparse(uri).path)
        copied(paths, folder)

    def recorded(self, parent: str) -> set[int]:
        """See `Runs.recorded`."""
        with self._transaction() as connection:
            return {number for number, (_, _, status) in _children(connection, parent).items() if status != "RUNNING"}

    def end(self, run_id: str, status: Status) -> None:
        """See `Runs.end`."""
        with self._transaction() as connection:
            ended = "UPDATE runs SET status = ?, end_time = ? WHERE run_uuid = ?"
            connection.execute(ended, (status, _now(), run_id))
        if self._opened is not None and self._connection is not None:
            self._opened()
            self._connection = None

    def _create(
        self, connection: sqlite3.Connection, run_id: str, name: str, status: str, start: int, end: int | None
    ) -> bool:
        """Enter a run; False if it is there."""
        artifacts = f"{self._root}/{run_id}/artifacts"
        created = connection.execute(
            "INSERT OR IGNORE INTO runs (run_uuid, name, source_type, source_name, entry_point_name, user_id, status, "
            "start_time, end_time, source_version, lifecycle_stage, artifact_uri, experiment_id, deleted_time) VALUES "
            "(?, ?, 'UNKNOWN', '', '', 'unknown', ?, ?, ?, '', 'active', ?, ?, NULL)",
            (run_id, name[:250], status, start, end, artifacts, self._experiment_id),
        )
        return created.rowcount > 0

    def _add_dataset(self, connection: sqlite3.Connection, run_id: str, dataset: DatasetInfo) -> None:
        key = (self._experiment_id, dataset.name[:500], dataset.fingerprint[:36])
        profile = json.dumps({"num_rows": dataset.rows, "num_features": dataset.features, "target": dataset.target})
        connection.execute(
            "INSERT OR IGNORE INTO datasets (dataset_uuid, experiment_id, name, digest, dataset_source_type, "
            "dataset_source, dataset_profile) VALUES (?, ?, ?, ?, 'local', ?, ?)",
            (uuid.uuid4().hex, *key, json.dumps({"uri": redact(dataset.source)}), profile),
        )
        found = "SELECT dataset_uuid FROM datasets WHERE experiment_id = ? AND name = ? AND digest = ?"
        (source,) = connection.execute(found, key).fetchone()
        entry = uuid.uuid4().hex
        connection.execute(
            "INSERT INTO inputs (input_uuid, source_type, source_id, destination_type, destination_id, step) "
            "VALUES (?, 'DATASET', ?, 'RUN', ?, 0)",
            (entry, source, run_id),
        )
        connection.execute("INSERT INTO input_tags VALUES (?, 'mlflow.data.context', 'search')", (entry,))

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        if self._connection is None:
            # One thread at a time, though not always the same: `Tracker` says so.
            connection = sqlite3.connect(self._file, _WAIT, isolation_level=None, check_same_thread=False)
            for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON", "cache_size=-16000"):
                connection.execute(f"PRAGMA {pragma}").close()
            self._connection = connection
            self._opened = weakref.finalize(self, connection.close)
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield self._connection
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")


def root_of(artifacts: Path, file: Path) -> str:
    """Where artifacts lie, as the store in ``file`` keeps it: relative to its folder, a URI where that cannot be."""
    folder = file.resolve().parent
    if artifacts.resolve().is_relative_to(folder):
        found = artifacts.resolve().relative_to(folder).as_posix()
        if urllib.parse.quote(found) == found:
            return found
    return artifacts.resolve().as_uri()


def _make_relative(connection: sqlite3.Connection, artifacts: Path, root: str) -> None:
    """Say where artifacts lie as `root_of` does, in a store of an earlier version, which may have been moved since."""
    whole = connection.execute(
        "SELECT DISTINCT artifact_location FROM experiments WHERE artifact_location LIKE 'file:%'"
    )
    for (location,) in whole.fetchall():
        before, _, after = f"{location}/".rpartition(f"/{artifacts.name}/")
        old = Path(urllib.request.url2pathname(urllib.parse.urlparse(f"{before}/{artifacts.name}").path))
        if not before or (old != artifacts.resolve() and old.exists()):
            continue  # of another store
        for table, column in (("experiments", "artifact_location"), ("runs", "artifact_uri")):
            connection.execute(
                f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE {column} = ? OR {column} LIKE ? || '/%'",  # noqa: S608
                (f"{root}{f'/{after}'.rstrip('/')}", len(location) + 1, location, location),
            )


def child_id(parent: str, number: int) -> str:
    """The id of a trial's run. Ids grow with the numbers, so that new rows stand together in the tables' indices."""
    return f"{uuid.uuid5(_CHILDREN, parent).hex[:24]}{number:08x}"


def _of_other_writers(connection: sqlite3.Connection, parent: str) -> dict[int, tuple[str, int]]:
    """Children that MLflow's client made, under ids of its own: by the trial's number, id and start."""
    found = _children(connection, parent).items()
    return {number: (run_id, start) for number, (run_id, start, _) in found if run_id != child_id(parent, number)}


def _children(connection: sqlite3.Connection, parent: str) -> dict[int, tuple[str, int, str]]:
    """All children: by the trial's number, id, start and status."""
    found = connection.execute(
        "SELECT trial.value, runs.run_uuid, start_time, status FROM tags parent JOIN tags trial USING (run_uuid) "
        "JOIN runs USING (run_uuid) WHERE parent.key = ? AND parent.value = ? AND trial.key = ? "
        "AND lifecycle_stage = 'active'",
        (PARENT, parent, TRIAL),
    )
    return {int(number): (run_id, start, status) for number, run_id, start, status in found if number.isdecimal()}


def _put(connection: sqlite3.Connection, insert: str, run_id: str, values: Mapping[str, str]) -> None:
    connection.executemany(insert, [(name, value, run_id) for name, value in values.items()])


def _put_points(connection: sqlite3.Connection, points: Sequence[tuple[str, float, int, str, int]]) -> None:
    """Points (metric, value, ms, run, step), the later steps of a metric last."""
    connection.executemany(_POINT, points)
    connection.executemany(_LATEST, points)


def _now() -> int:
    return int(1000 * time.time())

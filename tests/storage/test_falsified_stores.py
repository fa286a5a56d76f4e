"""Stores that something else wrote or changed: always one line that names the file, and the file stays as it was."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from losssearch.errors import ConnectionLostError, DataError, UnknownNameError
from losssearch.losses.spec import LossSpec
from losssearch.storage.records import StudyRecord, TrialRecord, TrialState
from losssearch.storage.sql import SqlStore

SPEC = {"parts": [{"term": "focal", "gamma": 1.5}]}
TRIALS = [
    TrialRecord(
        n, "searched", f"searched-{n}", SPEC, "k", TrialState.COMPLETED, {"g": 1.5}, {"g": "{}"}, 0.5, (0.5,), 0.1, 3
    )
    for n in range(40)
]
STAGE = {"outcomes": [[0.5, 0.25]]}


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with one study, in a single file."""
    path = tmp_path_factory.mktemp("original") / "study.db"
    store = SqlStore(f"sqlite:///{path}")
    store.create_study(StudyRecord("adult", {"trials": 40, "pad": "x" * 5000}, "0", "now"))
    LossSpec.from_json(SPEC)
    store.save_trials("adult", TRIALS)
    store.save_stage("adult", "confirmation", STAGE)
    store.save_tracking("adult", {"run_id": "a"})
    store.save_result("adult", {"trials": {"total": 40}})
    store.close()
    return path


@pytest.fixture
def path(original: Path, tmp_path: Path) -> Path:
    return shutil.copyfile(original, tmp_path / "study.db")


def _read(path: Path, *, create: bool = False) -> object:
    """All that a resumed study reads before it writes, and what it reads later."""
    store = SqlStore(f"sqlite:///{path}", create=create)
    try:
        found = store.study("adult")
        store.check("adult")
        return found, store.trials("adult"), store.stage("adult", "confirmation")
    finally:
        store.close()


def _sql(*statements: str) -> Callable[[Path], None]:
    def falsify(path: Path) -> None:
        with closing(sqlite3.connect(path)) as connection, connection:
            for statement in statements:
                connection.execute(statement)

    return falsify


def _cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def _cut_in_a_page(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1000)


def _zero_pages(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(4096 * 3)
        file.write(bytes(4096 * 4))


def _header_only(path: Path) -> None:
    os.truncate(path, 100)


def _noise(path: Path) -> None:
    path.write_bytes(random.Random(1).randbytes(20_000))


def _foreign(path: Path) -> None:
    path.unlink()
    _sql("CREATE TABLE runs (a)", "INSERT INTO runs VALUES (1)")(path)


_COPY = "CREATE TABLE t AS SELECT * FROM losssearch_trial"

FALSE = {
    "cut": _cut,
    "cut in a page": _cut_in_a_page,
    "zero pages": _zero_pages,
    "header only": _header_only,
    "noise": _noise,
    "empty": lambda path: os.truncate(path, 0),
    "foreign": _foreign,
    "version text": _sql("UPDATE losssearch_schema SET version = 'x'"),
    "version newer": _sql("UPDATE losssearch_schema SET version = 99"),
    "version none": _sql("DELETE FROM losssearch_schema"),
    "version twice": _sql("INSERT INTO losssearch_schema VALUES (2, 1)"),
    "no trials": _sql("DROP TABLE losssearch_trial"),
    "no study": _sql("DELETE FROM losssearch_lease", "DELETE FROM losssearch_study"),
    "other columns": _sql("ALTER TABLE losssearch_trial RENAME COLUMN body TO content"),
    "no key": _sql(_COPY, "DROP TABLE losssearch_trial", "ALTER TABLE t RENAME TO losssearch_trial"),
    "twice": _sql(
        _COPY,
        "DROP TABLE losssearch_trial",
        "ALTER TABLE t RENAME TO losssearch_trial",
        "INSERT INTO losssearch_trial SELECT * FROM losssearch_trial WHERE number = 3",
    ),
    "a view": _sql(_COPY, "DROP TABLE losssearch_trial", "CREATE VIEW losssearch_trial AS SELECT * FROM t"),
    "a trigger": _sql("CREATE TRIGGER x BEFORE UPDATE ON losssearch_trial BEGIN SELECT RAISE(ABORT, 'no'); END"),
    "a gap": _sql("DELETE FROM losssearch_trial WHERE number = 3"),
    "renumbered": _sql("UPDATE losssearch_trial SET number = 99 WHERE number = 3"),
    "number text": _sql("UPDATE losssearch_trial SET number = 'three' WHERE number = 3"),
    "state unknown": _sql("UPDATE losssearch_trial SET state = 'asleep' WHERE number = 3"),
    "state changed": _sql("UPDATE losssearch_trial SET state = 'failed' WHERE number = 3"),
    "origin blob": _sql("UPDATE losssearch_trial SET origin = x'ff00' WHERE number = 3"),
    "body no JSON": _sql("UPDATE losssearch_trial SET body = '{' WHERE number = 3"),
    "body a list": _sql("UPDATE losssearch_trial SET body = '[]' WHERE number = 3"),
    "body a number": _sql("UPDATE losssearch_trial SET body = 7 WHERE number = 3"),
    "body empty": _sql("UPDATE losssearch_trial SET body = '{}' WHERE number = 3"),
    "body blob": _sql("UPDATE losssearch_trial SET body = x'ff' WHERE number = 3"),
    "body deep": _sql(f"UPDATE losssearch_trial SET body = '{'[' * 100_000}' WHERE number = 3"),
    "body edited": _sql("UPDATE losssearch_trial SET body = replace(body, '0.5', '0.75') WHERE number = 3"),
    "body swapped": _sql(
        "UPDATE losssearch_trial SET body = (SELECT body FROM losssearch_trial WHERE number = 4) WHERE number = 3"
    ),
    "value edited": _sql("UPDATE losssearch_trial SET value = 0.75 WHERE number = 3"),
    "value gone": _sql("UPDATE losssearch_trial SET value = NULL WHERE number = 3"),
    "value text": _sql("UPDATE losssearch_trial SET value = 'best' WHERE number = 3"),
    "no revision": _sql("DROP TABLE losssearch_revision"),
    "version older": _sql(
        "UPDATE losssearch_schema SET version = 1",
        "DROP INDEX losssearch_trial_rank",
        "ALTER TABLE losssearch_trial DROP COLUMN state",
    ),
    "version none that was": _sql("UPDATE losssearch_schema SET version = 0"),
    "config no JSON": _sql("UPDATE losssearch_study SET config = 'x'"),
    "config a list": _sql("UPDATE losssearch_study SET config = '[1]'"),
    "config edited": _sql("UPDATE losssearch_study SET config = replace(config, '40', '41')"),
    "tracking null": _sql("UPDATE losssearch_study SET tracking = 'null'"),
    "result a text": _sql("UPDATE losssearch_study SET result = '\"x\"'"),
    "result empty": _sql("UPDATE losssearch_study SET result = '{}'"),
    "stage empty": _sql("UPDATE losssearch_stage SET payload = '{}'"),
    "stage a number": _sql("UPDATE losssearch_stage SET payload = 5"),
    "stage edited": _sql("UPDATE losssearch_stage SET payload = replace(payload, '0.25', '\"x\"')"),
}


@pytest.mark.parametrize("kind", FALSE)
def test_a_falsified_store_is_refused_in_one_line_and_kept(path: Path, kind: str) -> None:
    FALSE[kind](path)
    before = path.read_bytes()
    with pytest.raises((DataError, ConnectionLostError, UnknownNameError)) as caught:
        _read(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == ["study.db"]


@pytest.mark.parametrize("kind", ["a folder", "a pipe", "no link"])
def test_what_is_no_file_is_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "study.db"
    {"a folder": path.mkdir, "a pipe": lambda: os.mkfifo(path), "no link": lambda: path.symlink_to("nowhere")}[kind]()
    with pytest.raises(DataError, match=r"study\.db"):
        _read(path)
    assert len(list(tmp_path.iterdir())) == 1


def test_random_changes_are_refused_or_change_nothing(path: Path, original: Path) -> None:
    content = original.read_bytes()
    expected = _read(path)
    refused = 0
    for seed in range(60):
        source = random.Random(seed)
        changed = bytearray(content)
        for _ in range(source.choice((1, 4, 64))):
            changed[source.randrange(len(changed))] = source.randrange(256)
        path.write_bytes(changed)
        problem = ""
        try:
            assert _read(path) == expected
        except (DataError, ConnectionLostError, UnknownNameError) as error:
            problem = str(error)
        if problem:
            refused += 1
            assert str(path) in problem
            assert path.read_bytes() == changed
    assert refused > 20


def test_a_lease_that_cannot_be_read_is_refused(path: Path) -> None:
    _sql("INSERT INTO losssearch_lease VALUES ('adult', 'h', 'h', 'p', 'x', 's', 'long ago')")(path)
    store = SqlStore(f"sqlite:///{path}", create=False)
    with pytest.raises(DataError, match=r"study\.db is damaged"):
        store.acquire("adult")
    store.close()


def test_a_study_of_an_older_version_has_no_seals(path: Path) -> None:
    expected = _read(path)
    _sql(
        "UPDATE losssearch_trial SET body = json_remove(body, '$.\"$seal\"')",
        "UPDATE losssearch_stage SET payload = json_remove(payload, '$.\"$seal\"')",
        "UPDATE losssearch_study SET config = json_remove(config, '$.\"$seal\"'), "
        "tracking = json_remove(tracking, '$.\"$seal\"'), result = json_remove(result, '$.\"$seal\"')",
    )(path)
    assert _read(path) == expected
    _sql("UPDATE losssearch_trial SET body = '{\"spec\": 5}' WHERE number = 3")(path)
    with pytest.raises(DataError, match=r"study\.db is damaged"):
        _read(path)

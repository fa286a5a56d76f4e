"""Stores that an older program made: read as they are, upgraded before the first write, and brought back."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, create_engine, inspect, text

from losssearch.errors import ConnectionLostError, DataError, OptionError, StudyHeldError
from losssearch.storage import lease, schema, versions
from losssearch.storage.records import TrialState
from losssearch.storage.sql import SqlStore
from tests.storage.old_stores import make_version_1


@contextmanager
def connected(url: str) -> Iterator[Connection]:
    engine = create_engine(url)
    try:
        with engine.begin() as connection:
            yield connection
    finally:
        engine.dispose()


def ask(url: str, query: str) -> list[Any]:
    with connected(url) as connection:
        return [tuple(row) for row in connection.execute(text(query))]


def version_of(url: str) -> int:
    return int(ask(url, "SELECT version FROM losssearch_schema")[0][0])


@pytest.fixture
def old(database_url: str) -> str:
    """A store of version 1 with the study ``wine``."""
    make_version_1(database_url)
    return database_url


def content(store: SqlStore) -> object:
    stages = ("finished", "published", "reevaluation-1@4", "underway")
    return store.study("wine"), store.trials("wine"), [store.stage("wine", stage) for stage in stages]


def test_an_older_store_is_read_as_it_is(old: str) -> None:
    file = Path(old.removeprefix("sqlite:///"))
    before = file.read_bytes() if old.startswith("sqlite") else b""
    store = SqlStore(old, create=False)
    store.check("wine")
    trials = store.trials("wine")
    assert [trial.number for trial in trials] == [0, 1, 2, 3]
    assert {trial.started for trial in trials} == {None}
    assert store.trials("wine", after=1, limit=1) == [trials[2]]
    assert store.counts("wine")[TrialState.COMPLETED] == 4
    ranked = sorted(trials, key=lambda trial: (-(trial.value or 0), trial.number))
    assert store.top("wine", 3, maximize=True) == ranked[:3]
    store.refuse_held("wine")
    store.close()
    assert version_of(old) == 1
    assert not before or file.read_bytes() == before


@pytest.mark.parametrize("create", [True, False])
def test_it_is_upgraded_before_the_first_write(old: str, create: bool) -> None:
    reader = SqlStore(old, create=False)
    expected = content(reader)
    store = SqlStore(old, create=create)
    assert version_of(old) == (2 if create else 1)
    store.acquire("wine")
    assert version_of(old) == 2
    assert content(store) == content(reader) == expected  # one who began to read before reads on
    assert store.top("wine", 9, maximize=False) == reader.top("wine", 9, maximize=False)
    values = ask(old, "SELECT value FROM losssearch_trial ORDER BY number")
    assert values == [(trial.value,) for trial in store.trials("wine")]
    store.close()
    reader.close()


def shape(url: str) -> dict[str, Any]:
    """The tables of losssearch with their columns, keys and indexes."""
    with connected(url) as connection:
        seen = inspect(connection)
        return {
            name: (
                {one["name"]: (str(one["type"]), one["nullable"], one["default"]) for one in seen.get_columns(name)},
                seen.get_pk_constraint(name),
                seen.get_foreign_keys(name),
                seen.get_indexes(name),
            )
            for name in seen.get_table_names()
            if name.startswith("losssearch")
        }


def emptied(url: str) -> None:
    with connected(url) as connection:
        schema.metadata.drop_all(connection)


def test_an_upgraded_store_has_the_tables_of_a_new_one(old: str) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    first = shape(old)
    SqlStore(old).close()
    upgraded = shape(old)
    with connected(old) as connection:
        seen = MigrationContext.configure(connection, opts={"version_table": schema.revision.name})
        assert compare_metadata(seen, schema.metadata) == []
        assert seen.get_current_heads() == ("2",)
    emptied(old)
    SqlStore(old).close()
    assert shape(old) == upgraded
    assert ask(old, "SELECT version_num FROM losssearch_revision") == [("2",)]
    with connected(old) as connection:
        versions.migrate(connection, 1, "here")
    assert shape(old) == first


def test_back_and_forth_keeps_everything(old: str) -> None:
    store = SqlStore(old, create=False)
    expected = content(store)
    store.close()
    for version in (2, 1, 2):
        with connected(old) as connection:
            assert versions.migrate(connection, version, "here") == version
        assert version_of(old) == version
        store = SqlStore(old, create=False)
        assert content(store) == expected
        store.close()
    for unknown in (0, 3):
        with connected(old) as connection, pytest.raises(OptionError, match=r"\[1, 2\]"):
            versions.migrate(connection, unknown, "here")


def test_the_table_of_another_programs_migrations_is_left_alone(old: str) -> None:
    with connected(old) as connection:
        connection.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32))"))
        connection.execute(text("INSERT INTO alembic_version VALUES ('of mlflow')"))
    SqlStore(old).close()
    assert ask(old, "SELECT version_num FROM alembic_version") == [("of mlflow",)]


def test_an_empty_server_is_filled_and_no_empty_file(database_url: str) -> None:
    if database_url.startswith("sqlite"):
        with pytest.raises(DataError, match="must exist"):
            versions.migrate_store(database_url, None)
        return
    for _ in range(2):
        assert versions.migrate_store(database_url, None)[1:] == (2, 2)
    emptied(database_url)
    with pytest.raises(DataError, match="holds none"):
        versions.migrate_store(database_url, 1)


def _start(script: str, *arguments: str) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    return subprocess.Popen([sys.executable, "-c", script, *arguments], stdin=pipe, stdout=pipe, text=True)


def _said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


_OPEN = """
import sys
from losssearch.storage.sql import SqlStore
import alembic.command
print("ready", flush=True)
sys.stdin.readline()
store = SqlStore(sys.argv[1])
print(len(store.trials("wine")), flush=True)
store.close()
"""


def test_several_processes_may_upgrade_at_once(old: str) -> None:
    processes = [_start(_OPEN, old) for _ in range(3)]
    assert [_said(process) for process in processes] == ["ready"] * 3
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    assert [process.communicate(timeout=120)[0].strip() for process in processes] == ["4"] * 3
    assert [process.returncode for process in processes] == [0] * 3
    assert version_of(old) == 2


_HALT = """
import sys, time
from alembic import op
from losssearch.storage.sql import SqlStore
def halt(*arguments):
    print("half", flush=True)
    time.sleep(600)
op.create_index = halt
SqlStore(sys.argv[1])
"""


def test_a_kill_in_the_midst_leaves_the_older_version(old: str) -> None:
    store = SqlStore(old, create=False)
    expected = content(store)
    process = _start(_HALT, old)
    assert _said(process) == "half"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert version_of(old) == 1
    assert content(store) == expected
    store.close()
    again = SqlStore(old)
    assert version_of(old) == 2
    assert content(again) == expected
    again.close()


def _enter_lease(url: str, heartbeat: float) -> None:
    process = lease.this_process()
    values = f"'wine', 'older', '{process.host}', '{process.place}', {process.pid}, '{process.started}', {heartbeat}"
    with connected(url) as connection:
        connection.execute(text(f"INSERT INTO losssearch_lease VALUES ({values})"))


def test_a_store_that_is_being_driven_is_not_migrated(old: str) -> None:
    _enter_lease(old, time.time())
    with pytest.raises(StudyHeldError, match="'wine' is driven by process"):
        SqlStore(old)
    reader = SqlStore(old, create=False)
    with pytest.raises(StudyHeldError, match="'wine' is driven by process"):
        reader.save_stage("wine", "x", {})
    reader.close()
    assert version_of(old) == 1
    with connected(old) as connection:
        connection.execute(text("UPDATE losssearch_lease SET heartbeat = heartbeat - 100"))
    store = SqlStore(old)
    with pytest.raises(ConnectionLostError, match="taken over"), connected(old) as connection:
        lease.renew(connection, "wine", "older")  # what the older driver does before it writes, if it wakes up
    store.acquire("wine")
    assert store.taken_over("wine")
    store.close()


_NO_MIGRATION = """
import sys
from losssearch.storage.records import StudyRecord, TrialRecord
from losssearch.storage.sql import SqlStore
for create in (True, True, False):
    store = SqlStore(sys.argv[1], create=create)
    if not store.studies():
        store.create_study(StudyRecord("adult", {}, "0", "now"))
    store.acquire("adult")
    store.save_trials("adult", [TrialRecord(0, "searched", "searched-0", {}, "key")])
    store.top("adult", 3, maximize=True)
    store.close()
print([name for name in sys.modules if name.split(".")[0] in ("alembic", "mako")])
"""


def test_a_store_of_the_newest_version_needs_no_alembic(tmp_path: Path) -> None:
    process = _start(_NO_MIGRATION, f"sqlite:///{tmp_path}/study.db")
    assert process.communicate(timeout=120)[0].strip() == "[]"


def test_a_migration_may_lie_in_a_folder_with_any_name(
    old: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "100% of it; here:there"
    place.symlink_to(versions._MIGRATIONS)
    monkeypatch.setattr(versions, "_MIGRATIONS", place)
    SqlStore(old).close()
    assert version_of(old) == 2

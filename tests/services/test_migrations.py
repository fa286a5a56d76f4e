"""The service's tables: made, upgraded, taken back, and refused where they are not this program's."""

from __future__ import annotations

import threading
import time
from dataclasses import asdict
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import create_engine, inspect, text

from losssearch.errors import DataError
from losssearch.storage import lease, schema
from losssearch.storage.versions import migrate_store
from services.database import open_database
from services.migrate import migrate
from services.migrations import NOTHING, VERSION_TABLE, check, current, downgrade, head, upgrade
from services.schema import metadata
from services.settings import Settings
from tests.storage.old_stores import make_version_1


def test_migrations_make_what_the_schema_says_and_take_it_back(empty_url: str) -> None:
    database = open_database(empty_url, create=True)
    with pytest.raises(DataError, match="has none: run `losssearch serve migrate`"):
        check(database)
    upgrade(database)
    upgrade(database)
    check(database)
    made = database.run(
        lambda connection: compare_metadata(
            MigrationContext.configure(
                connection,
                opts={
                    "version_table": VERSION_TABLE,
                    "compare_type": True,
                    "include_name": lambda name, kind, _: kind != "table" or name.startswith("ls_"),
                },
            ),
            metadata,
        ),
        reads=True,
    )
    assert made == []
    downgrade(database, NOTHING)
    left = database.run(lambda connection: inspect(connection).get_table_names(), reads=True)
    assert [name for name in left if name.startswith("ls_")] == []
    assert database.run(current, reads=True) is None
    upgrade(database)
    check(database)
    database.close()


def test_a_database_of_a_newer_program_is_refused(empty_url: str) -> None:
    database = open_database(empty_url, create=True)
    upgrade(database)
    database.run(lambda connection: connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '9999'")))
    for refused in (check, upgrade):
        with pytest.raises(DataError, match="is at 9999: use a newer losssearch"):
            refused(database)
    database.close()


def test_another_programs_versions_stay_as_they_are(empty_url: str) -> None:
    engine = create_engine(empty_url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)"))
        connection.execute(text("INSERT INTO alembic_version VALUES ('mlflow')"))
    database = open_database(empty_url)
    upgrade(database)
    downgrade(database, NOTHING)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one() == "mlflow"
    engine.dispose()
    database.close()


def test_migrate_says_what_it_did(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/new/service.db"
    said = migrate(Settings(database_url=url, data=tmp_path))
    assert said.splitlines() == [
        f"the tables of the service in {tmp_path}/new/service.db are at version {head()}",
        f"the studies in {tmp_path}/studies.db have no tables yet: the first search makes them",
    ]


def test_migrate_upgrades_the_store_of_the_studies(empty_url: str, tmp_path: Path) -> None:
    sqlite = empty_url.startswith("sqlite")
    studies = f"sqlite:///{tmp_path}/studies.db" if sqlite else empty_url
    make_version_1(studies)
    settings = Settings(database_url=empty_url, data=tmp_path)
    driver = {"holder": "of an older program", **asdict(lease.this_process()), "heartbeat": time.time()}
    engine = create_engine(studies)
    with engine.begin() as connection:
        connection.execute(schema.lease.insert().values(study="wine", **driver))
    assert "is driven by process" in migrate(settings).splitlines()[1]
    with engine.begin() as connection:
        connection.execute(schema.lease.delete())
    engine.dispose()
    assert migrate(settings).endswith(f" are at version {schema.VERSION}")
    assert migrate_store(studies, None)[1:] == (schema.VERSION, schema.VERSION)


def test_two_programs_may_migrate_at_once(empty_url: str) -> None:
    problems: list[BaseException] = []

    def work() -> None:
        database = open_database(empty_url, create=True)
        try:
            upgrade(database)
            check(database)
        except BaseException as error:  # noqa: BLE001  (told to the test)
            problems.append(error)
        finally:
            database.close()

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []

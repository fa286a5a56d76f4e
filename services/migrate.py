"""Brings the tables of the service and of its studies to this program's version: ``python -m services.migrate``."""

from __future__ import annotations

import sys
from pathlib import Path

from losssearch.errors import LossSearchError, StudyHeldError
from losssearch.storage.versions import migrate_store
from services.database import open_database
from services.migrations import head, upgrade
from services.settings import Settings


def migrate(settings: Settings) -> str:
    """Make or upgrade the tables of the service and of its studies, and say in a line each what they are now."""
    return f"{_service(settings)}\n{_studies(settings)}"


def _service(settings: Settings) -> str:
    database = open_database(settings.database_url, create=True)
    try:
        upgrade(database)
    finally:
        database.close()
    return f"the tables of the service in {database.where} are at version {head()}"


def _studies(settings: Settings) -> str:
    """A study that runs meanwhile keeps its tables: the next one upgrades them, as each does."""
    url, file = settings.storage, settings.storage.removeprefix("sqlite:///")
    if url.startswith("sqlite") and not Path(file).exists():
        return f"the studies in {file} have no tables yet: the first search makes them"
    try:
        where, _, version = migrate_store(url, None)
    except StudyHeldError as error:
        return f"the tables of the studies are upgraded by the next search, once no other runs: {error}"
    return f"the tables of the studies in {where} are at version {version}"


def main() -> int:
    """Migrate what the environment names, and return the exit code."""
    try:
        sys.stdout.write(f"{migrate(Settings.from_environment())}\n")
    except LossSearchError as error:
        sys.stderr.write(f"losssearch: {error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Brings the service's tables to this program's version: ``python -m services.migrate``."""

from __future__ import annotations

import sys

from losssearch.errors import LossSearchError
from services.database import open_database
from services.migrations import head, upgrade
from services.settings import Settings


def migrate(settings: Settings) -> str:
    """Make or upgrade the tables, and say in a line what they are now."""
    database = open_database(settings.database_url, create=True)
    try:
        upgrade(database)
    finally:
        database.close()
    return f"the tables of the service in {database.where} are at version {head()}"


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

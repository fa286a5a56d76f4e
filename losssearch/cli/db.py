"""``losssearch db``: the version of a store's tables."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

_Folder = Annotated[Path | None, typer.Argument(metavar="DIR", help="A study's folder.")]
_Storage = Annotated[
    str | None,
    typer.Option(metavar="URL", help="The store. Default: as the study was started, study.db in its folder."),
]

db = typer.Typer(help="Upgrade a store of an older version, or bring it back.", no_args_is_help=True)


@db.command("upgrade")
def upgrade(folder: _Folder = None, storage: _Storage = None) -> None:
    """Upgrade a store to the tables of this program, which a search also does by itself."""
    _migrate(folder, storage, None)


@db.command("downgrade")
def downgrade(
    folder: _Folder = None,
    storage: _Storage = None,
    to: Annotated[int, typer.Option("--to", metavar="VERSION", help="The version of the tables.")] = 1,
) -> None:
    """Bring a store back to the tables of an older program. No study, trial or result is lost."""
    _migrate(folder, storage, to)


def _migrate(folder: Path | None, storage: str | None, version: int | None) -> None:
    from losssearch.assembly.finished import url_of
    from losssearch.cli.output import console
    from losssearch.errors import OptionError
    from losssearch.option_names import option
    from losssearch.storage.versions import migrate_store

    if folder is None and storage is None:
        raise OptionError(f"a store must be named: give a study's folder, or {option('storage')}")
    url = url_of(folder, storage) if folder is not None else str(storage)
    where, before, after = migrate_store(url, version)
    changed = f"was version {before}, is version {after}" if before != after else f"is version {after}"
    console().print(f"Store    {where} {changed}", soft_wrap=True)

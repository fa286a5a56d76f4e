"""``--import`` of the commands that read what a user's own modules declare."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import typer


def _load(names: list[str] | None) -> list[str] | None:
    from losssearch.cli.output import note
    from losssearch.plugins import load_imports, load_installed

    load_installed(note)
    if names:
        from losssearch.tasks.reading import check_reads

        check_reads(plugin.name for plugin in load_imports(names))
    return names


Import: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--import",
        metavar="MODULE|FILE.py",
        help="Module of your own that adds terms, weightings, metrics or kinds of task; may be given again.",
        callback=_load,
    ),
]
"""Loads the modules, and those of installed plugins, before the command runs."""

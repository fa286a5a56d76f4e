"""``losssearch export``: the recommended loss of a finished study, as files."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from losssearch.cli.importing import Import


class Format(StrEnum):
    """What can be written."""

    python = "python"
    json = "json"
    lightgbm = "lightgbm"
    xgboost = "xgboost"


def export(
    study: Annotated[str, typer.Argument(metavar="STUDY|DIR", help="A study's name or folder.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder to write it to.")],
    form: Annotated[
        Format,
        typer.Option(
            "--format",
            metavar="FORMAT",
            help="python: the whole bundle; json: the spec alone; lightgbm, xgboost: an objective for boosted trees.",
        ),
    ] = Format.python,
    imported: Import = None,
    storage: Annotated[
        str | None,
        typer.Option(metavar="URL", help="The study's store. Default: as it was started, study.db in its folder."),
    ] = None,
) -> None:
    """Write the recommended loss: a bundle that needs only torch, its spec as JSON, or an objective for trees."""
    from losssearch.api import open_result
    from losssearch.cli.output import note

    written = open_result(study, storage=storage).export(out, form.value)
    note(f"written: {written}")

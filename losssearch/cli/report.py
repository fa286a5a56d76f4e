"""``losssearch report``: writes the report of a finished study again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from losssearch.cli.importing import Import


def report(
    study: Annotated[str, typer.Argument(metavar="STUDY|DIR", help="A study's name or folder.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE.html", help="File to write. Default: report.html in the study's folder."),
    ] = None,
    imported: Import = None,
    storage: Annotated[
        str | None, typer.Option(metavar="URL", help="The study's store. Default: study.db in its folder.")
    ] = None,
) -> None:
    """Write the report of a finished study again: one HTML file, from its folder and its store."""
    from losssearch.api import open_result
    from losssearch.assembly.finished import remake_report
    from losssearch.cli.output import console
    from losssearch.errors import OptionError
    from losssearch.export.writing import unwritable

    if out is not None and (out.is_dir() or out.suffix.lower() not in (".html", ".htm")):
        raise OptionError(f"--out must be an .html file, got {out}")
    found = open_result(study, storage=storage)
    try:
        place = remake_report(found.out, found.to_json(), out, storage=storage)
    except OSError as error:
        raise unwritable(out or found.out, error, "the file of a report, --out,") from error
    console().print(f"Report   {place}", soft_wrap=True)

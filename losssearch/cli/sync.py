"""``losssearch sync``: tells MLflow what it missed of a study."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from losssearch.cli.importing import Import


def sync(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a study.")],
    tracking_uri: Annotated[
        str | None,
        typer.Option(
            metavar="URI", help="MLflow store. Default: the study's; one with a password must be given again."
        ),
    ] = None,
    storage: Annotated[
        str | None, typer.Option(metavar="URL", help="The study's store. Default: study.db in its folder.")
    ] = None,
    imported: Import = None,
) -> None:
    """Tell MLflow what it missed of a study: runs, metrics and files; nothing is told twice."""
    from losssearch.assembly.sync import sync as synced
    from losssearch.cli.output import console
    from losssearch.redaction import redact

    found = synced(folder, tracking_uri=tracking_uri, storage=storage)
    state = "complete" if found.finished else "the study is not finished: resume it"
    console().print(
        f"MLflow   run {found.run_id} in {redact(found.tracking_uri)}: {found.trials} trials, {state}", soft_wrap=True
    )

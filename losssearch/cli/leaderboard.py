"""``losssearch leaderboard``: the searched loss and every baseline of a finished study."""

from __future__ import annotations

from typing import Annotated

import typer

from losssearch.cli.importing import Import


def leaderboard(
    study: Annotated[str, typer.Argument(metavar="STUDY|DIR", help="A study's name or folder.")],
    imported: Import = None,
    storage: Annotated[
        str | None,
        typer.Option(metavar="URL", help="The study's store. Default: as it was started, study.db in its folder."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else, on stdout.")] = False,
) -> None:
    """Show the leaderboard of a study, baselines included."""
    from losssearch.api import open_result
    from losssearch.cli.output import write_json
    from losssearch.cli.summary import print_groups, print_leaderboard, print_verdict
    from losssearch.report.leaderboard import as_records
    from losssearch.report.leaderboard import leaderboard as rows

    result = open_result(study, storage=storage).to_json()
    if as_json:
        write_json(as_records(rows(result)))
        return
    print_leaderboard(result)
    print_verdict(result)
    print_groups(result)

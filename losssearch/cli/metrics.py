"""``losssearch metrics``: the metrics for each kind of task."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Annotated, Any

import typer

from losssearch.cli.importing import Import
from losssearch.cli.output import console, write_json

if TYPE_CHECKING:
    from losssearch.evaluation.declaring import MetricRecord


def metrics(
    task: Annotated[
        str | None, typer.Option("--task", metavar="NAME", help="Only metrics of this kind of task.")
    ] = None,
    imported: Import = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else, on stdout.")] = False,
) -> None:
    """List the metrics with their direction, their unit, and what is tuned for them after training."""
    rows = catalogue(task)
    if as_json:
        write_json(rows)
        return
    from rich.table import Column, Table

    table = Table(Column("metric", no_wrap=True), "better", "tuned after training", "what it is")
    for kind, members in itertools.groupby(rows, key=lambda row: row["task"]):
        table.add_section()
        table.add_row(kind, style="bold")
        for row in members:
            better = "higher" if row["direction"] == "maximize" else "lower"
            table.add_row(f"  {row['name']}", better, row["tuned"].replace("_", " "), row["summary"])
    console().print(table)


def catalogue(task: str | None = None) -> list[dict[str, Any]]:
    """The metrics of one kind of task, or of each, as JSON."""
    from losssearch.tasks import TASKS, get_task

    kinds = list(TASKS) if task is None else [get_task(task).kind]
    return [row for kind in kinds for row in _rows(kind)]


def _rows(kind: str) -> list[dict[str, Any]]:
    """The metrics of a kind of task; those with numbers by an example, those of groups by accuracy."""
    from losssearch.evaluation.declaring import records
    from losssearch.evaluation.worst_cell import CELL, EXAMPLES
    from losssearch.tasks import get_task

    view = get_task(kind).view
    own = sorted((one for one in records() if one.fits(kind, view)), key=lambda record: bool(record.numbers))
    rows = [_row(kind, record.example, _summary(record)) for record in own]
    named = {row["name"] for row in rows}
    for name in EXAMPLES if view.labels and "accuracy" in named else ():
        what = "cell of label and group" if name.startswith(CELL) else "group"
        rows.append(_row(kind, name, f"Another metric, here accuracy, of the worst {what}."))
    return rows


def _row(kind: str, name: str, summary: str) -> dict[str, Any]:
    from losssearch.evaluation import get_metric

    found = get_metric(name, kind)
    facts = {"task": kind, "name": found.name, "direction": found.direction, "tuned": found.adjustment}
    return facts | {"unit": found.unit, "summary": summary, "source": found.source}


def _summary(record: MetricRecord) -> str:
    return record.summary.replace("``", "")

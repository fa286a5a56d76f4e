"""The leaderboard and the verdict, as a terminal shows them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.table import Table

from losssearch.cli.output import console
from losssearch.report.leaderboard import leaderboard


def print_summary(result: Mapping[str, Any], out: Path) -> None:
    """Print the leaderboard, the verdict and where things lie."""
    print_leaderboard(result)
    screen = console()
    screen.print(f"\nVerdict  {result['verdict']['text']}")
    counts = ", ".join(f"{n} {state}" for state, n in result["trials"].items() if state != "total" and n)
    timing = result["timing"]
    screen.print(f"Trials   {result['trials']['total']}: {counts}; {timing['total_s']:.0f} s")
    screen.print(f"Loss     {out / 'export' / 'loss.py'}", soft_wrap=True)
    screen.print(f"Report   {out / 'report.html'}", soft_wrap=True)
    if result["mlflow"]["run_id"]:
        screen.print(f"Runs     losssearch ui {out}", soft_wrap=True)


def print_leaderboard(result: Mapping[str, Any]) -> None:
    """Print the searched loss and every baseline, best on test first."""
    metric = result["metric"]
    arrow = "higher is better" if metric["direction"] == "maximize" else "lower is better"
    table = Table(title=f"{result['study']}: {metric['name']} ({arrow})", title_justify="left")
    for name, justify in (
        ("#", "right"),
        ("loss", "left"),
        ("formula", "left"),
        ("validation", "right"),
        ("test", "right"),
    ):
        table.add_column(name, justify=justify, overflow="fold")  # type: ignore[arg-type]  # rich wants a literal
    for row in leaderboard(result):
        test = "" if row.test is None else f"{row.test:.4f} ± {row.std or 0:.4f}"
        validation = "" if row.validation is None else f"{row.validation:.4f}"
        mark = " ◀ recommended" if row.recommended else ""
        style = "bold" if row.recommended else None
        table.add_row(str(row.rank), row.name + mark, row.formula, validation, test, style=style)
    console().print(table)

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
    """Print the searched loss and every baseline, best on test first; the recommended one is marked."""
    metric = result["metric"]
    arrow = "higher is better" if metric["direction"] == "maximize" else "lower is better"
    table = Table(title=f"{result['study']}: {metric['name']}, {arrow}; ◀ is recommended", title_justify="left")
    table.add_column("loss", no_wrap=True)
    table.add_column("formula", overflow="fold")
    table.add_column("validation", justify="right", no_wrap=True)
    table.add_column("test", justify="right", no_wrap=True)
    for row in leaderboard(result):
        test = "" if row.test is None else f"{_shown(row.test)} ± {_shown(row.std or 0.0)}"
        name = f"{row.name} ◀" if row.recommended else row.name
        style = "bold" if row.recommended else None
        table.add_row(name, row.formula, "" if row.validation is None else _shown(row.validation), test, style=style)
    console().print(table)


def _shown(value: float) -> str:
    """Four digits after the point, or none after a large number."""
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.4f}" if abs(value) < 10 else f"{value:.1f}"

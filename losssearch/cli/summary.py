"""The leaderboard and the verdict on a terminal."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from losssearch.cli.output import console
from losssearch.report.fairness import group_rows, group_thresholds, judged_by, shown_front, warnings
from losssearch.report.groups import columns_of, estimate
from losssearch.report.leaderboard import leaderboard, spoken
from losssearch.report.references import references
from losssearch.report.standing import standings

_SHORT = {
    "base rate": "base",
    "selection rate": "selected",
    "true positive rate": "TPR",
    "false positive rate": "FPR",
    "calibration error": "calibration",
    "mean absolute error": "MAE",
    "root mean squared error": "RMSE",
}
"""Titles of columns that are short enough for a terminal."""

_CELLS = 8
"""Cells of label and group that are shown at most."""

_WIDE = 110
"""Console width from which a table has room for formulas in addition to gaps."""


def print_summary(result: Mapping[str, Any], out: Path) -> None:
    """Print the leaderboard, the verdict, the figures of the groups, and the paths of the results."""
    print_leaderboard(result)
    screen = console()
    print_verdict(result)
    print_groups(result)
    counts = ", ".join(f"{n} {state}" for state, n in result["trials"].items() if state != "total" and n)
    timing = result["timing"]
    screen.print(f"Trials   {result['trials']['total']}: {counts}; {timing['total_s']:.0f} s")
    screen.print(f"Loss     {out / 'export' / 'loss.py'}", soft_wrap=True)
    screen.print(f"Report   {out / 'report.html'}", soft_wrap=True)
    if private := result.get("private"):
        promise = f"epsilon {private['epsilon']:.3g}, delta {private['delta']:g}"
        screen.print(f"Private  {out / 'export' / 'private_model.safetensors'}: {promise}", soft_wrap=True)
    if result["mlflow"]["run_id"]:
        screen.print(f"Runs     losssearch ui {out}", soft_wrap=True)


def print_leaderboard(result: Mapping[str, Any]) -> None:
    """Print the searched loss and every baseline, best on test first; the recommended one is marked.

    On a narrow screen, formulas are printed below the names. Each constraint has a column with the gap on test and
    whether it satisfies the limit; there is no room for formulas then. Below, why losses were rejected or failed.
    """
    metric, rows = result["metric"], leaderboard(result)
    arrow = "higher is better" if metric["direction"] == "maximize" else "lower is better"
    constraints = next((row.constraints for row in rows if row.constraints), ())
    table = Table(title=f"{result['study']}: {judged_by(result)}, {arrow}; ◀ is recommended", title_justify="left")
    wide = console().width >= _WIDE
    below = not wide and not constraints
    table.add_column("loss", no_wrap=not below, overflow="fold")
    if wide:
        table.add_column("formula", overflow="fold")
    table.add_column("validation", justify="right", no_wrap=True)
    table.add_column("test", justify="right", no_wrap=True)
    for held in constraints:
        table.add_column(f"{held.title} {held.demand}", justify="right", max_width=18)
    for row in rows:
        test = "" if row.test is None else _with_spread(row.test, row.std, len(row.values))
        name = f"{row.name} ◀" if row.recommended else row.name
        style = "bold" if row.recommended else None
        formula = _terms(row.formula) if constraints else row.formula
        gaps = ["" if held.test is None else f"{_shown(held.test)} {held.mark}" for held in row.constraints]
        validation = "" if row.validation is None else _shown(row.validation)
        named = Group(name, Padding(Text(formula, style="not bold"), (0, 0, 0, 2))) if below else name
        table.add_row(named, *([formula] if wide else []), validation, test, *gaps, style=style)
    console().print(table)
    for one in result.get("reasons") or []:
        such = f"{one['count']} losses, such as " if one["count"] > 1 else ""
        console().print(f"{one['state'].capitalize():8} {such}{one['formula']}: {one['reason']}", soft_wrap=True)


def print_verdict(result: Mapping[str, Any]) -> None:
    """Print which loss to use, and the evidence below it."""
    advice, evidence = spoken(result)
    screen = console()
    screen.print(f"\nVerdict  {advice}", style="bold")
    screen.print(Padding(evidence, (0, 0, 0, 9)))


def print_groups(result: Mapping[str, Any]) -> None:
    """Print the front, the noise floor of each gap, warnings, and how each group fares on test."""
    screen = console()
    _print_front(result)
    for held in standings(result["best"]):
        if held.chance and not held.warning:
            screen.print(f"Floor    {held.title}: {held.chance}")
    for line in warnings(result):
        screen.print(f"Warning  {line}")
    _print_thresholds(result)
    _print_references(result)
    _print_cells(result)
    rows = group_rows(result)
    if not rows:
        return
    columns = columns_of(rows, most_classes=3)
    if screen.width < _WIDE:
        columns = columns[:6]
    table = Table(title="Groups on test, recommended loss", title_justify="left")
    table.add_column("group", overflow="fold", min_width=10)
    table.add_column("rows", justify="right")
    for column in columns:
        table.add_column(_SHORT.get(column.title, column.title), justify="right", overflow="fold")
    for row in rows:
        values = [estimate(row, column)[0] for column in columns]
        shown = ["–" if value is None else _brief(value) for value in values]
        table.add_row(str(row["group"]), f"{row['rows']:,}", *shown)
    screen.print(table)


def _print_cells(result: Mapping[str, Any]) -> None:
    """Print the worst cells of label and group, where the metric is about them."""
    cells = result["best"].get("cells") or []
    if not cells:
        return
    title = "Cells of label and group on test, recommended loss"
    table = Table(title=f"{title}; the worst {_CELLS}" if len(cells) > _CELLS else title, title_justify="left")
    for heading in ("label", "group"):
        table.add_column(heading, overflow="fold")
    for heading in ("rows", "accuracy"):
        table.add_column(heading, justify="right")
    for cell in cells[:_CELLS]:
        shown = _shown(cell["accuracy"]) if cell["counted"] else f"({_shown(cell['accuracy'])}: too few rows)"
        table.add_row(str(cell["label"]), str(cell["group"]), f"{cell['rows']:,}", shown)
    console().print(table)


def _with_spread(mean: float, std: float | None, count: int) -> str:
    """``mean ± std``, both to the same digit; of a single replica the mean alone."""
    shown, spread = _shown(mean), std or 0.0
    if count == 1:
        return shown
    same = f"{spread:,.{len(shown.partition('.')[2])}f}"
    # A spread must not read as none: where the mean's last digit is larger than it, it has its own.
    return f"{shown} ± {same if 'e' not in shown and (float(same.replace(',', '')) or not spread) else f'{spread:.2g}'}"


def _print_front(result: Mapping[str, Any]) -> None:
    places = shown_front(result, 10)
    if not places:
        return
    table = Table(title="The front, as chosen and on test", title_justify="left")
    table.add_column("limit", justify="right")
    table.add_column("loss", no_wrap=True)
    for part in ("as chosen", "test"):
        table.add_column(f"{result['metric']['name']}, {part}", justify="right")
        table.add_column(f"gap, {part}", justify="right")
    for place in places:
        shown = [(place.get(part) or {}).get(name) for part in ("validation", "test") for name in ("metric", "gap")]
        values = ["–" if value is None else _shown(value) for value in shown]
        table.add_row(f"{place['limit']:.3g}", str(place["name"]), *values)
    console().print(table)


def _print_thresholds(result: Mapping[str, Any]) -> None:
    """What a threshold for each group would reach, where that was asked for."""
    found = group_thresholds(result)
    reached = (found.get("test") or {}).get("metric")
    if reached is None:
        return
    gaps = "".join(
        f", {held.title} {_shown(held.test)} {held.mark}" for held in standings(found["test"]) if held.test is not None
    )
    needs = found.get("needs") or "the attribute at prediction"
    metric = result["metric"]["name"]
    console().print(f"Split    a threshold for each group: {metric} {_shown(reached)} on test{gaps}; needs {needs}")


def _print_references(result: Mapping[str, Any]) -> None:
    """What other libraries' mitigations reach on the same rows; a front has them in its report."""
    if result.get("front"):
        return
    for other in references(result):
        gaps = "".join(
            f", {held.title} {_shown(held.test)} {held.mark}" for held in other.constraints if held.test is not None
        )
        needs = f"; needs {other.needs}" if other.needs else ""
        made = f" for {other.under}" if len(other.constraints) > 1 else ""
        reached = f"{result['metric']['name']} {_shown(other.metric)} on test{gaps}{needs}"
        console().print(f"Compare  {other.title}{made}: {reached}")


def _terms(formula: str) -> str:
    """A formula without the settings of its terms, which would leave no room for the gaps."""
    bare = re.sub(r"\([^()]*\)", "", formula)
    return bare if bare == formula else _terms(bare)


def _brief(value: float) -> str:
    return f"{value:.3f}" if value == 0 or 0.001 <= abs(value) < 10 else _shown(value)


def _shown(value: float) -> str:
    """Four digits after the point, or none after a large number; very small and very large ones by their first four."""
    if value and not 0.001 <= abs(value) < 1e9:
        return f"{value:.4g}"
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.4f}" if abs(value) < 10 else f"{value:.1f}"

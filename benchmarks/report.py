"""What all benchmark commands share: their options, the form of their result, and how it is shown and kept."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.machine import describe_machine
from losssearch.errors import LossSearchError

Result = dict[str, Any]
"""``name``, ``figures``, ``ratios`` and ``machine``; what the JSON file holds."""


def make_parser(name: str, doc: str | None) -> argparse.ArgumentParser:
    """The options of every benchmark, under the first line of the module's docstring."""
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}", description=str(doc).splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="less of everything, within 60 seconds")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result to FILE")
    return parser


def parse(parser: argparse.ArgumentParser, arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line; end the program with code 2 where ``--json`` names no place to write to."""
    options = parser.parse_args(arguments)
    if options.json and not options.json.absolute().parent.is_dir():
        parser.error(f"--json must name a file in a folder that exists, got {options.json}")
    return options


def make_result(name: str, figures: Mapping[str, Any], ratios: Mapping[str, Any], machine: object) -> Result:
    """A result in the form of the JSON file."""
    return {"name": name, "figures": dict(figures), "ratios": dict(ratios), "machine": machine}


def keep(result: Mapping[str, Any], file: Path | None) -> None:
    """Write the result, where a file was asked for."""
    if file:
        file.write_text(json.dumps(result, indent=2) + "\n")


def print_table(title: str, headings: Sequence[str], rows: Iterable[Sequence[str]], notes: Iterable[str] = ()) -> None:
    """Print a table, its first column to the left and the others to the right, and lines below it."""
    from rich.console import Console
    from rich.table import Table

    table = Table(headings[0], title=title)
    for heading in headings[1:]:
        table.add_column(heading, justify="right")
    for row in rows:
        table.add_row(*row)
    console = Console(width=None if sys.stdout.isatty() else 140)
    console.print(table)
    for note in notes:
        console.print(note)


def run_command(
    name: str,
    doc: str | None,
    measure: Callable[[bool], tuple[Mapping[str, Any], Mapping[str, Any]]],
    show: Callable[[Result], None],
    arguments: Sequence[str] | None,
) -> int:
    """A benchmark with no options of its own: ``measure(quick)`` gives figures and ratios, on one torch thread."""
    import torch

    parser = make_parser(name, doc)
    options = parse(parser, arguments)
    torch.set_num_threads(1)
    machine = describe_machine(torch_threads=1)
    try:
        figures, ratios = measure(options.quick)
    except LossSearchError as error:
        parser.error(str(error))
    result = make_result(name, figures, ratios, machine)
    show(result)
    keep(result, options.json)
    return 0

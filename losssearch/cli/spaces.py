"""``losssearch spaces``: the bundled search spaces, one space in full, or what is wrong with a space file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from losssearch.cli.importing import Import
from losssearch.cli.output import console, range_text, write_json
from losssearch.errors import SpaceError

if TYPE_CHECKING:
    from losssearch.losses.domains import Domain
    from losssearch.space import SearchSpace, Slot
    from losssearch.space.answers import Courses


def spaces(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME|FILE.yaml", help="Show this space: bundled, or your own file.")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Name every rule that the file breaks; exit code 2 if there is one.")
    ] = False,
    imported: Import = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else, on stdout.")] = False,
) -> None:
    """List the search spaces and the question that each answers, show one, or check a file of your own."""
    from losssearch.space import bundled_spaces, load_space

    names = bundled_spaces() if name is None else (name,)
    if check:
        _check(names, as_json)
        return
    loaded = [load_space(each) for each in names]
    if as_json:
        records = [{"name": space.name, "question": space.question, **space.to_json()} for space in loaded]
        write_json(records if name is None else records[0])
    elif name is None:
        _list(loaded)
    else:
        _show(loaded[0])


def _check(names: Sequence[str], as_json: bool) -> None:
    from losssearch.space import check_space

    found = {name: check_space(name) for name in names}
    if as_json:
        write_json([{"space": name, "ok": not problems, "problems": problems} for name, problems in found.items()])
    else:
        screen = console()
        for name, problems in found.items():
            for line in problems or [f"{name}: valid"]:
                screen.print(line, soft_wrap=True)
    broken = {name: len(problems) for name, problems in found.items() if problems}
    if broken:
        raise SpaceError("; ".join(f"{name} breaks {count} rule{'s'[: count > 1]}" for name, count in broken.items()))


def _list(loaded: Sequence[SearchSpace]) -> None:
    from rich.table import Column, Table

    table = Table(Column("space", no_wrap=True), "task", "terms", "question")
    for space in loaded:
        table.add_row(space.name, space.task, str(len(space.terms)), space.question)
    console().print(table)


def _range(slot: Slot, term: str, key: str, domain: Domain) -> str:
    return f"{key}: {range_text(domain)}{_moving(slot.courses.get(f'{term}.{key}'))}"


def _moving(courses: Courses | None) -> str:
    return f", {' or '.join(courses)}" if courses else ""


def _show(space: SearchSpace) -> None:
    from rich.table import Table

    from losssearch.losses.balance import SUM

    screen = console()
    screen.print(f"{space.name}: {space.task}, up to {space.max_parts} parts", style="bold")
    screen.print(space.question)
    if list(space.balances) != [SUM]:
        screen.print(f"several parts are balanced by {' or '.join(space.balances)}")
    for slot in space.slots:
        title = f"{slot.name}, reduced by {' or '.join(slot.reductions)}"
        if len(slot.weightings) > 1 or "weight" in slot.courses:
            title += f"; weight {range_text(slot.weight)}, {' or '.join(slot.weightings)}"
            title += _moving(slot.courses.get("weight"))
        table = Table("term", "range", title=title, title_justify="left")
        for term, ranges in sorted(slot.terms.items()):
            table.add_row(term, "\n".join(_range(slot, term, key, domain) for key, domain in ranges.items()))
        screen.print()
        screen.print(table)

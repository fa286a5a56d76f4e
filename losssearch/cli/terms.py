"""``losssearch terms``: the catalogue of loss terms, one term in full, or its curves as a picture."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from losssearch.cli.importing import Import
from losssearch.cli.output import console, note, range_text, write_json
from losssearch.errors import OptionError, UnknownNameError

if TYPE_CHECKING:
    from losssearch.losses.state import State
    from losssearch.losses.term import LossTerm

_ROOMY = 100
"""Console width from which the list has room for hyperparameters in addition to the summary."""


_NAMED = "imbalance, outliers, label-noise, miscalibration, costs, censoring or ties"
"""The problems; their own module is not read for the help, because it brings PyTorch."""

_PLAIN = frozenset({"logits", "logit", "labels", "prediction", "target", "scores", "goal", "predicted", "plain_loss"})
"""What every task of its kind has: outputs and targets."""

_KEPT = {
    "validation": "learned by the validation loss",
    "update": "carried from batch to batch",
    "row update": "carried from epoch to epoch, for each training row",
    "frozen": "an array that never changes",
}
"""What becomes of states that are not learned."""


def terms(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="Show this term in full.")] = None,
    family: Annotated[str | None, typer.Option("--family", metavar="NAME", help="Only terms of this family.")] = None,
    task: Annotated[
        str | None, typer.Option("--task", metavar="NAME", help="Only terms that fit this kind of task.")
    ] = None,
    problem: Annotated[
        str | None,
        typer.Option("--problem", metavar="NAME", help=f"Only terms made for it: {_NAMED}."),
    ] = None,
    imported: Import = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else, on stdout.")] = False,
    plot: Annotated[
        Path | None,
        typer.Option("--plot", metavar="FILE.png", help="Draw value and gradient of the named term; .svg or .pdf too."),
    ] = None,
) -> None:
    """List the loss terms, or show one: the tensors that it reads, its hyperparameters, and its reference."""
    from losssearch.losses import terms as catalogue

    if name is None:
        if plot is not None:
            raise OptionError("--plot draws one term, so it needs a NAME: losssearch terms NAME --plot FILE.png")
        _list(_select(catalogue.values(), family, task, problem), as_json, shapes=problem is not None)
        return
    if any(option is not None for option in (family, task, problem)):
        raise OptionError("a NAME shows one term, so it cannot be combined with --family, --task or --problem")
    if name not in catalogue:
        raise UnknownNameError("term", name, catalogue)
    if plot is not None:
        _draw(catalogue[name], plot)
    if as_json:
        write_json(record(catalogue[name]))
    else:
        _show(catalogue[name])


def _select(every: Any, family: str | None, task: str | None, problem: str | None) -> list[LossTerm]:
    chosen = sorted(every, key=lambda term: (term.family, term.name))
    if family is not None:
        families = {term.family for term in chosen}
        if family not in families:
            raise UnknownNameError("family", family, families)
        chosen = [term for term in chosen if term.family == family]
    if task is not None:
        from losssearch.tasks import get_task

        offers = get_task(task).with_groups().offers
        chosen = [term for term in chosen if term.fits(offers)]
    if problem is not None:
        from losssearch.losses.traits import PROBLEMS

        if problem not in PROBLEMS:
            raise UnknownNameError("problem", problem, PROBLEMS)
        chosen = [term for term in chosen if problem in term.traits.problems]
        if not chosen:
            where = f" of the task {task}" if task else ""
            raise OptionError(f"--problem {problem}: no term{where} is made for {PROBLEMS[problem]}")
    return chosen


def _list(chosen: Sequence[LossTerm], as_json: bool, *, shapes: bool) -> None:
    if as_json:
        write_json([record(term) for term in chosen])
        return
    from rich.table import Column, Table

    screen = console()
    roomy = screen.width >= _ROOMY
    more = ["shape", "needs"] if shapes else ["tunes"] if roomy else []
    table = Table(Column("term", no_wrap=True), *more, "what it is for")
    for family, members in itertools.groupby(chosen, key=lambda term: term.family):
        table.add_section()
        table.add_row(family, style="bold")
        for term in members:
            tunes = ", ".join([*term.domains, *(f"{name} (learned)" for name in term.learned)])
            told = [_shape(term), ", ".join(needs(term)) or "-"] if shapes else [tunes] if roomy else []
            table.add_row(f"  {term.name}", *told, _plain(term.summary))
    screen.print(table)


def _shape(term: LossTerm) -> str:
    return ", ".join(name for name, holds in term.traits.shape.items() if holds) or "-"


def needs(term: LossTerm) -> list[str]:
    """What it takes in addition to outputs and targets."""
    found = [name for name in term.reads if name not in _PLAIN]
    found += ["mini-batches"] * (not term.per_sample)
    found += ["numbers of training rows"] * any(state.by_row for state in term.states.values())
    found += ["a second split"] * any(state.by_validation for state in term.states.values())
    return found


def _show(term: LossTerm) -> None:
    from rich.table import Table

    from losssearch.losses.traits import ENDS, PROBLEMS

    facts = Table.grid(padding=(0, 2))
    facts.add_row("family", term.family)
    facts.add_row("reads", ", ".join(term.reads))
    facts.add_row("returns", "one value per sample" if term.per_sample else "one value per batch")
    facts.add_row("sign", "never below zero" if term.nonnegative else "any")
    if term.traits.argmin:
        facts.add_row("descends to", ENDS[term.traits.argmin])
    if term.traits.argmin or any(term.traits.shape.values()):
        facts.add_row("shape", _shape(term))
    if term.traits.problems:
        facts.add_row("made for", "\n".join(f"{name}: {PROBLEMS[name]}" for name in term.traits.problems))
    facts.add_row(
        "tunes", "\n".join(f"{key}: {range_text(domain)}" for key, domain in term.domains.items()) or "nothing"
    )
    facts.add_row("learns", "\n".join(_learned(term)) or "nothing")
    if kept := [f"{name}: {_KEPT[s.moved_by]}" for name, s in term.states.items() if not s.optimised]:
        facts.add_row("keeps", "\n".join(kept))
    facts.add_row("source", term.reference)
    if term.traits.oracle:
        facts.add_row("compared with", term.traits.oracle)
    if term.aliases:
        facts.add_row("also known as", ", ".join(term.aliases))
    screen = console()
    screen.print(term.name, style="bold")
    screen.print(_plain(inspect.cleandoc(term.function.__doc__ or "")), soft_wrap=True)
    screen.print()
    screen.print(facts)


def _draw(term: LossTerm, file: Path) -> None:
    if file.suffix not in (".png", ".svg", ".pdf"):
        raise OptionError(f"--plot must name a .png, .svg or .pdf file, got {file}")
    if not file.parent.is_dir():
        raise OptionError(f"--plot: the folder {file.parent} does not exist")
    from losssearch.cli.term_plot import draw

    try:
        draw(term, file)
    except OSError as error:
        raise OptionError(
            f"--plot must name a file that can be written, but {file} cannot: {error.strerror}"
        ) from error
    note(f"written: {file}")


def _plain(text: str) -> str:
    return text.replace("`", "")


def _learned(term: LossTerm) -> list[str]:
    return [f"{name}: learned with the model, from {_text(state)}" for name, state in term.learned.items()]


def _text(state: State) -> str:
    initial = _init(state)
    return f"{initial:g}" if isinstance(initial, float) else initial


def _init(state: State) -> float | str:
    return state.init if isinstance(state.init, float) else "a draw" if callable(state.init) else "an array"


def record(term: LossTerm) -> dict[str, Any]:
    """What is known of a term, as JSON."""
    return {
        "name": term.name,
        "family": term.family,
        "summary": term.summary,
        "description": inspect.cleandoc(term.function.__doc__ or ""),
        "reads": list(term.reads),
        "hyperparameters": {
            name: {"kind": type(domain).__name__.lower(), **asdict(domain)} for name, domain in term.domains.items()
        },
        "learned": {name: {"initial": _init(state)} for name, state in term.learned.items()},
        "per_sample": term.per_sample,
        "nonnegative": term.nonnegative,
        "memory": any(state.update is not None for state in term.states.values()),
        "reference": term.reference,
        "aliases": list(term.aliases),
        "argmin": term.traits.argmin,
        "problems": list(term.traits.problems),
        "shape": {name.replace(" ", "_"): holds for name, holds in term.traits.shape.items()},
        "needs": needs(term),
        "oracle": term.traits.oracle,
    }

"""``losssearch search``: find the loss."""

from __future__ import annotations

import inspect
import time
from typing import Annotated, Any

import typer

from losssearch.cli.search_options import parameters, read
from losssearch.request import OPTIONS
from losssearch.request.groups import STUDY


def search(
    context: typer.Context,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print result.json, and nothing else, on stdout.", rich_help_panel=STUDY)
    ] = False,
    quiet: Annotated[
        bool,
        typer.Option(
            "--quiet", help="No progress and no notes; leaderboard and verdict are shown.", rich_help_panel=STUDY
        ),
    ] = False,
    silent: Annotated[
        bool, typer.Option("--silent", help="Print errors alone, and what --json asks for.", rich_help_panel=STUDY)
    ] = False,
    **given: Any,
) -> None:
    """Find the training loss that makes a model best at a metric, and prove it against strong baselines."""
    started = time.monotonic()  # before the imports: a time budget counts them
    from losssearch.api import run
    from losssearch.cli.output import write_json
    from losssearch.cli.summary import print_summary
    from losssearch.errors import ConstraintUnmetError, OptionError
    from losssearch.progress import progress
    from losssearch.request import Request

    request = Request(**read(given), started=started, explicit=_explicit(context))
    if request.data is None and request.resume is not True:
        raise OptionError("DATA must be given: a file, builtin:NAME or openml:ID; only --resume --out DIR needs none")
    request.check()
    unmet: ConstraintUnmetError | None = None
    with progress(0 if quiet or silent or as_json else 1) as observer:
        try:
            result = run(request.plain(), observer)
        except ConstraintUnmetError as error:
            unmet, result = error, error.result
    if as_json:
        write_json(result.to_json())
    elif not silent:
        print_summary(result.to_json(), result.out)
    if unmet:
        raise unmet


def _explicit(context: typer.Context) -> frozenset[str]:
    """Names of the options that stand on the command line."""
    sources = ((name, context.get_parameter_source(name)) for name in context.params if name in OPTIONS)
    return frozenset(name for name, source in sources if source is not None and source.name != "DEFAULT")


def _signature() -> inspect.Signature:
    """That of the command with the options of a request in place of ``given``, its own flags last."""
    first, *flags = list(inspect.signature(search, eval_str=True).parameters.values())[:-1]
    own = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in flags]
    return inspect.Signature([first, *parameters(), *own], return_annotation=None)


vars(search)["__signature__"] = _signature()

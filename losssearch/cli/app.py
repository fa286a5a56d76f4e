"""The ``losssearch`` command: its subcommands, and how an error becomes one line and an exit code.

Only Typer is imported here and at the top of the command modules, so ``--help`` answers at once; a command
imports what it needs when it runs.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup, TyperOption

from losssearch import __version__, stopping
from losssearch.cli.db import db
from losssearch.cli.doctor import doctor
from losssearch.cli.export import export
from losssearch.cli.leaderboard import leaderboard
from losssearch.cli.metrics import metrics
from losssearch.cli.output import fail
from losssearch.cli.remote import remote
from losssearch.cli.report import report
from losssearch.cli.search import search
from losssearch.cli.search_options import complete
from losssearch.cli.serve import serve
from losssearch.cli.spaces import spaces
from losssearch.cli.sync import sync
from losssearch.cli.terms import terms
from losssearch.cli.token import token
from losssearch.cli.ui import ui
from losssearch.errors import InterruptedStudyError, LossSearchError
from losssearch.option_names import spelled_by
from losssearch.redaction import guarded, redact
from losssearch.request import flag


class _Command(TyperCommand):
    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, complete(args) if self.name in ("search", "submit") else args)

    def get_params(self, ctx: Any) -> list[Any]:
        return _with_bare_flags(super().get_params(ctx))


class _Group(TyperGroup):
    def get_params(self, ctx: Any) -> list[Any]:
        return _with_bare_flags(super().get_params(ctx))


def _with_bare_flags(parameters: list[Any]) -> list[Any]:
    """Let the help show no type next to a flag: ``--resume <bool>`` reads as if it took a value."""
    for parameter in parameters:
        if isinstance(parameter, TyperOption) and parameter.is_flag:
            parameter.metavar = ""
    return parameters


app = typer.Typer(
    name="losssearch",
    cls=_Group,
    help="Find the training loss that makes your model best at your metric, and prove it.",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"losssearch {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


for _command in (search, leaderboard, report, export, sync, terms, metrics, spaces, ui, doctor):
    app.command(_command.__name__, cls=_Command)(_command)
app.add_typer(db, name="db", cls=_Group)
for _name, _commands in (("serve", serve), ("remote", remote), ("token", token)):
    for _part in _commands.registered_commands:
        _part.cls = _Command
    app.add_typer(_commands, name=_name, cls=_Group)


@guarded()
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Codes: 0 done, 1 a fault of the program, 2 bad usage or input, 3 constraint unmet, 4 connection lost,
    5 the study is held by another driver, 130 interrupted. An error is one line on stderr; ``LOSSSEARCH_DEBUG=1`` adds
    the traceback.
    """
    with spelled_by(flag), stopping.stoppable(stopping.SIGNALS) as token:
        code = _run(arguments)
        if token.requested and code not in (0, InterruptedStudyError.exit_code):
            return InterruptedStudyError.exit_code  # what went wrong on the way to the end is part of the stop
        return code


def _run(arguments: Sequence[str] | None) -> int:
    try:
        code = app(args=arguments, prog_name="losssearch", standalone_mode=False)
    except LossSearchError as error:
        _explain(str(error))
        return error.exit_code
    except typer.TyperException as error:
        _explain(error.format_message())
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        code = InterruptedStudyError.exit_code
    except Exception as error:  # noqa: BLE001  (the last line of defence: users never see a traceback unasked)
        if stopping.current().requested and not _debugging():  # what a signal broke off may fail in any way
            fail("interrupted")
            return InterruptedStudyError.exit_code
        hint = "" if _debugging() else " (set LOSSSEARCH_DEBUG=1 for the traceback)"
        _explain(f"unexpected {type(error).__name__}: {error}{hint}")
        return LossSearchError.exit_code
    if code == InterruptedStudyError.exit_code:
        fail("interrupted")
    return code if isinstance(code, int) else 0


def _explain(message: str) -> None:
    if _debugging():
        sys.stderr.write(redact(traceback.format_exc()))
    fail(message)


def _debugging() -> bool:
    return os.environ.get("LOSSSEARCH_DEBUG", "") not in ("", "0")

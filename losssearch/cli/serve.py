"""``losssearch serve``: the service, from the repository or its image."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Annotated

import typer

from losssearch.errors import OptionError

serve = typer.Typer(help="The service: searches as jobs, for a team. docs/service.md", no_args_is_help=False)

Slots = Annotated[
    int | None,
    typer.Option("--slots", metavar="N", min=1, max=1024, help="How many searches run at once. Default: 1."),
]


@serve.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    dev: Annotated[
        bool, typer.Option("--dev", help="API, one worker and MLflow on SQLite in one folder, for you on this machine.")
    ] = False,
    data: Annotated[Path, typer.Option("--data", metavar="DIR", help="With --dev: the folder of everything.")] = Path(
        "losssearch-service"
    ),
    port: Annotated[
        int | None,
        typer.Option("--port", metavar="N", min=1, max=65535, help="With --dev. Default: 8080, or a free one."),
    ] = None,
    slots: Slots = None,
    mlflow: Annotated[bool, typer.Option("--mlflow/--no-mlflow", help="With --dev: start an MLflow server.")] = True,
) -> None:
    if context.invoked_subcommand is not None:
        return
    if not dev:
        typer.echo(context.get_help())
        return
    _check()
    from services.dev import dev as serve_dev

    serve_dev(data, port=port, slots=slots or 1, mlflow=mlflow, echo=typer.echo)


@serve.command("api")
def api(
    host: Annotated[str, typer.Option("--host", metavar="ADDRESS", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", metavar="N", min=1, max=65535, help="Port to listen on.")] = 8000,
) -> None:
    """Serve the REST API and the pages. Settings come from the environment."""
    _check()
    from services.serve import api as serve_api
    from services.settings import Settings

    serve_api(Settings.from_environment(), host, port)


@serve.command("worker")
def worker(slots: Slots = None) -> None:
    """Run searches, each in a process of its own. Settings come from the environment."""
    _check()
    from dataclasses import replace

    from services.serve import worker as serve_worker
    from services.settings import Settings

    settings = Settings.from_environment()
    serve_worker(settings if slots is None else replace(settings, slots=slots))


@serve.command("migrate")
def migrate() -> None:
    """Make the service's tables, or bring them to this version."""
    _check()
    from services.migrate import migrate as bring
    from services.settings import Settings

    typer.echo(bring(Settings.from_environment()))


@serve.command("user")
def user(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The user's name.")],
    team: Annotated[
        str | None, typer.Option("--team", metavar="NAME", help="The user's team, made if it is new. Default: main.")
    ] = None,
    admin: Annotated[bool, typer.Option("--admin", help="A new user who manages users and teams.")] = False,
    password: Annotated[
        bool, typer.Option("--password/--link", help="Ask for a password, or print a link that logs in once.")
    ] = True,
    revoke_tokens: Annotated[bool, typer.Option("--revoke-tokens", help="End all tokens of the user too.")] = False,
) -> None:
    """Make a user, or let one in again. The password is typed, or the first line of stdin."""
    _check()
    from services.enrol import enrol
    from services.settings import Settings

    settings, given = Settings.from_environment(), None
    if password and sys.stdin.isatty():
        given = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
    elif password:
        given = sys.stdin.readline().rstrip("\n")
    typer.echo(enrol(settings, name, team=team, admin=admin, password=given, revoke_tokens=revoke_tokens))


def _check() -> None:
    """Raise `OptionError` where the service is not installed."""
    for needed, missing in (
        ("services", "the service comes with the repository and its image, not with the wheel: clone the repository"),
        ("fastapi", "the service needs its extra: pip install -e '.[service]'"),
    ):
        if importlib.util.find_spec(needed) is None:
            raise OptionError(missing)

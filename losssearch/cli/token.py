"""``losssearch token``: one's tokens at a service."""

from __future__ import annotations

from typing import Annotated

import typer

from losssearch.cli.output import console, note, write_json

token = typer.Typer(help="Your tokens at the service of `losssearch remote login`.", no_args_is_help=True)


@token.command("create")
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What the token is for.")],
    scope: Annotated[str, typer.Option("--scope", metavar="read|write|admin", help="What it may do.")] = "write",
    expires: Annotated[
        str | None,
        typer.Option("--expires", metavar="DURATION", help="How long it lives, such as 720h. Default: for ever."),
    ] = None,
) -> None:
    """Make a token and print it: it is shown this once."""
    from losssearch.cli.remote_client import Remote
    from losssearch.request import parse_duration

    body = {"name": name, "scope": scope, "seconds": None if expires is None else parse_duration(expires)}
    made = Remote.known().ask("POST", "/v1/tokens", body)
    typer.echo(made["token"])
    note(f"token {made['id']}: keep it, it is not shown again")


@token.command("list")
def list_tokens(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else, on stdout.")] = False,
) -> None:
    """List your tokens, without their secrets."""
    from datetime import UTC, datetime

    from losssearch.cli.remote_client import Remote

    found = Remote.known().ask("GET", "/v1/tokens")
    if as_json:
        write_json(found)
        return
    from rich.table import Table

    def day(moment: float | None) -> str:
        return "" if moment is None else datetime.fromtimestamp(moment, UTC).date().isoformat()

    table = Table("id", "name", "scope", "last used", "expires", "revoked")
    for one in found:
        table.add_row(
            one["id"], one["name"], one["scope"], *(day(one[key]) for key in ("last_used", "expires", "revoked"))
        )
    console().print(table)


@token.command("revoke")
def revoke(
    identifier: Annotated[
        str, typer.Argument(metavar="ID", help="The token's id, as `losssearch token list` shows it.")
    ],
) -> None:
    """End a token at once."""
    from losssearch.cli.remote_client import Remote

    Remote.known().ask("DELETE", f"/v1/tokens/{identifier}")
    note(f"revoked: {identifier}")

"""``losssearch token``: one's tokens at a service."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from losssearch.cli.output import console, note, write_json

if TYPE_CHECKING:
    from losssearch.cli.remote_client import Remote

token = typer.Typer(help="Your tokens at the service of `losssearch remote login`.", no_args_is_help=True)

User = Annotated[str | None, typer.Option("--user", metavar="NAME", help="For an admin: whose tokens. Default: yours.")]


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
    user: User = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else, on stdout.")] = False,
) -> None:
    """List your tokens, or for an admin those of a user, without their secrets."""
    from datetime import UTC, datetime

    from losssearch.cli.remote_client import Remote

    service = Remote.known()
    found = service.ask("GET", _tokens_of(service, user))
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
    user: User = None,
) -> None:
    """End a token at once."""
    from losssearch.cli.remote_client import Remote

    service = Remote.known()
    service.ask("DELETE", f"{_tokens_of(service, user)}/{identifier}")
    note(f"revoked: {identifier}")


def _tokens_of(service: Remote, user: str | None) -> str:
    """Where the tokens of a user are, by name; None for one's own."""
    if user is None:
        return "/v1/tokens"
    from losssearch.errors import UnknownNameError

    known = {one["name"]: one["id"] for one in service.ask("GET", "/v1/users")}
    if user not in known:
        raise UnknownNameError("user", user, tuple(known))
    return f"/v1/users/{known[user]}/tokens"

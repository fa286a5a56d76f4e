"""``losssearch remote``: a service as if its searches ran here."""

from __future__ import annotations

import inspect
import io
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from losssearch.cli.output import note, write_json
from losssearch.cli.search_options import parameters, read
from losssearch.request import DEFAULTS, OPTIONS

if TYPE_CHECKING:
    from losssearch.cli.remote_client import Remote

remote = typer.Typer(help="Searches of a service: docs/service.md", no_args_is_help=True)

SearchId = Annotated[str, typer.Argument(metavar="SEARCH", help="The id that submit printed.")]
_ENDS = {"done": 0, "unmet": 3, "cancelled": 130, "failed": 2}
_BUNDLED = re.compile(r"bundle/[A-Za-z0-9_][A-Za-z0-9_.-]*")


@remote.command("login")
def login(
    url: Annotated[str, typer.Argument(metavar="URL", help="Address of the service, https://HOST.")],
    user: Annotated[
        str | None, typer.Option("--user", metavar="NAME", help="Log in by password and make a token.")
    ] = None,
) -> None:
    """Keep the address of a service and a token for it. Token or password is asked for, or read from stdin."""
    from losssearch.cli.remote_client import Remote

    service = Remote(url.rstrip("/"))
    if user is None:
        service = Remote(service.url, _secret("Token: "))
    else:
        service = Remote(service.url, _token_of(service, user, _secret("Password: ")))
    who = service.ask("GET", "/v1/session")
    note(f"{who['name']} may {who['scope']} at {service.url}; the token is kept in {service.keep()}")


@remote.command("password")
def password(
    revoke_tokens: Annotated[
        bool, typer.Option("--revoke-tokens", help="End your tokens too, but the one that is kept here.")
    ] = False,
) -> None:
    """Change your password, which ends your sessions in browsers. Both are asked for, or a line each on stdin."""
    from losssearch.cli.remote_client import Remote

    body = {"current": _secret("Current password: "), "password": _secret("New password: ")}
    Remote.known().ask("POST", "/v1/password", body | {"revoke_tokens": revoke_tokens})
    note("the password is changed")


def submit(
    context: typer.Context,
    data: Annotated[str, typer.Argument(metavar="DATA", help="A file, or the id of a dataset of the service.")],
    name: Annotated[
        str | None, typer.Option("--name", help="What the search is called. Default: the data's name.")
    ] = None,
    watched: Annotated[bool, typer.Option("--watch", help="Show its progress until it ends.")] = False,
    **given: Any,
) -> None:
    """Upload a file if it is one, and ask for a search. Prints the id of the search."""
    from losssearch.cli.remote_client import Remote

    service = Remote.known()
    request = {
        key: value for key, value in read(given).items() if value is not DEFAULTS[key] and value != DEFAULTS[key]
    }
    if str(request.get("space", "")).endswith((".yaml", ".yml")):
        request["space_text"] = _text_of(Path(request.pop("space")))
    dataset = data if re.fullmatch(r"[0-9a-f]{32}", data) else _uploaded(service, Path(data))
    body = {"dataset": dataset, "name": name or Path(data).name[:100], "request": request}
    key = {"Idempotency-Key": os.urandom(16).hex()}
    search = service.ask("POST", "/v1/searches", body, **key)["id"]
    typer.echo(search)
    if watched:
        raise typer.Exit(_watch(service, search))


@remote.command("watch")
def watch(search: SearchId) -> None:
    """Show the progress of a search until it ends. Ctrl-C ends the watching, and not the search."""
    from losssearch.cli.remote_client import Remote

    raise typer.Exit(_watch(Remote.known(), search))


@remote.command("get")
def get(
    search: SearchId,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Where the loss goes. Default: ./SEARCH")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print result.json, and nothing else, on stdout.")] = False,
) -> None:
    """Download the loss of a search that has finished, and print its verdict."""
    from losssearch.cli.remote_client import Remote

    service = Remote.known()
    result = service.ask("GET", f"/v1/searches/{search}/result")
    folder = out or Path(search)
    _unpack(service.download(f"/v1/searches/{search}/bundle"), folder)
    if as_json:
        write_json(result)
    else:
        typer.echo(result["verdict"]["text"])
        note(f"written: {folder}")


@remote.command("cancel")
def cancel(search: SearchId) -> None:
    """Ask for the end of a search; what it has found so far is kept."""
    from losssearch.cli.remote_client import Remote

    typer.echo(Remote.known().ask("POST", f"/v1/searches/{search}/cancel")["state"])


def _watch(service: Remote, search: str) -> int:
    from losssearch.progress import progress
    from losssearch.progress.stages import StagedProgress

    found: dict[str, Any] = {}
    with progress() as display:
        assert isinstance(display, StagedProgress)  # noqa: S101  (what progress(1) gives)
        for kind, data in service.events(search):
            if kind == "note":
                display.note(str(data["data"].get("text", "")))
            elif kind == "progress":
                found = data
                if data["stage"]:
                    display.told(data["stage"], data["total"], data["done"], data["best"])
    shown: Mapping[str, Any] = service.ask("GET", f"/v1/searches/{search}")
    state, message = shown["state"], shown["message"] or found.get("message", "")
    note(f"{state}{': ' if message else ''}{message}")
    if state in ("done", "unmet"):
        typer.echo(service.ask("GET", f"/v1/searches/{search}/verdict")["verdict"].get("text", ""))
    return _ENDS.get(state, 1)


def _uploaded(service: Remote, file: Path) -> str:
    from losssearch.data.files import suffix_of

    suffix = suffix_of(file).removeprefix(".")
    made: str = service.ask("POST", "/v1/datasets", {"name": file.name[:100]})["id"]
    note(f"uploading {file}")
    found = service.upload(f"/v1/datasets/{made}/content?format={suffix}", file)
    note(f"dataset {made}: {found['rows']:,} rows, {found['columns']} columns")
    return made


def _unpack(archive: bytes, folder: Path) -> None:
    """Write the files of a bundle; names are plain ones, whatever the archive says."""
    import zipfile

    from losssearch.export.writing import replace_folder

    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        names = [name for name in opened.namelist() if _BUNDLED.fullmatch(name)]
        files = {Path(name).name: opened.read(name) for name in names}
    if folder.exists():
        from losssearch.errors import OptionError

        raise OptionError(f"--out must be a folder that does not exist yet, got {folder}")
    replace_folder(folder, files)


def _token_of(service: Remote, user: str, password: str) -> str:
    """A token of a user with a password."""
    import socket

    return service.token_by_password(user, password, f"losssearch remote on {socket.gethostname()}"[:100])


def _secret(prompt: str) -> str:
    from getpass import getpass

    from losssearch.errors import OptionError

    found = (getpass(prompt) if sys.stdin.isatty() else sys.stdin.readline()).strip()
    if not found:
        raise OptionError(f"{prompt.rstrip(': ').lower()} must be given, on a terminal or as a line on stdin")
    return found


def _text_of(file: Path) -> str:
    from losssearch.errors import DataError

    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file} must be a text that can be read: {error}") from None


def _signature() -> inspect.Signature:
    """That of `submit` with the options that a service takes in place of ``given``."""
    first, *own = list(inspect.signature(submit, eval_str=True).parameters.values())[:-1]
    taken = [one for one in parameters() if not OPTIONS[one.name].local_only]
    return inspect.Signature(
        [first, *(one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in own), *taken], return_annotation=None
    )


vars(submit)["__signature__"] = _signature()
remote.command("submit")(submit)

"""``losssearch ui``: the MLflow UI on a study's runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from losssearch.errors import OptionError
from losssearch.request import DEFAULTS

RUNS = Path("losssearch-runs")
STORE = "mlflow.db"


def ui(
    folder: Annotated[
        Path | None, typer.Argument(metavar="DIR", help=f"Folder of a study. Default: the newest under {RUNS}/.")
    ] = None,
    port: Annotated[
        int | None,
        typer.Option("--port", metavar="N", min=1, max=65535, help="Port to listen on. Default: 5000, or a free one."),
    ] = None,
    host: Annotated[str, typer.Option("--host", metavar="ADDRESS", help="Address to listen on.")] = "127.0.0.1",
) -> None:
    """Open the MLflow UI of a study; Ctrl-C stops it."""
    folder = _newest() if folder is None else folder
    uri, artifacts, experiment = _tracked(folder)
    from losssearch.tracking.ui import serve_ui

    serve_ui(uri, artifacts, host=host, port=port, experiment=experiment)


def _tracked(folder: Path) -> tuple[str, Path | None, str]:
    """Where the study's runs are: the store in its folder, or the one that its result names; and their experiment."""
    from losssearch.tracking.location import local_store, resolved

    tracked = _read(folder / "result.json").get("mlflow") or {}
    command = _read(folder / "study.json").get("command") or {}
    experiment = str(
        tracked.get("experiment") or command.get("options", {}).get("experiment") or DEFAULTS["experiment"]
    )
    if (folder / STORE).is_file():
        return *local_store(folder), experiment
    if uri := tracked.get("tracking_uri"):
        return resolved(str(uri), folder), None, experiment
    raise OptionError(f"DIR must be the folder of a study that was tracked, but {folder} holds no {STORE}")


def _read(file: Path) -> dict[str, Any]:
    """A study's file that may be missing, as while the study runs."""
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}


def _newest() -> Path:
    stores = sorted(RUNS.glob(f"*/{STORE}"), key=lambda store: store.stat().st_mtime)
    if not stores:
        raise OptionError(f"no tracked study under {RUNS}/: run `losssearch search` first, or name a study's folder")
    return stores[-1].parent

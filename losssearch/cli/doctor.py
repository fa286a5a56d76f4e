"""``losssearch doctor``: installed packages, available devices, and stores that respond."""

from __future__ import annotations

import importlib
import os
import platform
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated

import typer

from losssearch import __version__
from losssearch.cli.output import console, write_json
from losssearch.errors import ConnectionLostError, LossSearchError, SpaceError
from losssearch.redaction import redact

PACKAGES = ("torch", "ray", "mlflow", "optuna", "sqlalchemy", "scikit-learn", "pandas", "pyarrow", "numpy", "scipy")
IMPORTED = ("torch", "ray", "mlflow", "optuna")
"""What a search cannot run without and what most often fails to load: wrong wheel, missing system library."""


@dataclass(frozen=True)
class Check:
    """One thing that a search needs: whether it works, and what was found."""

    name: str
    ok: bool
    detail: str
    exit_code: int = 0


def doctor(
    storage: Annotated[
        str | None, typer.Option("--storage", metavar="URL", help="Also try this store, as in `search --storage`.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else, on stdout.")] = False,
) -> None:
    """Say what is installed, which devices there are and which stores answer.

    Exits with 1 where something is broken, and with 4 where all that is broken is a store that does not answer.
    """
    checks = [_checked(f"import {name}", partial(_import, name)) for name in IMPORTED]
    checks.append(_checked("devices", _devices))
    checks.append(_checked("store sqlite", _sqlite))
    if storage is not None:
        checks.append(_checked("store --storage", lambda: _answers(storage)))
    checks.append(_checked("spaces", _spaces))
    report = {
        "losssearch": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cores": os.cpu_count(),
        "packages": {name: _version(name) for name in PACKAGES},
        "checks": [{"name": check.name, "ok": check.ok, "detail": check.detail} for check in checks],
    }
    if as_json:
        write_json(report)
    else:
        _show(report, checks)
    if broken := {check.exit_code for check in checks if not check.ok}:
        raise typer.Exit(min(broken))


def _show(report: Mapping[str, object], checks: list[Check]) -> None:
    from rich.table import Table

    screen = console()
    screen.print(
        f"losssearch {report['losssearch']}, Python {report['python']}, {report['cores']} cores, {report['platform']}",
        soft_wrap=True,
    )
    screen.print(", ".join(f"{name} {_version(name) or 'missing'}" for name in PACKAGES), soft_wrap=True)
    table = Table("check", "", "found")
    for check in checks:
        table.add_row(check.name, "ok" if check.ok else "BROKEN", check.detail)
    screen.print(table)


def _checked(name: str, probe: Callable[[], str]) -> Check:
    try:
        return Check(name, True, probe())
    except Exception as error:  # noqa: BLE001  (whatever is broken, the doctor names it and continues)
        code = error.exit_code if isinstance(error, ConnectionLostError) else LossSearchError.exit_code
        return Check(name, False, redact(" ".join(f"{type(error).__name__}: {error}".split())), code)


def _import(name: str) -> str:
    importlib.import_module(name)
    return _version(name) or "present"


def _devices() -> str:
    import torch

    found = [f"cpu ({torch.get_num_threads()} threads)"]
    if torch.cuda.is_available():
        found += [f"cuda:{index} ({torch.cuda.get_device_name(index)})" for index in range(torch.cuda.device_count())]
    return ", ".join(found)


def _sqlite() -> str:
    from losssearch.storage.records import StudyRecord
    from losssearch.storage.sql import SqlStore

    with tempfile.TemporaryDirectory() as folder:
        store = SqlStore(f"sqlite:///{folder}/study.db")
        try:
            store.create_study(StudyRecord("doctor", {}, __version__, "2000-01-01T00:00:00+00:00"))
            names = store.studies()
        finally:
            store.close()
    if names != ["doctor"]:
        raise LossSearchError(f"a study that was written must be read back, got {names}")
    return "written and read back"


def _answers(url: str) -> str:
    from losssearch.storage.sql import SqlStore

    store = SqlStore(url, create=False)
    try:
        return f"answers, {len(store.studies())} studies"
    finally:
        store.close()


def _spaces() -> str:
    from losssearch.space import bundled_spaces, check_space

    names = bundled_spaces()
    if problems := [line for name in names for line in check_space(name)]:
        raise SpaceError(problems[0])
    return ", ".join(names)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None

"""``losssearch doctor``: installed packages, available devices, stores that respond; or what a dataset shows."""

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
from losssearch.errors import ConnectionLostError, LossSearchError, OptionError, SpaceError
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
    data: Annotated[
        str | None, typer.Argument(metavar="DATA", help="Say what this dataset shows instead, as a search would.")
    ] = None,
    target: Annotated[str | None, typer.Option("--target", metavar="COL", help="Column to predict, of DATA.")] = None,
    task: Annotated[str | None, typer.Option("--task", metavar="KIND", help="Kind of task, of DATA.")] = None,
    drop: Annotated[
        list[str] | None,
        typer.Option("--drop", metavar="COL", help="Column of DATA that is no feature; may be given again."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the split of DATA.")] = 0,
    storage: Annotated[
        str | None, typer.Option("--storage", metavar="URL", help="Also try this store, as in `search --storage`.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else, on stdout.")] = False,
) -> None:
    """Say what is installed, which devices there are and which stores answer; with DATA, what its rows show.

    Of DATA, only the rows that a search with the same seed would search on are looked at: for wrong labels, rare
    classes, heavy tails, and features that give the target away.

    Exits with 1 where something is broken, and with 4 where all that is broken is a store that does not answer.
    """
    if data is not None:
        _look(data, target, task, tuple(drop or ()), seed, as_json)
        return
    if target is not None:
        raise OptionError("--target is a column of DATA: give a file, builtin:NAME or openml:ID")
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


def _look(data: str, target: str | None, task: str | None, drop: tuple[str, ...], seed: int, as_json: bool) -> None:
    from losssearch.data import load, partition
    from losssearch.data.leaks import leaks
    from losssearch.data.quality.looking import look

    dataset = load(data, target=target, task=task, drop=drop)
    rows = partition(dataset, seed).search
    seen, told = look(dataset, rows), list(map(str, leaks(dataset, rows)))
    found = seen.described(dataset.classes)
    if as_json:
        facts = {"name": dataset.name, "task": dataset.task, "rows": dataset.all_rows, "searched": len(rows)}
        write_json({"data": facts | {"notes": [*dataset.notes, *told, *seen.lines]} | found})
        return
    screen = console()
    for line in (*dataset.notes, *told, *seen.lines):
        screen.print(line, soft_wrap=True, markup=False)
    if seen.labels is not None and seen.labels.pairwise:
        from rich.table import Table

        table = Table("class", "labelled as", "of its surest rows")
        for one in found["wrong_labels"]["mistaken"]:
            table.add_row(one["class"], one["labelled"], f"{one['rate']:.0%}")
        screen.print(table)


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

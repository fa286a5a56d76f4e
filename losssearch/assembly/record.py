"""Where a study is kept: its name and folder, its store, its tracker."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from losssearch import __version__
from losssearch.assembly.options import Options
from losssearch.errors import OptionError
from losssearch.redaction import redacted
from losssearch.search.settings import StudySettings
from losssearch.storage.records import StudyRecord
from losssearch.storage.store import Store
from losssearch.tracking.background import BackgroundTracker
from losssearch.tracking.tracker import DatasetInfo, SilentTracker, Tracker

RUNS = Path("losssearch-runs")


def place(options: Options, basis: str) -> tuple[str, Path]:
    """The study's name and folder: as asked, or from its ``basis``, with a number where it is taken."""
    if options.study is not None and not re.fullmatch(r"[\w.+-]{1,100}", options.study):
        raise OptionError(f"--study must be 1 to 100 letters, digits, '.', '_', '+' or '-', got {options.study!r}")
    if options.out is not None:
        out = Path(options.out)
        if out.exists() and not out.is_dir():
            raise OptionError(f"--out must be a folder, but {out} is a file")
        name = options.study or re.sub(r"[^\w.+-]", "-", out.resolve().name)
    elif options.study is not None:
        name, out = options.study, RUNS / options.study
    else:
        base = re.sub(r"[^\w.+-]+", "-", basis).strip("-")
        names = [base, *(f"{base}-{number}" for number in range(2, 10_000))]
        taken = [name for name in names if (RUNS / name / "study.db").exists()]
        name = (taken or [base])[-1] if options.resume else next(n for n in names if n not in taken)
        out = RUNS / name
    if options.storage is None:
        exists = (out / "study.db").exists()
        if exists and not options.resume:
            raise OptionError(f"{out} holds a study: go on with it by --resume, or give another --out")
        if options.resume and not exists:
            raise OptionError(f"--resume needs a study to go on with, but {out} holds none")
    return name, out


def enter(store: Store, settings: StudySettings, options: Options) -> dict[str, Any] | None:
    """Create or re-open the study and become its driver; the result, where it is finished already."""
    config = redacted(settings.fixed())  # as the store has it
    if not options.resume:
        created = datetime.now(UTC).isoformat(timespec="seconds")
        store.create_study(StudyRecord(settings.study, config | {"trials": settings.trials}, __version__, created))
    record = store.study(settings.study)
    found = {key: value for key, value in record.config.items() if key != "trials"}
    if differing := [key for key in config if found.get(key) != config[key]]:
        raise OptionError(
            f"--resume needs the options of the study it goes on with; these differ: {', '.join(differing)}; "
            "repeat the first command, or start another --study"
        )
    if options.resume:
        store.check(settings.study)
    store.acquire(settings.study)
    trials = record.result["trials"]["total"] if record.result else 0
    return record.result if trials >= settings.trials else None


def open_tracker(options: Options, out: Path) -> Tracker:
    """The tracker that was asked for; what it writes waits in a file while its store does not answer."""
    if not options.mlflow:
        return SilentTracker()
    from losssearch.tracking.mlflow import MlflowTracker, local_store

    if options.tracking_uri:
        inner = MlflowTracker(options.tracking_uri)
    else:
        uri, artifacts = local_store(out)
        inner = MlflowTracker(uri, artifacts=artifacts)
    return BackgroundTracker(inner, out / "mlflow-spool.jsonl")


def open_record(tracker: Tracker, settings: StudySettings, info: DatasetInfo, store: Store) -> None:
    """Open the study's record, or go on with the one that the store knows of."""
    params = settings.fixed() | {"trials": settings.trials}
    del params["space"]
    known = store.study(settings.study).tracking
    tags = {"losssearch.version": __version__}
    tracking = tracker.start(settings.study, params, tags, info, run_id=known.get("run_id"))
    if tracking:
        store.save_tracking(settings.study, tracking)

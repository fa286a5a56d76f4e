"""A study's record: its entry in the store, and its tracker."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from losssearch import __version__
from losssearch.assembly.claim import adopt
from losssearch.assembly.command import command_of
from losssearch.assembly.place import Place
from losssearch.errors import OptionError, shown
from losssearch.option_names import option
from losssearch.publishing.publication import Entered, kept_publication, published
from losssearch.redaction import redacted
from losssearch.request import Request
from losssearch.storage.records import StudyRecord
from losssearch.storage.store import Store
from losssearch.study.settings import StudySettings
from losssearch.tracking.background import BackgroundTracker
from losssearch.tracking.location import within
from losssearch.tracking.runs import IDENTITY
from losssearch.tracking.tracker import DatasetInfo, SilentTracker, Tracker

ID = "id"
"""The key of a study's config under which stands the id that its folder's claim has."""

SPOOL = "mlflow-spool.jsonl"
"""The file of a study's folder that keeps what its tracking store has not been told yet."""

LONGEST_NAME = 250
"""Characters of an experiment's name that every tracking store takes."""

_MEANT = {
    "fingerprint": ("data",),
    "plan": ("epochs",),
    "replicas": ("draws",),
    "front": ("objectives",),
    "data": ("direction", "class_prior"),
    "splits": ("test", "group", "time", "split", "weight", "exposure", "query", "drop"),
}
"""The options that a setting of a study comes from, unless it is that of its own name."""


def enter(store: Store, settings: StudySettings, place: Place) -> Entered:
    """Create or re-open the study and become its driver."""
    config, claim, options = redacted(settings.fixed()), place.claim, place.options
    if place.may_be_new and not (options.resume and settings.study in store.studies()):
        created = datetime.now(UTC).isoformat(timespec="seconds")
        known = {} if claim is None else {ID: claim.id}
        entry = config | {"trials": settings.trials} | known
        try:
            store.create_study(StudyRecord(settings.study, entry, __version__, created))
        except OptionError:  # an earlier attempt of the same job, which is not dead, was faster
            if not options.resume or settings.study not in store.studies():
                raise
    record = store.study(settings.study)
    if claim is not None and record.config.get(ID, claim.id) != claim.id:
        raise OptionError(
            f"{claim.out} is the folder of another study {settings.study!r} than the store holds: give the "
            f"{option('storage')} "
            f"that it was started with, or another {option('out')}"
        )
    _refuse_changes(record.config, config)
    if options.resume:
        store.check(settings.study)
    store.acquire(settings.study)
    if claim is not None:
        claim.begin(command_of(options))
    else:
        adopt(place.folder, settings.study, command_of(options), str(record.config.get(ID, "")))
    return _finished(store, settings, options, record)


def _finished(store: Store, settings: StudySettings, options: Request, record: StudyRecord) -> Entered:
    """What a study came to, where it has all the trials that are asked for now."""
    publication = kept_publication(store, settings.study)
    if publication is None:
        trials = record.result["trials"]["total"] if record.result else 0
        return Entered(result=record.result if trials >= settings.trials else None)
    digests = published(store, settings.study, publication)
    asks_more = bool({"trials", "time_budget"} & (options.explicit or set()))
    # A time budget that was used up is not begun anew before its result is published.
    ended = digests is None and settings.time_budget is not None
    if publication.trials >= settings.trials or not asks_more or ended:
        return Entered(publication, digests)
    return Entered()


def _refuse_changes(found: Mapping[str, Any], config: Mapping[str, Any]) -> None:
    """Raise `OptionError`, naming option and values, where the study was started otherwise."""
    told = []
    for key in config:
        before, now = found.get(key), config[key]
        if before == now:
            continue
        if key == "plan" and before is not None:
            before, now = before.get("epochs"), now["epochs"]
        values = ""
        if all(isinstance(value, str | int | float | list | None) for value in (before, now)) and before != now:
            values = f" (started with {_brief(before)}, got {_brief(now)})"
        *most, last = map(option, _MEANT.get(key, (key,)))
        named = f"{', '.join(most)} or {last}" if most else last
        told.append((f"the source of {option('metric')}" if key == "metric_source" else named) + values)
    if told:
        raise OptionError(
            f"{option('resume', True)} needs the options of the study that it resumes; these differ: "
            f"{', '.join(told)}; "
            f"repeat the first command, or start another study with another {option('out')}"
        )


def _brief(value: object) -> str:
    return "none" if value is None else f"{value!s:.40}"


def check_tracking(options: Request) -> None:
    """Refuse a tracking store, or a name of an experiment, that cannot be one, before the study is in its own store."""
    name = options.experiment
    if not (0 < len(name) <= LONGEST_NAME and name.isprintable() and name == name.strip()):
        raise OptionError(
            f"{option('experiment')} must be 1 to {LONGEST_NAME} printable characters without spaces at either end, "
            f"got {shown(name)}"
        )
    if options.mlflow and options.tracking_uri:
        from losssearch.tracking.mlflow import MlflowTracker

        MlflowTracker(options.tracking_uri).check()


def open_tracker(options: Request, out: Path, note: Callable[[str], object]) -> Tracker:
    """The tracker that was asked for; what it writes waits in a file while its store does not answer.

    ``note`` is told where one of the user's own does not answer for a while.
    """
    if not options.mlflow:
        return SilentTracker()
    from losssearch.tracking.mlflow import MlflowTracker, local_store

    spool = out / SPOOL
    if options.tracking_uri:
        from losssearch.tracking.client import import_mlflow

        made = MlflowTracker(options.tracking_uri, options.experiment)
        return BackgroundTracker(made, spool, note=note, load=import_mlflow)
    uri, artifacts = local_store(out)
    return BackgroundTracker(MlflowTracker(uri, options.experiment, artifacts), spool)


def open_record(
    tracker: Tracker, settings: StudySettings, info: DatasetInfo, store: Store, out: Path
) -> dict[str, str]:
    """Open the record of the study in ``out``, or continue the one in the store; where it is, empty if nowhere."""
    return open_run(tracker, settings.fixed() | {"trials": settings.trials}, info, store, settings.study, out)


def open_run(
    tracker: Tracker, config: Mapping[str, Any], info: DatasetInfo, store: Store, study: str, out: Path
) -> dict[str, str]:
    """The same for a study that ran with ``config``."""
    record = store.study(study)
    tags = {"losssearch.version": __version__}
    if ID in record.config:
        tags[IDENTITY] = str(record.config[ID])
    params = {name: value for name, value in config.items() if name not in ("space", ID)}
    tracking = tracker.start(study, params, tags, info, run_id=record.tracking.get("run_id"))
    if tracking:
        tracking = tracking | {"tracking_uri": within(tracking["tracking_uri"], out)}
        store.save_tracking(study, tracking)
    return tracking

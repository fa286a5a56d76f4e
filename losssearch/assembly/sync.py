"""Telling MLflow what it missed of a study: runs, metrics and artifacts, from the study's store and its spool."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from losssearch.assembly.claim import Claim, read_claim
from losssearch.assembly.command import naming_imports
from losssearch.assembly.finished import opened_store
from losssearch.assembly.record import SPOOL, open_run
from losssearch.errors import LossSearchError, OptionError
from losssearch.losses.spec import LossSpec
from losssearch.option_names import option
from losssearch.publishing.publication import Publication, kept_publication, write_files
from losssearch.publishing.publisher import mark, tell
from losssearch.request import DEFAULTS
from losssearch.storage.lease import Job
from losssearch.storage.records import StudyRecord, TrialState
from losssearch.storage.store import Store
from losssearch.tracking.location import file_of, local_store, resolved
from losssearch.tracking.spool import Spool
from losssearch.tracking.tracker import DatasetInfo, Status, Tracker


@dataclass(frozen=True)
class Synced:
    """What MLflow has of a study now: how many trials, under which run, and whether the study is finished."""

    trials: int
    tracking_uri: str
    run_id: str
    finished: bool


def sync(
    out: Path,
    *,
    tracking_uri: str | None = None,
    storage: str | None = None,
    study: str = "",
    experiment: str | None = None,
    job: Job | None = None,
    failed: bool = False,
) -> Synced:
    """Tell MLflow all of the study in ``out``; what it knows already is not told twice.

    Trials, the result and its files come from the study's store. The run is ended as FINISHED, and ``result.json``
    says that it is complete, where the study is finished and nothing is missing. The run of an unfinished study
    is ended as KILLED, or as FAILED.

    Args:
        out: the study's folder.
        tracking_uri: the MLflow store, where the study was run without one or with one whose password is not kept.
        storage: the URL of the study's store, where that is neither a file in ``out`` nor kept with its command.
        study: its name, where the folder does not say it and the store holds several.
        experiment: of the runs, where the study was never tracked.
        job: for a queue of jobs, see `losssearch.api.run`: its next attempt takes the study from here at once.
        failed: whether an unfinished study has failed, and was not stopped.

    Raises:
        UnknownNameError: the store does not hold the study.
        OptionError: nothing says which MLflow store it is.
        DataError: the folder holds no study.
        StudyHeldError: the study is driven by another process.
        ConnectionLostError: a store does not answer, or an artifact cannot be kept; ``result.json`` says why.
    """
    claim = read_claim(out)
    opened = opened_store(out, storage, study, job)
    with opened as (store, name), naming_imports(claim.command if claim else None):
        store.acquire(name)
        record, publication = store.study(name), kept_publication(store, name)
        tracker = _tracker(out, claim, record, tracking_uri, experiment)
        digests = write_files(out, publication, store.trials(name)) if publication is not None else {}
        problems = ["`losssearch sync` was broken off"]
        try:
            told = _tell_all(store, record, publication, tracker, out, failed)
            problems = []
        except LossSearchError as error:
            problems = [str(error)]
            raise
        finally:
            if publication is not None:
                publication.result["mlflow"].update(store.study(name).tracking)
                mark(store, name, publication, out, digests, problems)
        return told


def _tell_all(
    store: Store, record: StudyRecord, publication: Publication | None, tracker: Tracker, out: Path, failed: bool
) -> Synced:
    study = record.name
    where = open_run(tracker, record.config, _dataset(record, publication), store, study, out)
    trials = [trial for trial in store.trials(study) if trial.state is not TrialState.RUNNING]
    formulas = {trial.number: LossSpec.from_json(trial.spec).formula() for trial in trials}
    tracker.log_trials(trials, formulas, str(record.config["metric"]))
    if publication is not None:
        tell(tracker, publication, out)
    unfinished: Status = "FAILED" if failed else "KILLED"
    tracker.close(unfinished if publication is None else "FINISHED")
    Spool(out / SPOOL).replay(where["run_id"], lambda entry: None)  # the store has told all that it keeps
    return Synced(len(trials), where["tracking_uri"], where["run_id"], publication is not None)


def _tracker(
    out: Path, claim: Claim | None, record: StudyRecord, tracking_uri: str | None, named: str | None
) -> Tracker:
    """The tracker of the store that was named, or else of the one that has the study's runs."""
    from losssearch.tracking.mlflow import MlflowTracker

    options: Mapping[str, Any] = claim.command.options if claim else {}
    known = record.tracking.get("experiment") or named or options.get("experiment")
    experiment = str(known or DEFAULTS["experiment"])
    own, artifacts = local_store(out)
    uri = tracking_uri or options.get("tracking_uri")
    if tracking_uri is None and claim is not None and "tracking_uri" in claim.command.hidden:
        raise OptionError(
            f"the study in {out} was tracked in {uri}, whose password is not kept: give {option('tracking_uri')} again"
        )
    if uri is None and (known := record.tracking.get("tracking_uri")):
        # The study's own store is where the folder is now, wherever it was.
        uri = (
            own
            if file_of(known) is not None and Path(own.removeprefix("sqlite:///")).is_file()
            else resolved(known, out)
        )
    if uri is None:
        raise OptionError(
            f"the study in {out} was run without MLflow: name the store that is to have its runs, "
            f"{option('tracking_uri')}"
        )
    tracker = MlflowTracker(str(uri), experiment, artifacts if uri == own else None)
    tracker.check()
    return tracker


def _dataset(record: StudyRecord, publication: Publication | None) -> DatasetInfo:
    """What is known of the data without reading them; used where MLflow lost the study's run, or never had one."""
    data = publication.result["data"] if publication is not None else {}
    rows = data.get("rows") or {}
    return DatasetInfo(
        name=str(data.get("name") or record.name),
        fingerprint=str(record.config.get("fingerprint") or ""),
        rows=sum(count for count in rows.values() if isinstance(count, int)),
        features=int(data.get("features") or 0),
        target=str(data.get("target") or "target"),
        source=str(data.get("name") or record.name),
    )

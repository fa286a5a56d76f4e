"""Store, tracker and executor of a study: opened together, and closed together where one of them does not open."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from losssearch import stopping
from losssearch.assembly.place import Place
from losssearch.assembly.record import check_tracking, enter, open_record, open_tracker
from losssearch.assembly.workers import executor_of
from losssearch.errors import ConnectionLostError
from losssearch.execution import Executor, InProcessExecutor
from losssearch.execution.resources import WorkerResources
from losssearch.publishing.publication import Entered
from losssearch.request import Request
from losssearch.storage.sql import SqlStore
from losssearch.storage.store import Store
from losssearch.study.observer import Observer
from losssearch.study.settings import StudySettings
from losssearch.study.study_context import StudyContext
from losssearch.tracking.tracker import DatasetInfo, SilentTracker, Tracker
from losssearch.training.private import Privacy


@dataclass(frozen=True)
class Surroundings:
    """What a study reads and writes, and what is known of it where it was resumed."""

    store: Store
    tracker: Tracker
    executor: Executor
    entered: Entered


@dataclass(frozen=True)
class Assembled:
    """A study ready to run, or ``entered`` as one that is finished.

    With ``privacy``, a final model is trained after it.
    """

    context: StudyContext
    out: Path
    entered: Entered
    privacy: Privacy | None = None


def _may_train_here(options: Request, settings: StudySettings, resources: WorkerResources) -> bool:
    """Whether the first populations may be trained in this process: nobody's code but ours, and no device.

    Not under a time budget, which is planned by what workers take, and by how long they took to start.
    """
    ours = isinstance(options.model, str) and ":" not in options.model and not settings.data
    return ours and not resources.gpus and settings.time_budget is None


def open_surroundings(
    place: Place,
    settings: StudySettings,
    info: DatasetInfo,
    workers: tuple[int, WorkerResources],
    observer: Observer,
) -> Surroundings:
    """The first writing of a study but its claim: all that could be checked was checked before."""
    options, out = place.options, place.folder
    check_tracking(options)
    url = options.storage or f"sqlite:///{out / 'study.db'}"
    store = SqlStore(url, create=place.may_be_new, note=observer.note, job=place.job)
    tracker: Tracker = SilentTracker()
    executor: Executor = InProcessExecutor()
    try:
        entered = enter(store, settings, place)
        # Sets itself up in its own thread, while the executor starts.
        tracker = open_tracker(options, out, observer.note)
        trains = entered == Entered()
        count, resources = workers
        executor = executor_of(
            options, count if trains else 0, resources, observer, early=_may_train_here(options, settings, resources)
        )
        try:
            open_record(tracker, settings, info, store, out)
        except ConnectionLostError as error:
            if place.job is None or not place.job.tracks_later:
                raise
            observer.note(f"the study runs without its tracking store, which is told of it later: {error}")
            tracker.close("FAILED")
            tracker = SilentTracker()
    except BaseException:
        stopping.current().settle()
        try:
            executor.close()
            tracker.close("FAILED")
        finally:
            store.close()
        raise
    return Surroundings(store, tracker, executor, entered)

"""The user's earlier studies as a library: what they confirmed is tried first on data that are like theirs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from losssearch.assembly.place import RUNS, Place
from losssearch.assembly.spaces import kept_space
from losssearch.data import Dataset
from losssearch.data.splits import Partition
from losssearch.errors import DataError, InputError, OptionError
from losssearch.losses.spec import LossSpec
from losssearch.option_names import option
from losssearch.publishing.publication import kept_publication
from losssearch.space import SearchSpace
from losssearch.storage.sql import SqlStore
from losssearch.storage.store import Store
from losssearch.study.observer import Observer

MOST = 8
"""Losses that a study takes over."""

DECADE = math.log(10)
"""One unit of distance: ten times the rows, features or classes, or a smallest class ten times as rare."""

OTHER_METRIC = 1.0
"""Distance of a study that was judged by another metric."""


@dataclass(frozen=True)
class Likeness:
    """What two studies are compared by: their task and metric, and logarithms of what their data amount to."""

    task: str
    metric: str
    sizes: tuple[float, ...]

    @classmethod
    def of(cls, task: str, metric: str, rows: int, features: int, shares: Iterable[float]) -> Likeness:
        """That of ``rows`` training and validation rows with ``features``; ``shares`` of the classes, if any."""
        known = [share for share in shares if share > 0] or [1.0]
        sizes = (rows, features, len(known), min(known))
        return cls(task, metric, tuple(math.log(max(size, 1e-9)) / DECADE for size in sizes))

    def distance(self, other: Likeness) -> float:
        """Decades between the sizes (Euclidean), and `OTHER_METRIC`; infinite for another task."""
        if self.task != other.task:
            return math.inf
        return math.dist(self.sizes, other.sizes) + OTHER_METRIC * (self.metric != other.metric)


@dataclass(frozen=True)
class Confirmed:
    """The searched loss that a finished study confirmed, and what its data were like."""

    study: str
    likeness: Likeness
    spec: Mapping[str, Any]


def warm_started(space: SearchSpace, place: Place, here: Likeness, observer: Observer) -> SearchSpace:
    """The space of a study that asks for a warm start: the losses of the nearest earlier studies come first.

    A study that is resumed keeps the losses that it was started with.

    Raises:
        OptionError: no earlier study of the same kind of task confirmed a searched loss.
    """
    if (kept := _started_with(place)) is not None:
        return replace(space, portfolio=kept)
    found, unread = _library(place)
    near = sorted(
        (one for one in found if math.isfinite(one.likeness.distance(here))),
        key=lambda one: (one.likeness.distance(here), one.study),
    )
    if not near:
        raise OptionError(
            f"{option('warm_start', 'library')} needs an earlier finished study of task {here.task} that confirmed a "
            f"searched loss, in {_where(place)}; found {len(found)} of other tasks"
            f"{f', and stores that cannot be read: {unread}' if unread else ''}: leave it out for the first one"
        )
    losses: dict[LossSpec, str] = {}
    for one in near:
        spec = _spec(one.spec)
        if spec is not None and space.encode(spec) is not None:
            losses.setdefault(spec, one.study)
    taken = dict(list(losses.items())[:MOST])
    left = f"; stores that cannot be read: {unread}" if unread else ""
    observer.note(
        f"a warm start: {len(taken)} losses of the nearest of {len(near)} earlier studies are tried first "
        f"({', '.join(dict.fromkeys(taken.values())) or 'the space allows none'}){left}"
    )
    return replace(space, portfolio=tuple(dict.fromkeys((*taken, *space.portfolio))))


def likeness_of(task: str, metric: str, dataset: Dataset, parts: Partition) -> Likeness:
    """What a new study is compared by."""
    rows = len(parts.search) + dataset.all_rows - dataset.rows
    target = dataset.target[parts.search]
    shares = [float((target == label).mean()) for label in range(len(dataset.classes))]
    return Likeness.of(task, metric, rows, len(dataset.schema.columns), shares)


def _started_with(place: Place) -> tuple[LossSpec, ...] | None:
    """The portfolio of the study in its store, where it was entered before."""
    kept = kept_space(place)
    return None if kept is None else tuple(LossSpec.from_json(loss) for loss in kept["portfolio"])


def _library(place: Place) -> tuple[list[Confirmed], int]:
    """What the user's studies have confirmed, and how many stores could not be read."""
    found: list[Confirmed] = []
    unread = 0
    for url in _urls(place):
        try:
            with closing(SqlStore(url, create=False)) as store:
                found += _confirmed(store, place.study if url == place.options.storage else "")
        except DataError:
            if url.startswith("sqlite:///") and Path(url.removeprefix("sqlite:///")).exists():  # not one to be made
                unread += 1
    return found, unread


def _urls(place: Place) -> Iterator[str]:
    """The store that was asked for, else those of the folders next to the study's."""
    if place.options.storage is not None:
        yield place.options.storage
        return
    for path in sorted(_beside(place).glob("*/study.db")):
        if place.out is None or path.parent.resolve() != place.out.resolve():
            yield f"sqlite:///{path}"


def _beside(place: Place) -> Path:
    return RUNS if place.out is None else place.out.parent


def _where(place: Place) -> str:
    return "its store" if place.options.storage is not None else f"the folders in {_beside(place)}/"


def _confirmed(store: Store, but: str) -> Iterator[Confirmed]:
    for name in store.studies():
        publication = None if name == but else kept_publication(store, name)
        if publication is None:
            continue
        result = publication.result
        searched, data = result.get("searched"), result["data"]
        if not searched or not searched.get("confirmation") or not searched.get("spec"):
            continue
        rows, features = data.get("rows", {}), data.get("features")
        if features is None or rows.get("train") is None:  # a user's training function has no rows
            continue
        seen = int(rows["train"]) + int(rows["validation"] or 0)
        likeness = Likeness.of(
            result["task"], result["metric"]["name"], seen, int(features), publication.class_prior or ()
        )
        yield Confirmed(name, likeness, searched["spec"])


def _spec(data: Mapping[str, Any]) -> LossSpec | None:
    """The loss, to be scaled anew to other data; None where this program has not the user's own terms of it."""
    parts = [{key: value for key, value in part.items() if key != "scale"} for part in data["parts"]]
    try:
        return LossSpec.from_json({**data, "parts": parts})
    except InputError:
        return None

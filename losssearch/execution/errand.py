"""What a Ray worker is given with a job: references to what the object store holds of it, each put there once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pickle import PicklingError
from typing import Any

from losssearch.errors import OptionError
from losssearch.evaluation import Metric
from losssearch.evaluation.per_member import function_of
from losssearch.execution.job import Job
from losssearch.execution.portable import (
    PortableKind,
    PortableRecord,
    PortableTerm,
    by_value,
    foreign_arrays,
    foreign_kind,
    foreign_records,
    foreign_terms,
)
from losssearch.option_names import option
from losssearch.plugins import Plugin


@dataclass(frozen=True)
class Errand:
    """A job and references to what it needs; as they are inside, Ray hands over the references and not their objects.

    ``model``: a user's factory or training function; ``metric``: one of the user's own; None where the job names those
    that come with losssearch. ``terms``: those of the user's own, and the kind of task. ``folders``: where a user's
    code lies.
    """

    job: Job
    replicas: Any
    model: Any = None
    metric: Any = None
    terms: tuple[Any, ...] = ()
    folders: tuple[str, ...] = ()


@dataclass(frozen=True)
class Parcel:
    """A reference to something of a user's, and the folder that its code lies in, if any."""

    reference: Any
    folders: tuple[str, ...]


class Errands:
    """Makes errands of jobs; what is a user's own goes into the object store when it is first needed."""

    def __init__(self, ray: Any, imports: Sequence[Plugin]) -> None:
        self._ray, self._imported = ray, {plugin.name for plugin in imports}
        self._latest: dict[str, tuple[Any, Parcel]] = {}
        self._entered: dict[str, Parcel] = {}

    def of(self, job: Job, replicas: Any) -> Errand:
        """The errand of a job on the ``replicas`` of this reference.

        Raises `OptionError` for something of a user's that cannot be pickled.
        """
        entered = self._needed_terms(job)
        folders = [folder for parcel in entered for folder in parcel.folders]
        errand = Errand(job, replicas, terms=tuple(parcel.reference for parcel in entered))
        if isinstance(job.metric, Metric):
            own = self._held("metric", job.metric, function_of(job.metric), f"the metric {job.metric.name}")
            errand = replace(errand, job=replace(errand.job, metric=""), metric=own.reference)
            folders += own.folders
        if not isinstance(job.model, str):
            what = "a model factory" if job.rules is None else "a training function"
            own = self._held("model", job.model, job.model, what)
            errand = replace(errand, job=replace(errand.job, model=""), model=own.reference)
            folders = [*own.folders, *folders]
        return replace(errand, folders=tuple(folders))

    def _needed_terms(self, job: Job) -> list[Parcel]:
        """What is declared outside of a job's losses, and its kind of task where it is, so that no worker knows it."""
        portables: list[tuple[str, PortableTerm | PortableRecord]] = [
            *((f"the term {term.name}", PortableTerm.of(term)) for term in foreign_terms(job)),
            *((f"the {one.what} {one.function.__name__}", one) for one in map(PortableRecord.of, foreign_records(job))),
        ]
        found = [
            self._once(what, portable, portable.function)
            for what, portable in portables
            if portable.function.__module__ not in self._imported
        ]
        found += [self._once(f"the array {name}", own, None) for name, own in foreign_arrays(job).items()]
        kind = foreign_kind(job)
        if kind is not None and kind.module not in self._imported:
            whole = PortableKind(kind)
            found.append(self._once(f"the task {kind.name}", whole, whole.function))
        return found

    def _once(self, what: str, portable: Any, function: Any) -> Parcel:
        if what not in self._entered:
            self._entered[what] = self._ship(portable, function, what)
        return self._entered[what]

    def _held(self, place: str, value: Any, function: Any, what: str) -> Parcel:
        """A value, which takes the place of the last one if it is another."""
        if place not in self._latest or self._latest[place][0] is not value:
            self._latest[place] = value, self._ship(value, function, what)
        return self._latest[place][1]

    def _ship(self, value: Any, function: Any, what: str) -> Parcel:
        """Something of a user's in the object store, with the code next to ``function``."""
        with by_value(function) as folder:
            try:
                reference = self._ray.put(value)
            except (TypeError, AttributeError, PicklingError, self._ray.exceptions.RayError) as error:
                raise OptionError(
                    f"{what} must be picklable to reach Ray workers ({option('workers', 0)} trains in this process); "
                    f"{str(error).splitlines()[0]}"
                ) from error
        return Parcel(reference, (str(folder),) if folder else ())

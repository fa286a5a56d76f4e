"""The composition root: from a user's options to a study with its data, store, executor and tracker."""

from __future__ import annotations

from losssearch.assembly.from_data import assemble_data
from losssearch.assembly.from_function import assemble_function
from losssearch.assembly.place import RUNS, Place
from losssearch.assembly.surroundings import Assembled
from losssearch.errors import OptionError
from losssearch.plugins import load_imports, load_installed
from losssearch.request import Request
from losssearch.storage.lease import Job
from losssearch.study.observer import Observer
from losssearch.tasks.reading import check_reads
from losssearch.training.user_function import TrainFunction

__all__ = ["RUNS", "Assembled", "assemble"]


def assemble(options: Request, observer: Observer, job: Job | None = None) -> Assembled:
    """Check everything, and only then write anything; raise `InputError` for what cannot be used.

    ``job``: what this process works for, whose next attempt may take the study from it.
    """
    if options.resume is not True:
        _check_source(options)
    load_installed(observer.note)
    place = Place(options, job)
    try:
        check_reads(plugin.name for plugin in load_imports(place.options.imports))
        source = _check_source(place.options)
        if source is None:
            return assemble_data(place, observer)
        return assemble_function(place, source, observer)
    except BaseException as error:
        place.give_up(error)
        raise


def _check_source(options: Request) -> TrainFunction | None:
    """The training function; None where there are data."""
    if (options.data is None) == (options.train is None):
        raise OptionError("a search needs either data, or a training function as train=; give one of them")
    return options.train

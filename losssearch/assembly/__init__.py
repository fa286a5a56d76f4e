"""The composition root: from a user's options to a study with its data, store, executor and tracker."""

from __future__ import annotations

from losssearch.assembly.from_data import assemble_data
from losssearch.assembly.from_function import assemble_function
from losssearch.assembly.options import Options
from losssearch.assembly.record import RUNS
from losssearch.assembly.surroundings import Assembled
from losssearch.errors import OptionError
from losssearch.search.observer import Observer

__all__ = ["RUNS", "Assembled", "Options", "assemble"]


def assemble(options: Options, observer: Observer) -> Assembled:
    """Check everything, and only then write anything; raise `InputError` for what cannot be used."""
    if (options.data is None) == (options.train is None):
        raise OptionError("a search needs either data, or a training function as train=; give one of them")
    if options.train is not None:
        return assemble_function(options, options.train, observer)
    assert options.data is not None  # noqa: S101  (checked above)
    return assemble_data(options, options.data, observer)

"""Search spaces: a YAML file says which losses a study may try; sampling turns a trial's parameters into a spec."""

from losssearch.space.binding import bind
from losssearch.space.loading import bundled_spaces, check_space, load_space
from losssearch.space.portfolio import aim
from losssearch.space.space import SearchSpace, Slot
from losssearch.space.trials import RandomTrial, Replay, Step, Trial

__all__ = [
    "RandomTrial",
    "Replay",
    "SearchSpace",
    "Slot",
    "Step",
    "Trial",
    "aim",
    "bind",
    "bundled_spaces",
    "check_space",
    "load_space",
]

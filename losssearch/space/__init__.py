"""Search spaces: a YAML file says which losses a study may try; sampling turns a trial's parameters into a spec."""

from losssearch.request.bundled import bundled_spaces
from losssearch.space.binding import bind
from losssearch.space.loading import check_space, check_space_text, load_space, load_space_text
from losssearch.space.portfolio import aim
from losssearch.space.slot import Slot
from losssearch.space.space import SearchSpace
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
    "check_space_text",
    "load_space",
    "load_space_text",
]

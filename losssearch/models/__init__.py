"""Models that a population trains: built-in ones, or a user's module."""

from losssearch.models.boosted import BOOSTED, is_boosted
from losssearch.models.build import MODELS, build_model, resolve_model
from losssearch.models.lists import is_looped
from losssearch.models.module import LoopedModule, ModelFactory
from losssearch.models.stacked import StackedModel

__all__ = [
    "BOOSTED",
    "MODELS",
    "LoopedModule",
    "ModelFactory",
    "StackedModel",
    "build_model",
    "is_boosted",
    "is_looped",
    "resolve_model",
]

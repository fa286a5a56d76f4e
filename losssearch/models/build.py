"""Models by name."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from losssearch.errors import OptionError, UnknownNameError, stops
from losssearch.models.boosted import BOOSTED, is_boosted, require_package
from losssearch.models.feedforward import FeedForward
from losssearch.models.lists import OfDocuments
from losssearch.models.module import ModelFactory, from_module
from losssearch.models.stacked import StackedModel
from losssearch.option_names import option

if TYPE_CHECKING:
    import torch

MODELS: Mapping[str, Callable[..., StackedModel]] = MappingProxyType(
    {
        "linear": FeedForward,
        "mlp": lambda features, width, **how: FeedForward(features, width, (64, 64), **how),
        "residual_mlp": lambda features, width, **how: FeedForward(features, width, (64, 64, 64), residual=True, **how),
    }
)
"""Built-in models: called with the number of features and of outputs, and ``by_column`` as `FeedForward` takes it."""


def resolve_model(model: str | ModelFactory) -> str | ModelFactory:
    """Check a model's name, or import ``package.module:factory`` (also from the working directory).

    Raises `UnknownNameError` with the nearest names, or `OptionError` if the import fails or boosted trees
    lack their package.
    """
    if isinstance(model, str) and is_boosted(model):
        require_package(model)
        return model
    if not isinstance(model, str) or model in MODELS:
        return model
    module, colon, name = model.partition(":")
    if not colon:
        raise UnknownNameError("model", model, [*MODELS, *BOOSTED])
    here = os.getcwd()
    sys.path.insert(0, here)
    try:
        factory = getattr(importlib.import_module(module), name)
    except BaseException as error:  # importing runs the user's code, which may raise anything
        if stops(error):
            raise
        raise OptionError(
            f"{option('model')} must name an importable package.module:factory, got {model!r}: {error!r}"
        ) from error
    finally:
        sys.path.remove(here)
    if not callable(factory):
        raise OptionError(f"{option('model')} must name a callable factory(features, outputs), got {model!r}")
    resolved: ModelFactory = factory
    return resolved


def build_model(
    model: str | ModelFactory,
    features: int,
    heads: Mapping[str, int] | int,
    device: torch.device | str = "cpu",
    *,
    by_column: bool = False,
    listed: int = 1,
) -> StackedModel:
    """The stacked model of a built-in name or of a factory that `resolve_model` gave, to be trained on ``device``.

    ``heads``: how many columns each head has, by its name, or the columns of a model that puts out one tensor.
    ``by_column``: whether a built-in model draws each output column by itself, as heads that share columns need.

    ``listed``: how many documents a row has, each of ``features / listed`` numbers; they are scored one by one.

    Boosted trees are no stacked model: they get the linear one, on whose untrained outputs losses are screened.
    """
    resolved = "linear" if is_boosted(model) else resolve_model(model)
    if listed > 1:
        return OfDocuments(build_model(resolved, features // listed, 1, device), listed)
    if isinstance(resolved, str):
        width = heads if isinstance(heads, int) else sum(heads.values())
        return MODELS[resolved](features, width, by_column=True) if by_column else MODELS[resolved](features, width)
    return from_module(resolved, features, heads, device)

"""The models that are boosted trees, which are grown from gradients and not trained as stacked tensors."""

from __future__ import annotations

from importlib.util import find_spec

from losssearch.errors import OptionError

BOOSTED = ("lightgbm", "xgboost")
"""Each is also the name of the package that grows the trees, and of the extra that installs it."""


def is_boosted(model: object) -> bool:
    """Whether ``--model`` names boosted trees."""
    return isinstance(model, str) and model in BOOSTED


def require_package(name: str) -> None:
    """Raise `OptionError` if the package of a boosted model is not installed."""
    if find_spec(name) is None:
        raise OptionError(f"{name} must be installed, and is not: pip install 'losssearch[{name}]'")

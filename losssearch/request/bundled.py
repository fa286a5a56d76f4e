"""Names that come with losssearch, told without importing what they stand for: a service must answer at once."""

from __future__ import annotations

from pathlib import Path

import losssearch

MODEL_NAMES = ("linear", "mlp", "residual_mlp", "lightgbm", "xgboost")
"""The models that come with losssearch; a test compares them with `losssearch.models`."""

TASK_NAMES = ("binary", "count", "distribution", "multiclass", "ordinal", "ranking", "regression", "survival")
"""The kinds of task that come with losssearch; a test compares them with `losssearch.tasks`."""

AUTO = "auto"
"""The name for the space of the task, and what the data show to be of use."""


def bundled_spaces() -> tuple[str, ...]:
    """The names of the search spaces that come with losssearch."""
    return tuple(sorted(file.stem for file in bundled_folder().glob("*.yaml")))


def bundled_folder() -> Path:
    """The folder of the bundled spaces: inside the package in a wheel, next to it in a checkout."""
    package = Path(losssearch.__file__).parent
    inside = package / "_search_spaces"
    return inside if inside.is_dir() else package.with_name("search_spaces")

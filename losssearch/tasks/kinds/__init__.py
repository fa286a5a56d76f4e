"""The built-in kinds of task, one file each; importing them declares them."""

from losssearch.tasks.kinds import binary, count, distribution, multiclass, ordinal, ranking, regression, survival

__all__ = ["binary", "count", "distribution", "multiclass", "ordinal", "ranking", "regression", "survival"]

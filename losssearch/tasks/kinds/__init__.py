"""The built-in kinds of task, one file each; importing them declares them."""

from losssearch.tasks.kinds import binary, distribution, multiclass, ordinal, regression, survival

__all__ = ["binary", "distribution", "multiclass", "ordinal", "regression", "survival"]

"""From per-sample losses to one number, one reduction per file."""

from losssearch.losses.reductions import cvar, mean

__all__ = ["cvar", "mean"]

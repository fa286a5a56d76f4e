"""Schedules of a loss's numbers over training progress, one per file."""

from losssearch.losses.schedules import cosine, cyclic, linear, step

__all__ = ["cosine", "cyclic", "linear", "step"]

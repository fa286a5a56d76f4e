"""Schedules of a loss's numbers over training progress, one per file."""

from losssearch.losses.schedules import linear

__all__ = ["linear"]

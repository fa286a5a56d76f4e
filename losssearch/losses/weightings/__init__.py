"""How much a part of a loss counts, one weighting per file."""

from losssearch.losses.weightings import constant, multiplier, uncertainty

__all__ = ["constant", "multiplier", "uncertainty"]

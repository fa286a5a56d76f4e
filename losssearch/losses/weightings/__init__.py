"""How much a part of a loss counts, one weighting per file."""

from losssearch.losses.weightings import constant, uncertainty

__all__ = ["constant", "uncertainty"]

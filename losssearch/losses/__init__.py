"""Losses: the terms, their facts, and what is composed from them.

`terms` is the catalogue: every term by name. Importing this package fills it.
"""

from losssearch.losses import adaptive, fairness, learned, noise, primitives
from losssearch.losses.term import LossTerm, loss_term
from losssearch.losses.term import registry as terms
from losssearch.losses.term_module import TermModule

__all__ = ["LossTerm", "TermModule", "adaptive", "fairness", "learned", "loss_term", "noise", "primitives", "terms"]

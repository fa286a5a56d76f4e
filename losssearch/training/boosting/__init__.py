"""Boosted trees as a base model: grown from gradient and Hessian of the candidate loss."""

from losssearch.training.boosting.plan import BOOSTED_RATES, ROUNDS, boosted_plan
from losssearch.training.boosting.trainer import train_boosted

__all__ = ["BOOSTED_RATES", "ROUNDS", "boosted_plan", "train_boosted"]

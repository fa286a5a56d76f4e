"""Training of candidates as populations."""

from losssearch.training.outcome import Detailed, Evaluate, Outcome
from losssearch.training.plan import RATES, TrainingPlan, default_plan, without_rungs
from losssearch.training.trainer import Candidate, train_population

__all__ = [
    "RATES",
    "Candidate",
    "Detailed",
    "Evaluate",
    "Outcome",
    "TrainingPlan",
    "default_plan",
    "train_population",
    "without_rungs",
]

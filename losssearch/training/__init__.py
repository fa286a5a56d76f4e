"""Training of candidates as populations."""

from losssearch.training.outcome import Course, Detailed, Judge, Outcome, ended
from losssearch.training.plan import RATES, TrainingPlan, default_plan, without_rungs
from losssearch.training.population_training import Candidate
from losssearch.training.trainer import population_course, train_population

__all__ = [
    "RATES",
    "Candidate",
    "Course",
    "Detailed",
    "Judge",
    "Outcome",
    "TrainingPlan",
    "default_plan",
    "ended",
    "population_course",
    "train_population",
    "without_rungs",
]

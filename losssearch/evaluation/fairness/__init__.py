"""How equally a model treats groups, judged by its decisions.

`gaps` is the registry of what may be compared, `constraint` reads ``GAP <= LIMIT``, `rates` and `bound` give a
gap and how large it may be, `threshold`, `group_thresholds` and `grid` tune within constraints, `judge` puts
these together for a population, `frontier` draws the trade-off, `noise_floor` and `certificate` say what the
rows can tell, `report` how each group fares.
"""

from losssearch.evaluation.fairness.bound import bound, promise_z
from losssearch.evaluation.fairness.certificate import Certificate, certificate
from losssearch.evaluation.fairness.constrained import (
    FairAdjustment,
    FairEvaluation,
    constrained_utility,
    decision_quality,
    evaluate_fairly,
    utility_floor,
)
from losssearch.evaluation.fairness.constraint import Constraint, parse_constraint, parse_constraints
from losssearch.evaluation.fairness.frontier import Front, frontier, hypervolume, pareto, undominated
from losssearch.evaluation.fairness.gaps import ATTRIBUTE_GAPS, GAPS, Gap, gaps_for, get_gap
from losssearch.evaluation.fairness.group_thresholds import GroupThresholds, fit_group_thresholds, group_threshold_front
from losssearch.evaluation.fairness.noise_floor import NoiseFloor, noise_floor
from losssearch.evaluation.fairness.rates import value
from losssearch.evaluation.fairness.report import group_table

__all__ = [
    "ATTRIBUTE_GAPS",
    "GAPS",
    "Certificate",
    "Constraint",
    "FairAdjustment",
    "FairEvaluation",
    "Front",
    "Gap",
    "GroupThresholds",
    "NoiseFloor",
    "bound",
    "certificate",
    "constrained_utility",
    "decision_quality",
    "evaluate_fairly",
    "fit_group_thresholds",
    "frontier",
    "gaps_for",
    "get_gap",
    "group_table",
    "group_threshold_front",
    "hypervolume",
    "noise_floor",
    "pareto",
    "parse_constraint",
    "parse_constraints",
    "promise_z",
    "undominated",
    "utility_floor",
    "value",
]

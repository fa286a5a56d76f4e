"""Panels of the command line's help, in their order."""

DATA, SEARCH, FAIRNESS, PRIVACY = "Data and metric", "Search", "Fairness", "Differential privacy"
WORKERS, STUDY = "Workers and device", "Study and output"

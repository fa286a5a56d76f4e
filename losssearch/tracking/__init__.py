"""Tracking a study for people: the `Tracker` protocol, its MLflow adapter, and the MLflow UI."""

"""Fronts of accuracy against unfairness: losssearch and the libraries made for fairness, on the same splits.

Needs the rivals: ``pip install -r benchmarks/fairness/requirements.txt`` (their own pins clash, so add ``--no-deps``).
"""

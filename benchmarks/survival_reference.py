"""The concordance of Cox's linear model, by scikit-survival, on the split that a study of the same table would make.

    python -m benchmarks.survival_reference TABLE --target TIME,EVENT [--drop COL,…] [--seed 0]

The model is fitted on the study's search part, whose rows its trainings train and stop on, with the features as the
study encodes them; it is judged on the confirmation and the test part. losssearch does not install scikit-survival:
install both into an environment of their own.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np

from benchmarks.report import print_table
from losssearch.data import Encoder, load, partition
from losssearch.data.encoding import rows_of
from losssearch.errors import LossSearchError

RIDGE = 1e-4
"""A penalty that matters only where columns follow from each other, as the indicators of a category do."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the figures; 2 where the input is invalid or scikit-survival is not installed."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.survival_reference", description=str(__doc__).split("\n")[0]
    )
    parser.add_argument("table", metavar="TABLE")
    parser.add_argument("--target", required=True, metavar="TIME,EVENT")
    parser.add_argument("--drop", default="", metavar="COL,…")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    if find_spec("sksurv") is None:
        parser.error("scikit-survival must be installed, and is not here: pip install scikit-survival==0.28.0")
    try:
        found = figures(given.table, given.target, tuple(filter(None, given.drop.split(","))), given.seed)
    except LossSearchError as error:
        parser.error(str(error))
    rows = [(part, str(size), f"{value:.4f}") for part, size, value in found]
    print_table("concordance of Cox's linear model", ("part", "rows", "concordance"), rows)
    return 0


def figures(table: str, target: str, drop: tuple[str, ...], seed: int) -> list[tuple[str, int, float]]:
    """The name, the rows and the concordance of the confirmation and the test part."""
    linear: Any = importlib.import_module("sksurv.linear_model")
    metrics: Any = importlib.import_module("sksurv.metrics")
    dataset = load(table, target=target, task="survival", drop=drop)
    parts = partition(dataset, seed)
    encoder = Encoder(dataset.schema).fit(rows_of(dataset.features, parts.search))
    time, event = np.asarray(dataset.target, dtype=np.float64).T

    def features(rows: np.ndarray[Any, np.dtype[np.int64]]) -> np.ndarray[Any, np.dtype[np.float64]]:
        return encoder.transform(rows_of(dataset.features, rows)).astype(np.float64)

    outcome = np.array(list(zip(event > 0, time, strict=True)), dtype=[("event", bool), ("time", float)])
    model = linear.CoxPHSurvivalAnalysis(alpha=RIDGE, ties="efron").fit(features(parts.search), outcome[parts.search])
    found = []
    for part, rows in (("confirmation", parts.confirmation), ("test", parts.test)):
        risk = model.predict(features(rows))
        value = metrics.concordance_index_censored(event[rows] > 0, time[rows], risk)[0]
        found.append((part, len(rows), float(value)))
    return found


if __name__ == "__main__":
    sys.exit(main())

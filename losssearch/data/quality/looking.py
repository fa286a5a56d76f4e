"""What the rows that a study searches on show of the data, and how it is said in one line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from losssearch.data.dataset import Dataset
from losssearch.data.encoding import Encoder, rows_of
from losssearch.data.quality.cross_fitting import cross_fitted, residuals
from losssearch.data.quality.wrong_labels import WrongLabels, wrong_labels
from losssearch.errors import shown

MOST_ROWS = 10_000
"""Rows that are looked at; of more, a sample."""

MOST_CELLS = 8_000_000
"""Columns times rows: of wide tables and images, fewer rows are looked at."""

FAR = 5.0
"""Robust deviations from its prediction beyond which a number is far off: of normal noise, one in 1.7 million is."""

HEAVY = 0.005
"""Share of far numbers from which tails are called heavy; of Laplace noise, 0.6 % are far."""

RARE = 20
"""A class is called rare where the largest has this many times its rows."""

MOST_MISTAKES = 10
"""Pairs of classes that are named in a result."""

_SEED = 53


@dataclass(frozen=True)
class Seen:
    """What was seen in ``rows`` rows: labels of a target of classes, or the share of ``far`` numbers.

    ``sizes``: rows of the smallest and the largest class. ``line``: all of it, in one line.
    """

    rows: int
    line: str
    labels: WrongLabels | None = None
    sizes: tuple[int, int] | None = None
    far: float | None = None

    @property
    def lines(self) -> tuple[str, ...]:
        """The line, if there is anything to say."""
        return (self.line,) if self.line else ()

    def described(self, classes: tuple[str, ...]) -> dict[str, Any]:
        """As JSON: ``wrong_labels`` of classes with these names, or the share of ``far`` numbers."""
        if self.labels is None:
            return {} if self.far is None else {"far_numbers": {"rows": self.rows, "share": self.far}}
        found = self.labels
        most = [
            {"class": classes[one.true], "labelled": classes[one.label], "rate": one.rate}
            for one in found.mistaken[:MOST_MISTAKES]
        ]
        return {
            "wrong_labels": {
                "rows": self.rows,
                "share": found.share,
                "error": found.error,
                "one_way": found.one_way,
                "one_way_error": found.one_way_error,
                "pairwise": found.pairwise,
                "mistaken": most,
            }
        }


def look(dataset: Dataset, rows: NDArray[np.int64]) -> Seen:
    """Look for what known losses cure: wrong labels, rare classes, heavy tails.

    Args:
        dataset: Of classes, or of one number per row; of several numbers nothing is said.
        rows: Those that a study searches on; a sample is taken of many. The others are for its verdict alone.
    """
    chosen = _sample(dataset, rows)
    if dataset.classes:
        labels = np.asarray(dataset.target[chosen], dtype=np.int64)
        found = wrong_labels(cross_fitted(encoded(dataset, chosen), labels, len(dataset.classes)), labels)
        counts = np.bincount(np.asarray(dataset.target[rows], dtype=np.int64), minlength=len(dataset.classes))
        least, most = int(counts.min()), int(counts.max())
        rare = f"; the rarest class {shown(dataset.classes[int(counts.argmin())])} has {least} of {len(rows)} rows"
        said = _said(found, dataset.classes) + (rare if most >= RARE * least else "")
        return Seen(len(chosen), said, labels=found, sizes=(least, most))
    if dataset.target.ndim > 1:
        return Seen(len(chosen), "")
    left = residuals(encoded(dataset, chosen), np.asarray(dataset.target[chosen], dtype=np.float64))
    far = far_share(left)
    how = "heavy tails" if far >= HEAVY else "no heavy tails"
    said = f"{how}: {far:.1%} of the rows are more than {FAR:g} robust deviations from what a forest predicts of them"
    return Seen(len(chosen), said, far=far)


def far_share(left: NDArray[np.float64]) -> float:
    """The share of residuals ``[rows]`` beyond `FAR` times 1.4826 times their median size, about their median."""
    off = np.abs(left - np.median(left))
    unit = 1.4826 * float(np.median(off))
    return float((off > FAR * unit).mean()) if unit > 0 else 0.0


def distinct(dataset: Dataset, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Places among ``rows`` of one row of each set of copies, in order, and for each row the set that it is in."""
    if dataset.coarse:
        return np.arange(len(rows)), np.arange(len(rows))
    _, first, copy_of = np.unique(dataset.row_keys[rows], return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return first[order], rank[copy_of]


def _sample(dataset: Dataset, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """At most `MOST_ROWS` rows in their order; of copies one, because a copy gives a label away."""
    rows = rows[distinct(dataset, rows)[0]]
    most = min(MOST_ROWS, max(1000, MOST_CELLS // max(1, len(dataset.schema.columns))))
    if len(rows) <= most:
        return rows
    return np.sort(np.random.default_rng(_SEED).choice(rows, most, replace=False))


def encoded(dataset: Dataset, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """The rows as numbers ``[rows, columns]``, by what these rows tell alone."""
    own = rows_of(dataset.features, rows)
    return Encoder(dataset.schema).fit(own).transform(own)


def _said(found: WrongLabels, classes: tuple[str, ...]) -> str:
    share = f"{found.share:.0%} ± {found.error:.0%}"
    if found.pairwise:
        worst = found.mistaken[0]
        example = f"{shown(classes[worst.true])} as {shown(classes[worst.label])} in {worst.rate:.0%}"
        alike = " (or classes that no feature tells apart)" if found.hidden > found.one_way / 2 else ""
        return f"{share} of the labels look wrong, most in one direction, such as {example}{alike}"
    if found.unsure:
        rule = "" if found.classes == 2 else ", in no one direction"
        return f"{share} of the labels differ from the surest predictions{rule}: wrong labels, or classes that overlap"
    return f"no sign of wrong labels: {share} differ from the surest predictions"

"""Whether labels are wrong, and in one direction: an estimate from predictions that were made without them.

Where a prediction is surest, classes hardly overlap: in clean tables the labels there agree with it, in tables with
wrong labels as many differ as anywhere. This is the idea of confident learning (Northcutt et al. 2021), with the surest
rows alone. Where labels differ, they go to one other class that gives none back (pairwise), or to all (uniform).
Classes that overlap even there send as many to each other as they get, or to whatever class is frequent.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SUREST = 0.15
"""Share of the rows predicted as a class that are looked at: those predicted with the highest probability."""

FEWEST = 10
"""Rows predicted as a class below which nothing is said of it."""

ONE_WAY = 0.12
"""Share of all rows, less `MARGIN` standard errors, that must have gone one way for wrong labels to be called pairwise.

Chosen on letter, satimage, pendigits and mnist and on clean tables; see `benchmarks.wrong_labels` for the others.
"""

MARGIN = 1.64

OTHERS = 0.3
"""How often, at most, a third class may stand there as a label, over how often it would by chance.

Labels that no feature predicts go to one class too, the most frequent; but then all other classes occur as well.
"""

ONLY = 0.15
"""The same for the rows predicted as one class, where that class may hide another: less is allowed."""

UNSURE = 0.2
"""Share of labels that differ, less `MARGIN` standard errors, from which a study mentions them."""


@dataclass(frozen=True)
class Mistaken:
    """Rows predicted as class ``true``, a share ``rate`` of which is labelled as the class ``label``."""

    true: int
    label: int
    rate: float


@dataclass(frozen=True)
class WrongLabels:
    """What the surest predictions say of labels.

    ``share``: of wrong labels; where classes overlap everywhere, that is in it too. ``one_way``: of all rows, those
    labelled as another class that does not give as many back; ``hidden``: those of them whose class leads the labels
    nowhere. ``others``: how often a third class is the label, over
    chance. Errors are standard errors of the rows counted. ``mistaken``: the most frequent mistakes first.
    """

    share: float
    error: float
    one_way: float
    one_way_error: float
    hidden: float
    others: float
    mistaken: tuple[Mistaken, ...]
    classes: int

    @property
    def pairwise(self) -> bool:
        """Whether labels are wrong in one direction; never said of two classes, where it looks like overlap."""
        sure = self.one_way - MARGIN * self.one_way_error
        return self.classes > 2 and sure >= ONE_WAY and self.others <= OTHERS

    @property
    def unsure(self) -> bool:
        """Whether labels may be wrong, or the classes overlap everywhere."""
        return self.share - MARGIN * self.error >= UNSURE


def wrong_labels(probabilities: NDArray[np.float64], labels: NDArray[np.int64]) -> WrongLabels:
    """Estimate how many labels are wrong, and how.

    Args:
        probabilities: What was predicted of each class without the row's own label ``[rows, classes]``.
        labels: Class ids ``[rows]``.

    Example:
        >>> import numpy as np
        >>> true = np.repeat([0, 1, 2], 100)
        >>> labels = np.where(np.arange(300) % 5 < 2, (true + 1) % 3, true)
        >>> found = wrong_labels(np.eye(3)[true], labels)
        >>> round(found.share, 1), round(found.one_way, 1), found.pairwise
        (0.4, 0.4, True)
    """
    rows, classes = probabilities.shape
    guess = probabilities.argmax(axis=1)
    counts = surest_labels(probabilities, labels)
    looked = counts.sum(axis=1)
    weight = np.bincount(guess, minlength=classes) * (looked > 0)
    if not weight.any():
        return WrongLabels(0.0, 0.0, 0.0, 0.0, 0.0, 1.0, (), classes)
    weight = weight / weight.sum()
    rates = counts / np.maximum(looked, 1)[:, None]
    each = np.arange(classes)
    right = rates[each, each]
    mostly = np.where(np.eye(classes, dtype=bool), -1.0, rates).argmax(axis=1)
    away = rates[each, mostly]
    moved, error = weight[:, None] * rates, _errors(counts, weight)
    prior = np.bincount(labels, minlength=classes) / rows
    # The other class is right where it is predicted itself, or, where too many wrong labels hide its own rows, is the
    # only other one there. Two classes that no feature tells apart, one of them rarer, look like the latter.
    guessed = np.bincount(guess * classes + labels, minlength=classes**2).reshape(classes, classes)
    known = ((looked > 0) & (guessed.argmax(axis=1) == each))[mostly]
    only = 1 - right - away <= ONLY * (1 - prior - prior[mostly])
    gone = (looked > 0) & (known | only) & (moved[each, mostly] > moved[mostly, each])
    flow = (moved[each, mostly] - moved[mostly, each]) * gone
    third = float(weight @ (1 - right - away)) / max(float(weight @ (1 - prior - prior[mostly])), 1e-9)
    ranked = sorted(each[(looked > 0) & (away > 0)], key=lambda one: (-moved[one, mostly[one]], one))
    return WrongLabels(
        share=float(weight @ (1 - right)),
        error=float(np.sqrt(np.square(error[each, each]).sum())),
        one_way=float(flow.sum()),
        one_way_error=float(np.sqrt((error[each, mostly] ** 2 + error[mostly, each] ** 2)[gone].sum())),
        hidden=float(flow[~known].sum()),
        others=max(third, 0.0),
        mistaken=tuple(Mistaken(int(one), int(mostly[one]), float(away[one])) for one in ranked),
        classes=classes,
    )


def surest_labels(probabilities: NDArray[np.float64], labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """How often each class is the label ``[classes, classes]`` (second) of the surest rows predicted as each (first).

    Zeros where fewer than `FEWEST` rows are predicted as a class. Arguments as for `wrong_labels`.
    """
    classes = probabilities.shape[1]
    guess, sureness = probabilities.argmax(axis=1), probabilities.max(axis=1)
    counts = np.zeros((classes, classes), dtype=np.int64)
    for one in range(classes):
        own = np.flatnonzero(guess == one)
        if len(own) >= FEWEST:
            surest = own[np.argsort(-sureness[own], kind="stable")[: max(FEWEST, round(SUREST * len(own)))]]
            counts[one] = np.bincount(labels[surest], minlength=classes)
    return counts


def _errors(counts: NDArray[np.int64], weight: NDArray[np.float64]) -> NDArray[np.float64]:
    """The standard error of each share of all rows; half a row more on either side, so that no error is 0."""
    looked = counts.sum(axis=1, keepdims=True)
    rate = (counts + 0.5) / (looked + 1)
    found: NDArray[np.float64] = weight[:, None] * np.sqrt(rate * (1 - rate) / np.maximum(looked, 1))
    return found

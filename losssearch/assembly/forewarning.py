"""What can be said of groups before anything is trained: limits that the rows cannot verify, columns that tell."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pandas as pd
import torch
from torch.nn.functional import one_hot

from losssearch.data import Dataset
from losssearch.evaluation.fairness import Constraint, noise_floor
from losssearch.option_names import option, spelled

HELD_OUT = 0.2
"""Share of the rows that confirmation and test have each."""

_TELLS = 0.99
_MOST_VALUES = 50


def unverifiable_limits(constraints: Iterable[Constraint], dataset: Dataset, seed: int = 0) -> Iterator[str]:
    """A sentence for each limit that even a perfectly fair model would often break on the held-out rows.

    The model that is assumed decides at random, each class as often as it occurs. Gaps of scores are left out:
    how they vary is known only once a model is trained.
    """
    if dataset.group is None:
        return
    generator = np.random.default_rng(seed)
    rows = generator.permutation(dataset.rows)[: max(1, round(HELD_OUT * dataset.rows))]
    target, group = (torch.as_tensor(values[rows]) for values in (dataset.target, dataset.group))
    guessed = torch.as_tensor(generator.permutation(dataset.target[rows]))
    if len(torch.unique(group)) < len(dataset.groups):
        return
    for constraint in constraints:
        if constraint.gap.reads != "decision" or constraint.gap.compare == "worst":
            continue
        decided = one_hot(guessed, len(dataset.classes)).double() if constraint.class_axis else 2.0 * guessed - 1
        floor = noise_floor(constraint, decided, target, group, len(dataset.groups), seed=seed)
        if floor.hides(constraint):
            reach = "up to" if constraint.op == "<=" else "down to"
            yield (
                f"{constraint} cannot be verified on so few rows: a model that treats all groups alike would still "
                f"show {reach} {floor.quantile:.2g} on {len(rows)} held-out rows; expect decisions that hardly differ "
                "between people, or a looser limit"
            )


def telling_columns(dataset: Dataset, sensitive: Sequence[str]) -> Iterator[str]:
    """A sentence for each feature of few values that gives the group away in nearly all rows."""
    if dataset.group is None or not isinstance(dataset.features, pd.DataFrame):
        return
    commonest = np.bincount(dataset.group).max() / dataset.rows
    if commonest > (1 + _TELLS) / 2 - 0.05:
        return
    for column in dataset.features.columns:
        values = dataset.features[column]
        if str(column) in sensitive or values.nunique(dropna=False) > _MOST_VALUES:
            continue
        counts = pd.crosstab(pd.factorize(values, use_na_sentinel=False)[0], dataset.group)
        told = counts.max(axis=1).sum() / dataset.rows
        if told >= _TELLS:
            yield spelled(
                f"column {column!r} tells the group in {told:.0%} of the rows, so a model that reads it sees the "
                f"sensitive attribute; {option('drop', column)} keeps it out"
            )

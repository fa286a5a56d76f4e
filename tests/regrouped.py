"""Replicas with other fields than their data gave them."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from losssearch.data.batch import Groups
from losssearch.data.replicas import Replicas


def regrouped(replicas: Replicas, train: Tensor, validation: Tensor, count: int) -> Replicas:
    """Replicas whose rows are in these groups."""
    return replace(
        replicas,
        train={**replicas.train, "group": train},
        validation={**replicas.validation, "group": validation},
        sensitive=Groups(count),
    )


def unweighted(replicas: Replicas) -> Replicas:
    """Replicas whose rows have no weights."""
    return replace(replicas, train={name: value for name, value in replicas.train.items() if name != "weight"})

"""The rows that candidates are screened on: few, with every class, group and range of a number among them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from losssearch.data.batch import at_rows
from losssearch.data.probing import banded, joint, probe_order, representative
from losssearch.data.replicas import Replicas

ROWS = 512
"""Rows that scales are measured on; a signature needs `SIGNED` of them, a descent `FREE`."""
SIGNED = 128
FREE = 256


def representatives(probe: Replicas) -> tuple[Replicas, Tensor]:
    """`ROWS` training rows of the only replica with every stratum among them, and a weight for each.

    The weights show every stratum as often as the training rows have it; they are 1 where the first rows could stay.
    """
    rows = probe.train["target"].shape[1]
    target = probe.train["target"][0].cpu().numpy()
    labels: NDArray[np.int64] = target if probe.classes else banded(target if target.ndim == 1 else target[:, 0])
    strata, finest = [labels], labels
    if "group" in probe.train:
        group = probe.train["group"][0].cpu().numpy()
        members = group if group.ndim == 1 else banded(group[:, 0])
        finest = joint(labels, members)
        strata += [members, finest]
    chosen = probe_order(strata, (SIGNED, FREE, ROWS))
    weights = np.ones(len(chosen))
    if not np.array_equal(chosen, np.arange(len(chosen))):
        weights = representative(finest, chosen)
        if probe.classes:  # of rows on disk, those in memory may hold rare classes more often than all do
            seen = np.bincount(labels, minlength=probe.classes) / rows
            weights = weights * (probe.facts["class_prior"][0].cpu().numpy() / np.maximum(seen, 1e-12))[labels[chosen]]
            weights = weights / weights.mean()
    order = torch.from_numpy(chosen)
    return replace(probe, train=at_rows(probe.train, order)), torch.from_numpy(weights).float()

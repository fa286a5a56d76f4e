"""Which members of a population have started anew in mid-training, and how many steps ago."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Anew:
    """Places of members that have started anew ``[k]``, and how many steps each has taken since, ``[k]``, float64."""

    members: Tensor
    steps: Tensor

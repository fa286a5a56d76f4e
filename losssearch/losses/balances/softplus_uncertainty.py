"""Weights that are learned with the model, with a penalty that is never below zero."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from losssearch.losses.balance import balance, per_part
from losssearch.losses.state import State


@balance(
    reference="Liebel and Koerner 2018, eq. 3, with a learned logarithm",
    formula="softplus_uncertainty({part})",
    latex=r"\mathrm{su}\left[{part}\right]",
    meaning="sum of exp(-s) * part / 2 + log(1 + exp(s))",
    needs_nonnegative=True,
    log_variance=State(per_part, 0.0, "loss"),
)
def softplus_uncertainty(values: Tensor, *, log_variance: Tensor) -> Tensor:
    """``exp(-s) / 2`` times each value plus ``log(1 + exp(s))``, with a learned ``s`` for each."""
    return (torch.exp(-log_variance) * values / 2 + functional.softplus(log_variance)).sum()

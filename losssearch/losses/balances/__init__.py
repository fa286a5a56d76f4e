"""From the values of the parts to the loss, one balance per file."""

from losssearch.losses.balances import (
    dwa,
    famo,
    geometric_mean,
    grad_norm,
    random,
    relobralo,
    soft_adapt,
    softplus_uncertainty,
)
from losssearch.losses.balances import sum as sum_  # the module's name is that of a builtin

__all__ = [
    "dwa",
    "famo",
    "geometric_mean",
    "grad_norm",
    "random",
    "relobralo",
    "soft_adapt",
    "softplus_uncertainty",
    "sum_",
]

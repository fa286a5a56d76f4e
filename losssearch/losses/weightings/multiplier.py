"""A part that is to stay below a limit: its weight is the multiplier of that constraint."""

from __future__ import annotations

from torch import Tensor

from losssearch.losses.domains import Float
from losssearch.losses.state import State
from losssearch.losses.weighting import weighting


def next_dual(value: Tensor, scale: Tensor, *, limit: Tensor, rate: Tensor, dual: Tensor) -> Tensor:
    """The multiplier after a step of dual ascent, relative to the limit."""
    excess = (value * scale - limit) / limit.abs().clamp_min(1e-3)
    return (dual + rate * excess.clamp_max(1.0).clamp_min(-1.0)).clamp_min(0.0)


@weighting(
    reference="Arrow, Hurwicz and Uzawa 1958; dual ascent on one constraint",
    formula="λ·({part} <= {limit})",
    latex=r"\lambda\,\left({part} \le {limit}\right)",
    meaning="a multiplier that rises while the part is above its limit, and falls to 0 below it",
    affine=True,
    elementwise=True,
    limit=Float(-1e6, 1e6, default=0.1),
    rate=Float(1e-5, 1.0, default=0.01, log=True),
    dual=State((), 0.0, "update", next_dual),
)
def multiplier(value: Tensor, scale: Tensor, *, limit: Tensor, rate: Tensor, dual: Tensor) -> Tensor:
    """``λ (value - limit)``, where λ ≥ 0 climbs by how far the part is above ``limit``, in the unit of its term."""
    return dual * (value - limit / scale)

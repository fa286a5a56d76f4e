"""A metric with a number: the F-measure that counts recall more."""

from torch import Tensor

import losssearch as ls


@ls.metric(direction="maximize", task="binary", unit="share", low=0.0, high=1.0, beta=ls.Float(0.1, 10.0, default=2.0))
def own_fbeta(decisions: Tensor, target: Tensor, weight: Tensor | None = None, *, beta: float) -> Tensor:
    """The F-measure of decisions, where recall counts ``beta`` times as much as precision."""
    often = 1.0 if weight is None else weight
    hits = (often * decisions * target).sum()
    return (1 + beta**2) * hits / ((often * decisions).sum() + beta**2 * (often * target).sum()).clamp(min=1e-9)

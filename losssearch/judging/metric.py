"""The judge of a study without constraints: its metric."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from losssearch.data.replicas import Replicas
from losssearch.evaluation import Metric, evaluate, get_metric


class MetricJudge:
    """The metric of a study, as a trainer asks for it: outputs in, utilities and adjustment out."""

    def __init__(
        self, metric: str | Metric, task: str, replicas: Replicas, device: str = "cpu", *, weight: Tensor | None = None
    ) -> None:
        """Judge by the facts of ``replicas``; ``weight`` ``[R, N]``: of the rows that will be judged."""
        self._weight = None if weight is None else weight.to(device)[:, None]
        self.metric = get_metric(metric, task)
        facts = {name: value.to(device)[:, None] for name, value in replicas.facts.items()}
        self._prior = facts.get("class_prior")
        self._unit = (facts["target_mean"][:, None], facts["target_scale"][:, None]) if "target_mean" in facts else None

    def __call__(self, outputs: Tensor, target: Tensor, tuned: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        """See `losssearch.training.Judge`; predictions are judged in the target's own unit."""
        values, adjustment = evaluate(
            self.metric,
            self.own_unit(outputs),
            self.own_unit(target[:, None]),
            tuned=tuned,
            class_prior=self._prior,
            weight=self._weight,
        )
        return self.metric.utility(values), lambda other: adjustment.apply(self.own_unit(other))

    def own_unit(self, values: Tensor) -> Tensor:
        """Outputs or targets in the unit of the target itself: float64, as a mean may be far larger than the spread."""
        if self._unit is None:
            return values
        mean, scale = self._unit
        return values.double() * scale + mean

"""The judge of a study without constraints: its metric."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from losssearch.data.replicas import Replicas
from losssearch.data.target_kind import Values
from losssearch.evaluation import Metric, evaluate, get_metric
from losssearch.tasks import affine, get_kind


class MetricJudge:
    """The metric of a study, as a trainer asks for it: outputs in, utilities and adjustment out."""

    def __init__(
        self, metric: str | Metric, task: str, replicas: Replicas, device: str = "cpu", *, weight: Tensor | None = None
    ) -> None:
        """Judge by the facts of ``replicas``; ``weight`` ``[R, N]``: of the rows that will be judged."""
        self._weight = None if weight is None else weight.to(device)[:, None]
        self.metric = get_metric(metric, task)
        facts = {name: value.to(device)[:, None] for name, value in replicas.facts.items()}
        kind = get_kind(task)
        self._facts, self._unit, self._raw = facts, kind.own_unit, isinstance(kind.target, Values)
        self._moments = [facts[name][:, None] for name in ("target_mean", "target_scale") if name in facts]

    def __call__(self, outputs: Tensor, target: Tensor, tuned: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        """See `losssearch.training.Judge`; predictions are judged in the target's own unit."""
        values, adjustment = evaluate(
            self.metric,
            self.own_unit(outputs),
            self.target_unit(target[:, None]),
            tuned=tuned,
            facts=self._facts,
            weight=self._weight,
        )
        return self.metric.utility(values), lambda other: adjustment.apply(self.own_unit(other))

    def target_unit(self, target: Tensor) -> Tensor:
        """Targets in their own unit, in double precision; what was not standardised as it is."""
        return target if self._unit is None or self._raw else affine(target, *self._moments)

    def own_unit(self, values: Tensor) -> Tensor:
        """Outputs in the unit of the target itself: float64, as a mean may be far larger than the spread."""
        return values if self._unit is None else self._unit(values, *self._moments)

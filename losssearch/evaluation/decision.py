"""A tuned decision: how to turn a model's outputs into what the metric reads, and into decisions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias, get_args

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from losssearch.errors import DataError, OptionError
from losssearch.evaluation.adjustment import Adjustment
from losssearch.tasks import AdjustmentKind, get_task

Values: TypeAlias = Tensor | npt.NDArray[Any] | Sequence[Any]


@dataclass(frozen=True)
class Tuned:
    """One tuned number and how it changes a model's outputs.

    Attributes:
        kind: ``"threshold"``, ``"temperature"``, ``"prior_shift"``, ``"shift"``, ``"none"``, or a kind of several
            numbers.
        parameter: the number, or a tuple of several.
        log_prior: the logarithm of the class shares, for a prior shift.
    """

    kind: AdjustmentKind
    parameter: float | tuple[float, ...]
    log_prior: tuple[float, ...] = ()

    @classmethod
    def of(cls, adjustment: Adjustment) -> Tuned:
        """The adjustment of a single model."""
        prior = () if adjustment.log_prior is None else tuple(adjustment.log_prior.reshape(-1).tolist())
        numbers = adjustment.parameter
        return cls(adjustment.kind, tuple(numbers.tolist()) if numbers.dim() else float(numbers), prior)

    def apply(self, outputs: Tensor) -> Tensor:
        """Return the adjusted ``outputs`` ``[N]`` or ``[N, C]``."""
        prior = torch.tensor(self.log_prior, dtype=torch.float64) if self.log_prior else None
        return Adjustment(self.kind, torch.tensor(self.parameter, dtype=torch.float64), prior).apply(outputs)


@dataclass(frozen=True)
class Limit:
    """Whether a decision satisfies one constraint on the rows that it was tuned on.

    Attributes:
        constraint: the constraint, such as ``"demographic_parity_difference <= 0.05"``.
        gap: the observed gap.
        bound: the confidence bound of the gap.
        kept: whether the bound satisfies the limit.
    """

    constraint: str
    gap: float
    bound: float
    kept: bool


@dataclass(frozen=True)
class Decision:
    """A tuned decision: how to turn a model's outputs into what the metric reads, and into decisions.

    Made by `losssearch.tune_decision`.

    Attributes:
        task: the task, such as ``"binary"``.
        metric: the metric that it was tuned for.
        score: the change to outputs before the metric reads them.
        decision: the change to outputs before a decision is made.
        value: the metric on the rows that the decision was tuned on, which is slightly optimistic.
        limits: the result for each constraint.
    """

    task: str
    metric: str
    score: Tuned
    decision: Tuned
    value: float
    limits: tuple[Limit, ...] = ()

    @property
    def kept(self) -> bool:
        """Whether the bound of every constraint satisfies its limit."""
        return all(limit.kept for limit in self.limits)

    def apply(self, outputs: Values) -> Tensor:
        """Return outputs as the metric reads them: binary logits ``[N]``, logits ``[N, C]``, or predictions ``[N]``."""
        return self.score.apply(read_outputs(outputs))

    def decide(self, outputs: Values) -> Tensor:
        """Return the decisions ``[N]``: 0 or 1, the number of a class, or a prediction."""
        moved = self.decision.apply(read_outputs(outputs))
        return get_task(self.task).view.decide(moved)

    def to_json(self) -> dict[str, Any]:
        """Return plain data that ``json.dumps`` accepts and `from_json` reads."""
        found = asdict(self) | {"limits": [asdict(limit) for limit in self.limits]}
        for name in ("score", "decision"):
            found[name]["log_prior"] = list(found[name]["log_prior"])
        return found

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Decision:
        """Restore the decision that `to_json` returned; raises `DataError` for anything else."""
        try:
            score, decision = (
                Tuned(data[name]["kind"], _numbers(data[name]["parameter"]), tuple(map(float, data[name]["log_prior"])))
                for name in ("score", "decision")
            )
            limits = tuple(Limit(**limit) for limit in data["limits"])
            found = cls(str(data["task"]), str(data["metric"]), score, decision, float(data["value"]), limits)
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"a decision must be what to_json wrote; {type(error).__name__}: {error}") from None
        if unknown := {score.kind, decision.kind} - set(get_args(AdjustmentKind)):
            raise DataError(f"a decision tunes one of {', '.join(get_args(AdjustmentKind))}, got {unknown.pop()!r}")
        return found


def _numbers(value: Any) -> float | tuple[float, ...]:
    return tuple(map(float, value)) if isinstance(value, list | tuple) else float(value)


def read_outputs(outputs: Values) -> Tensor:
    """Outputs as double precision; a last dimension of one is dropped."""
    found = read_numbers(outputs).double()
    return found.squeeze(-1) if found.dim() == 2 and found.shape[-1] == 1 else found


def read_numbers(values: Values) -> Tensor:
    """Outputs or targets as a tensor; raises `OptionError` where they are no numbers."""
    found = values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)
    if found.dtype.kind not in "biuf":
        raise OptionError(f"outputs and target must be numbers, got {found.dtype}: give classes by their numbers")
    return torch.as_tensor(found)

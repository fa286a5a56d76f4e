"""Metrics of times that may be censored: the order of risks, and the errors of survival curves."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from losssearch.evaluation.declaring import metric
from losssearch.evaluation.made import Tuning, always
from losssearch.evaluation.measure import Addend, Measure, Resampled, Summed, mean
from losssearch.evaluation.survival_curves import (
    curves_of,
    fit_baseline,
    over_time,
    risk_of,
    squared_errors,
    times_of,
)
from losssearch.evaluation.survival_pairs import concordance_of
from losssearch.tasks.view import SURVIVAL

LEAST = 1e-6
"""The least probability of what was seen, for a likelihood."""

RESAMPLES = 64
"""Resamples whose errors are computed at once."""

_BASELINE: Tuning = always("breslow_baseline", fit_baseline)


@dataclass(frozen=True)
class _OfTimes(Measure):
    """A metric whose target has two columns: the time, and whether the event was seen."""

    @property
    def target_columns(self) -> bool:
        """See `Measure.target_columns`."""
        return True


@metric(
    name="concordance",
    direction="maximize",
    task=SURVIVAL,
    unit="share of pairs",
    low=0.0,
    high=1.0,
    tuned="none",
    computed=lambda measure, view: measure(view.columns),
)
@dataclass(frozen=True)
class Concordance(_OfTimes):
    """Share of the comparable pairs of rows whose risks are in order (Harrell's C); equal risks count half."""

    def plain(self, outputs: Tensor, target: Tensor) -> Tensor:
        """See `Measure.plain`."""
        return _concordance(outputs, target, torch.ones_like(target[..., :1], dtype=torch.float64))[:, 0]

    def resampled(self, outputs: Tensor, target: Tensor) -> Resampled:
        """See `Measure.resampled`."""
        return lambda weights: _concordance(outputs[None], target[None], weights[None])[0]


def _concordance(outputs: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    target = target.double()
    return concordance_of(risk_of(outputs).double(), target[..., 0], target[..., 1], weight.double())


@metric(
    name="integrated_brier",
    direction="minimize",
    task=SURVIVAL,
    unit="squared probability",
    low=0.0,
    tuned=_BASELINE,
    computed=lambda measure, view: measure(view.columns),
)
@dataclass(frozen=True)
class IntegratedBrier(_OfTimes):
    """Squared error of the survival curve, censored rows replaced by the weights of others, averaged over time."""

    def plain(self, outputs: Tensor, target: Tensor) -> Tensor:
        """See `Measure.plain`."""
        return self.weighed(outputs, target, torch.ones_like(target[..., 0]))

    def weighed(self, outputs: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        """See `Measure.weighed`."""
        times = times_of(outputs)[:, 0].double()
        return over_time(squared_errors(curves_of(outputs).double(), times, target.double(), weight.double()), times)

    def resampled(self, outputs: Tensor, target: Tensor) -> Resampled:
        """See `Measure.resampled`."""

        def value(weights: Tensor) -> Tensor:
            parts = []
            for some in weights.T.split(RESAMPLES):
                count = len(some)
                parts.append(
                    self.weighed(outputs.expand(count, *outputs.shape), target.expand(count, *target.shape), some)
                )
            return torch.cat(parts)

        return value


@dataclass(frozen=True)
class _SummedOverTimes(Summed):
    @property
    def target_columns(self) -> bool:
        """See `Measure.target_columns`."""
        return True

    def plain(self, outputs: Tensor, target: Tensor) -> Tensor:
        """See `Measure.plain`."""
        return self.weighed(outputs, target, torch.ones_like(target[..., 0], dtype=torch.float64))


@partial(
    metric,
    name="nll",
    direction="minimize",
    task=SURVIVAL,
    unit="nats",
    low=0.0,
    tuned=_BASELINE,
    computed=lambda addends, view: _SummedOverTimes(view.columns, addends, mean),
)()
def survival_nll(outputs: Tensor, target: Tensor) -> tuple[Addend, ...]:
    """Negative logarithm of the probability of the event in its bin of time, or after the last bin that was survived.

    The bins end at the times of the curve; a row that was followed into a bin survived those before it.
    """
    curve, times, target = curves_of(outputs).double(), times_of(outputs).double(), target.double()
    ends = torch.nn.functional.pad(torch.nn.functional.pad(curve, (1, 0), value=1.0), (0, 1), value=0.0)
    place = (target[..., :1] > times).sum(-1, keepdim=True)
    before, after = ends.gather(-1, place)[..., 0], ends.gather(-1, place + 1)[..., 0]
    chance = torch.where(target[..., 1] > 0, before - after, before)
    return (Addend(-chance.clamp(LEAST, 1).log()),)

"""Times that may be censored: a risk, a time or hazards per sample; metrics read a risk and a survival curve."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from losssearch.data.batch import Batch, Field, declare_field
from losssearch.data.target_kind import Values
from losssearch.errors import DataError
from losssearch.losses.offer import Provider
from losssearch.tasks.export_text import of_shared
from losssearch.tasks.heads import Head
from losssearch.tasks.kind import TaskKind, enter
from losssearch.tasks.task import SHARED, Baseline, Task
from losssearch.tasks.view import SURVIVAL

BINS = 15
"""Bins of time whose hazards a model may put out; metrics read the curve at their inner edges."""

LEAST_BATCH = 256
"""Rows of a batch at the least: the partial likelihood of few rows is mostly noise."""


def _check(target: NDArray[Any], names: Sequence[str], where: str) -> None:
    time, event = target.T
    if (broken := ~(time > 0)).any():
        row = int(broken.argmax())
        raise DataError(f"a time must be above 0; column {names[0]!r} of {where} has {time[row]:g} in row {row + 1}")
    if (broken := ~np.isin(event, (0, 1))).any():
        row = int(broken.argmax())
        raise DataError(
            f"an event must be 1, or 0 where it was not seen; column {names[1]!r} of {where} has {event[row]:g} in row "
            f"{row + 1}: the first target column is the time, the second the event"
        )
    if not event.any():
        raise DataError(f"there must be events; column {names[1]!r} of {where} is always 0, so that no risk shows")


def _facts(
    target: NDArray[Any], fields: Mapping[str, NDArray[Any]], weight: NDArray[Any] | None
) -> Mapping[str, NDArray[Any]]:
    """The moments of log times, and the quantiles of the times of events that bins end at."""
    log_time, seen = np.log(target[:, 0]), target[:, 1] > 0
    share = np.full(len(target), 1 / len(target)) if weight is None else weight / weight.sum()
    mean = (share * log_time).sum()
    scale = np.sqrt((share * np.square(log_time - mean)).sum())
    times = target[seen, 0] if seen.any() else target[:, 0]
    edges = np.quantile(times, np.arange(1, BINS) / BINS)
    return {
        "log_time_mean": np.asarray(mean),
        "log_time_scale": np.asarray(scale if scale > 0 else 1.0),
        "time_edges": edges,
    }


def _made(
    target: NDArray[Any], fields: Mapping[str, NDArray[Any]], facts: Mapping[str, NDArray[Any]]
) -> Mapping[str, NDArray[Any]]:
    """The standardised log time, the event and the number of the time's bin."""
    time, event = target.T
    standardised = (np.log(time) - facts["log_time_mean"]) / facts["log_time_scale"]
    return {"target": np.stack((standardised, event, np.searchsorted(facts["time_edges"], time)), axis=1)}


for _field in (
    Field("log_time_mean", None, "mean of the logarithms of the times"),
    Field("log_time_scale", None, "standard deviation of the logarithms of the times"),
    Field("time_edges", None, "times at which the bins of hazards end, but for the last"),
):
    declare_field(_field)


def _columns(output: Tensor) -> Tensor:
    return output if output.dim() == 2 else output.unsqueeze(-1)


def _first(output: Tensor, batch: Batch, facts: Batch) -> Tensor:
    return _columns(output)[:, 0]


def _hazards(output: Tensor, batch: Batch, facts: Batch) -> Tensor:
    return _columns(output)[:, :BINS]


def _time(output: Tensor, batch: Batch, facts: Batch) -> Tensor:
    return batch["target"][:, 0].to(output.dtype)


def _event(output: Tensor, batch: Batch, facts: Batch) -> Tensor:
    return batch["target"][:, 1].to(output.dtype)


def _interval(output: Tensor, batch: Batch, facts: Batch) -> Tensor:
    return batch["target"][:, 2].to(output.dtype)


def _shown(risk: Tensor, curve: Tensor | None, facts: Mapping[str, Tensor]) -> Tensor:
    times = facts["time_edges"].to(risk.dtype).expand(*risk.shape[:-1], BINS - 1)
    return torch.cat((risk, torch.ones_like(times) if curve is None else curve, times), -1)


def _of_risk(outputs: Tensor, facts: Mapping[str, Tensor]) -> Tensor:
    """A risk alone; its curve is 1 until a baseline is added."""
    return _shown(outputs[..., :1], None, facts)


def _of_time(outputs: Tensor, facts: Mapping[str, Tensor]) -> Tensor:
    """A later time is a smaller risk."""
    return _shown(-outputs[..., :1], None, facts)


def _of_hazards(outputs: Tensor, facts: Mapping[str, Tensor]) -> Tensor:
    """What survives each bin; the risk is minus the number of bins that are expected to be survived."""
    curve = torch.exp(-F.softplus(outputs[..., :BINS]).cumsum(-1))[..., : BINS - 1]
    return _shown(-curve.sum(-1, keepdim=True), curve, facts)


def _heads(classes: int) -> tuple[Head, ...]:
    return (
        Head("risk", 1, ("risk",), _of_risk, ("the logarithm of the relative hazard, larger is sooner",)),
        Head("log_time", 1, ("prediction",), _of_time, ("the standardised logarithm of the time",)),
        Head(
            "hazards",
            BINS,
            ("hazards",),
            _of_hazards,
            (f"the logit of the probability of the event in each of {BINS} bins, if it has not come before",),
        ),
    )


def _example(rows: int) -> tuple[str, Tensor]:
    places = f"torch.arange({rows})"
    text = f"torch.stack(({places} % 7 / 4.0 - 1, {places} % 3 % 2.0, {places} % 7 * 2.0), -1).double()"
    place = torch.arange(rows)
    return text, torch.stack((place % 7 / 4.0 - 1, place % 3 % 2.0, place % 7 * 2.0), -1).double()


_TARGET = (
    "``target`` [batch, 3]: the standardised logarithm of the time; 1 where the event was seen, else 0; and, of "
    "hazards alone, the number of the time's bin, from 0"
)

SURVIVAL_KIND = enter(
    TaskKind(
        name="survival",
        target=Values(columns=2, check=_check, facts=_facts, made=_made),
        task=Task(
            kind="survival",
            heads=_heads,
            shared=True,
            offers=SHARED | {"risk", "prediction", "hazards", "time", "target", "event", "interval"},
            providers={
                "risk": Provider(_first, "logarithm of the relative hazard [batch], larger is sooner"),
                "prediction": Provider(_first, "standardised logarithm of the time [batch]"),
                "hazards": Provider(_hazards, f"logits of the hazards of bins [batch, {BINS}]"),
                "time": Provider(_time, "an increasing function of the time [batch]", fields=("target",)),
                "target": Provider(_time, "standardised logarithm of the time [batch]", fields=("target",)),
                "event": Provider(_event, "1 where the event was seen, else 0 [batch]", fields=("target",)),
                "interval": Provider(_interval, "number of the bin of the time, from 0 [batch]", fields=("target",)),
            },
            metric="concordance",
            space="survival",
            view=SURVIVAL,
            menu=(
                Baseline("mse_log_time", "squared", "fixed"),
                Baseline("mse_log_time_tuned", "squared"),
                Baseline("cox", "cox_breslow"),
                Baseline("one_sided_squared", "one_sided_squared"),
                Baseline("aft_weibull", "aft_weibull"),
                Baseline("aft_normal", "aft_normal"),
                Baseline("aft_logistic", "aft_logistic"),
                Baseline("discrete_hazard", "discrete_hazard"),
                Baseline("pairwise_concordance", "pairwise_concordance"),
                Baseline("huber", "huber", tunable=("delta",)),
            ),
            least_batch=LEAST_BATCH,
        ),
        export=of_shared(
            _heads,
            {"risk": "output[:, 0]", "prediction": "output[:, 0]", "hazards": "output"},
            target=(_TARGET, ["target = target.reshape(output.shape[0], -1).to(output.dtype)"]),
            example=_example,
            more={
                "time": ["time = target[:, 0]"],
                "event": ["event = target[:, 1]"],
                "interval": ["interval = target[:, 2]"],
                "target": ["target = target[:, 0]"],
            },
        ),
    )
)

"""What the recommended loss has kept for the rows that a study searched on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from losssearch.data.batch import Sizes
from losssearch.losses.kept import kept_states
from losssearch.losses.spec import LossSpec
from losssearch.study.context import Context
from losssearch.study.selecting.selection import Contender, train
from losssearch.training.trace import Trace

PURPOSE = "confirmation"
"""The draws that finalists are trained on."""


@dataclass(frozen=True, eq=False)
class RowMemory:
    """Of the rows of the search part, in its order; not a number for a row that no final training had.

    ``target`` ``[rows, classes]``: the target that was kept; ``loss`` ``[rows]``: the running loss. Of a loss that
    keeps targets it is minus the logarithm of what the kept target gives the label. Both are means over the final
    trainings.
    """

    target: NDArray[np.float32] | None
    loss: NDArray[np.float32] | None


def tells_of_rows(spec: LossSpec) -> bool:
    """Whether a loss keeps a target or a running loss for each training row."""
    return any(own.state.tells for own in kept_states(spec, Sizes(rows=1)))


def row_memory(context: Context, spec: LossSpec, trace: Trace | None) -> RowMemory | None:
    """What a finalist has kept; None where its loss tells nothing of rows, or its tables are too large."""
    trained = context.trained.get(PURPOSE)
    if trace is None or trained is None or not context.dataset.classes:
        return None
    classes, search = len(context.dataset.classes), context.partition.search
    kept = {own.key: own.state for own in kept_states(spec, Sizes(classes, rows=1)) if own.state.tells}
    told: dict[str, Tensor] = {}
    shares = torch.nn.functional.one_hot(torch.as_tensor(context.dataset.target[trained]), classes).float()
    for key, state in kept.items():
        if key in trace.rows:
            table = torch.as_tensor(trace.rows[key])
            for name, reading in state.tells.items():
                told.setdefault(name, reading(table, shares))
    if "target" in told:
        told.setdefault("loss", -(told["target"] * shares).sum(-1).clamp_min(1e-6).log())
    if not told:
        return None
    place = np.full(int(max(search.max(), trained.max())) + 1, -1)
    place[search] = np.arange(len(search))
    means = {name: _mean(value.double().numpy(), place[trained], len(search)) for name, value in told.items()}
    return RowMemory(means.get("target"), means.get("loss"))


def remembered_again(context: Context, result: Mapping[str, Any]) -> RowMemory | None:
    """The same of a finished study, whose recommended loss is trained again as it was: alone it keeps the same."""
    spec = LossSpec.from_json(result["best"]["spec"])
    if not tells_of_rows(spec):
        return None
    trials = context.store.trials(context.settings.study)
    trial = next(one for one in trials if one.number == result["best"]["trial"])
    (outcome,) = train(context, PURPOSE, [Contender(trial)], len(result["best"]["test"]["values"]), hold=True)
    return row_memory(context, spec, outcome.trace)


def _mean(values: NDArray[np.float64], places: NDArray[np.int64], rows: int) -> NDArray[np.float32]:
    """The means by row of ``values`` ``[R, N, ...]``, of the rows with these places among ``rows``."""
    known = np.isfinite(values).all(axis=tuple(range(2, values.ndim))) & (places >= 0)
    total, count = np.zeros((rows, *values.shape[2:])), np.zeros(rows)
    np.add.at(total, places[known], values[known])
    np.add.at(count, places[known], 1)
    with np.errstate(invalid="ignore"):
        mean = total / count.reshape(-1, *[1] * (values.ndim - 2))
    return np.asarray(mean, dtype=np.float32)

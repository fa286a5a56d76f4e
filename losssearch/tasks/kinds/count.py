"""Counts: how often something happened to each row while it was observed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from losssearch.data.batch import Batch, Field, declare_field
from losssearch.data.target_kind import Values
from losssearch.errors import DataError
from losssearch.losses.offer import Provider
from losssearch.tasks.export_text import FieldText, of_shared
from losssearch.tasks.heads import Head
from losssearch.tasks.kind import TaskKind, enter
from losssearch.tasks.task import SHARED, Baseline, Task
from losssearch.tasks.view import RATE

declare_field(Field("base_rate", None, "counts of the training rows over their exposure"))


def _check(target: NDArray[Any], names: Sequence[str], where: str) -> None:
    broken = (target < 0) | (target != np.floor(target))
    if broken.any():
        row = int(broken.argmax())
        raise DataError(
            f"a count must be a whole number of at least 0; target {names[0]!r} of {where} has {target[row]:g} in row "
            f"{row + 1}: give another task, such as regression"
        )
    if not (target > 0).any():
        raise DataError(f"some counts must be above 0; target {names[0]!r} of {where} is 0 in all {len(target)} rows")


def _exposure(target: NDArray[Any], fields: Mapping[str, NDArray[Any]]) -> NDArray[np.float64]:
    return np.asarray(fields["exposure"]) if "exposure" in fields else np.ones(len(target))


def _facts(
    target: NDArray[Any], fields: Mapping[str, NDArray[Any]], weight: NDArray[Any] | None
) -> Mapping[str, NDArray[Any]]:
    often = np.ones(len(target)) if weight is None else weight
    rate = float((often * target).sum() / (often * _exposure(target, fields)).sum())
    return {"base_rate": np.asarray(rate if rate > 0 else 1.0)}


def _made(
    target: NDArray[Any], fields: Mapping[str, NDArray[Any]], facts: Mapping[str, NDArray[Any]]
) -> Mapping[str, NDArray[Any]]:
    """The exposure is the count that the mean rate gives, so that a rate of 1 is the mean."""
    return {"target": target, "exposure": _exposure(target, fields) * facts["base_rate"]}


def _judged(target: NDArray[Any], fields: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
    return np.stack([target, _exposure(target, fields)], axis=1)


def _columns(output: Tensor) -> Tensor:
    return output if output.dim() == 2 else output.unsqueeze(-1)


def _first(output: Tensor, batch: Batch, facts: Batch) -> Tensor:
    return _columns(output)[:, 0]


def _second(output: Tensor, batch: Batch, facts: Batch) -> Tensor:
    return output[:, 1]


def _observed(output: Tensor, batch: Batch, facts: Batch) -> Tensor:
    if "exposure" not in batch:
        return output.new_ones(output.shape[0])
    return batch["exposure"].to(output.dtype)


def _with_zeros(rate: Tensor, share: Tensor, facts: Mapping[str, Tensor]) -> Tensor:
    base = facts["base_rate"].double().unsqueeze(-1)
    return torch.cat((rate.double() * base, share.double()), -1)


def _of_rate(outputs: Tensor, facts: Mapping[str, Tensor]) -> Tensor:
    return _with_zeros(outputs, torch.zeros_like(outputs), facts)


def _of_log_rate(outputs: Tensor, facts: Mapping[str, Tensor]) -> Tensor:
    return _with_zeros(outputs.double().clamp(max=30).exp(), torch.zeros_like(outputs), facts)


def _of_inflated(outputs: Tensor, facts: Mapping[str, Tensor]) -> Tensor:
    share = torch.sigmoid(outputs[..., 1:2].double())
    return _with_zeros(outputs[..., :1].double().clamp(max=30).exp() * (1 - share), share, facts)


def _heads(classes: int) -> tuple[Head, ...]:
    log_rate = "the logarithm of the rate, which times ``exposure`` is the count that is expected"
    return (
        Head("mean", 1, ("rate",), _of_rate, ("the rate, which times ``exposure`` is the count that is expected",)),
        Head("log_rate", 1, ("log_rate",), _of_log_rate, (log_rate,)),
        Head(
            "log_rate_and_zero",
            2,
            ("log_rate", "zero_logit"),
            _of_inflated,
            (f"{log_rate} of rows that can have one", "the logit of the share of rows that can not"),
        ),
    )


def _example(rows: int) -> tuple[str, Tensor]:
    return f"(torch.arange({rows}) % 4).double()", (torch.arange(rows) % 4).double()


def _example_exposure(rows: int) -> tuple[str, Tensor]:
    return f"1 + (torch.arange({rows}) % 3).double() / 2", 1 + (torch.arange(rows) % 3).double() / 2


COUNT = enter(
    TaskKind(
        name="count",
        target=Values(
            check=_check,
            reads=("exposure",),
            facts=_facts,
            made=_made,
            judged=_judged,
        ),
        task=Task(
            kind="count",
            heads=_heads,
            shared=True,
            offers=SHARED | {"target", "exposure", "rate", "log_rate", "zero_logit"},
            providers={
                "rate": Provider(_first, "count that is expected over the exposure [batch]"),
                "log_rate": Provider(_first, "logarithm of the expected count over the exposure [batch]"),
                "zero_logit": Provider(_second, "logit of the share of rows that are always zero [batch]"),
                "exposure": Provider(_observed, "how long each row was observed [batch]", fields=("exposure",)),
            },
            metric="poisson_deviance",
            space="count",
            view=RATE,
            menu=(
                Baseline("mse", "rate_squared", "fixed"),
                Baseline("mse_tuned", "rate_squared"),
                Baseline("poisson", "poisson_log_rate"),
                Baseline("negative_binomial", "negative_binomial"),
                Baseline("tweedie", "tweedie", tunable=("power",)),
                Baseline("zero_inflated_poisson", "zero_inflated_poisson"),
            ),
        ),
        export=of_shared(
            _heads,
            {"rate": "output[:, 0]", "log_rate": "output[:, 0]", "zero_logit": "output[:, 1]"},
            target=(
                "``target`` [batch]: counts",
                [
                    "target = target.reshape(output.shape[0]).to(output.dtype)",
                    "exposure = output.new_ones(output.shape[0]) if exposure is None else exposure.to(output.dtype)",
                ],
            ),
            example=_example,
            fields={"exposure": FieldText("how long each row was observed, above 0; 1 by default", _example_exposure)},
        ),
    )
)

"""A number: one prediction per sample, in units of the standardised target."""

from __future__ import annotations

import torch
from torch import Tensor

from losssearch.data.target_kind import Numbers
from losssearch.losses.inputs import NUMBERS
from losssearch.tasks.export_text import Example, ExportText, Known
from losssearch.tasks.heads import Head
from losssearch.tasks.kind import GroupMenu, TaskKind, affine, enter
from losssearch.tasks.picture import Picture
from losssearch.tasks.task import NEUTRAL, SHARED, Baseline, Task
from losssearch.tasks.view import PREDICTION

_NEUTRAL = {
    "goal": "target.unsqueeze(-1)",
    "plain_loss": "(prediction - target).square()",
    "predicted": "prediction.unsqueeze(-1)",
    "scores": "prediction.unsqueeze(-1)",
}


def _heads(classes: int) -> tuple[Head, ...]:
    return (Head("prediction", 1),)


def _inputs(known: Known) -> list[str]:
    return [
        "target = target.reshape(output.shape[0])",
        "prediction = output.reshape(output.shape[0])",
        "if (self.target_mean, self.target_scale) != (0.0, 1.0):",
        "    # A mean far larger than the spread leaves few digits to float32; not every device has float64.",
        '    wide = output.dtype if output.device.type == "mps" else torch.float64',
        "    prediction = ((prediction.to(wide) - self.target_mean) / self.target_scale).to(output.dtype)",
        "    target = (target.to(wide) - self.target_mean) / self.target_scale",
        "target = target.to(output.dtype)",
        *(f"{name} = {text}" for name, text in _NEUTRAL.items() if name in known.spec.reads),
    ]


def _example(known: Known) -> Example:
    lines = [
        "loss = Loss().double()",
        "output = 2 * torch.arange(1, 13, dtype=torch.float64).sin()",
        "target = 1.5 * torch.arange(2, 25, 2, dtype=torch.float64).cos()",
    ]
    target = 1.5 * torch.arange(2, 25, 2, dtype=torch.float64).cos()
    return lines, 2 * torch.arange(1, 13, dtype=torch.float64).sin(), target, None


def _drawn(place: Tensor, label: int, classes: int, others: Tensor) -> tuple[Tensor, Tensor]:
    output = torch.cat([place[None], others])
    return output, torch.zeros_like(output)


REGRESSION = enter(
    TaskKind(
        name="regression",
        target=Numbers(),
        task=Task(
            kind="regression",
            heads=_heads,
            offers=SHARED | NEUTRAL | {"prediction", "target", "zero"},
            metric="rmse",
            space="regression",
            providers={name: NUMBERS.providers[name] for name in NEUTRAL},
            view=PREDICTION,
            menu=(
                Baseline("mse", "squared", "fixed"),
                Baseline("mse_tuned", "squared"),
                Baseline("absolute", "absolute"),
                Baseline("huber", "huber", tunable=("delta",)),
                Baseline("log_cosh", "log_cosh"),
                Baseline("quantile", "quantile", tunable=("quantile",), aims={"quantile": "q"}),
                Baseline("asymmetric_squared", "asymmetric_squared", tunable=("asymmetry",)),
                Baseline("tukey_biweight", "tukey_biweight", tunable=("cutoff",)),
                Baseline("relative_absolute", "relative_absolute", tunable=("power",)),
                Baseline("poisson", "poisson", tunable=("floor",)),
            ),
        ),
        own_unit=affine,
        groups=GroupMenu(
            disparity="group_disparity_regression",
            correlation="attribute_correlation_regression",
            distance="distance_covariance_regression",
            baselines=(Baseline("group_dro", "group_dro_regression", tunable=("step",)),),
        ),
        export=ExportText(
            shapes="``output`` [batch] or [batch, 1]: predictions; ``target`` [batch] or [batch, 1].",
            inputs=_inputs,
            example=_example,
            unit=True,
        ),
        picture=Picture("residual: prediction less target, in standard deviations", "residual", 4.0, _drawn),
    ),
    inferred=True,
)

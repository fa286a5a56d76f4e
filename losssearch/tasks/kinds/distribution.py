"""The distribution of a number: nineteen quantiles per sample, whichever head made them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from losssearch.data.batch import Batch
from losssearch.data.target_kind import Numbers
from losssearch.losses.offer import Provider
from losssearch.tasks.export_text import of_shared
from losssearch.tasks.heads import Head
from losssearch.tasks.kind import TaskKind, enter
from losssearch.tasks.task import SHARED, Baseline, Task
from losssearch.tasks.view import QUANTILES

LEVELS = tuple(round(0.05 * step, 2) for step in range(1, 20))
"""The levels of the quantiles that metrics read."""

MIDDLE = len(LEVELS) // 2
"""The place of the median among them."""

COMPONENTS = 3
"""Components of a mixture."""

LEAST = 1e-3
"""The smallest scale, in standard deviations of the target."""

STEP = 0.25
"""What a distance of neighbouring quantiles begins at, over ln 2."""

MOST_FREEDOM = 100.0

_HALVINGS = 24


def _columns(output: Tensor) -> Tensor:
    return output if output.dim() == 2 else output.unsqueeze(-1)


def _scale(columns: Tensor) -> Tensor:
    scale: Tensor = LEAST + F.softplus(columns)
    return scale


def _freedom(columns: Tensor) -> Tensor:
    """From 2, below which there is no variance, to nearly a normal distribution."""
    return 2 + (MOST_FREEDOM - 2) * torch.sigmoid(columns - 2)


def _quantiles(columns: Tensor) -> Tensor:
    """Nineteen ascending numbers of as many columns ``[..., 19]``: the median, and positive steps away from it."""
    median, steps = columns[..., MIDDLE : MIDDLE + 1], STEP * F.softplus(columns)
    below = steps[..., :MIDDLE].flip(-1).cumsum(-1).flip(-1)
    return torch.cat((median - below, median, median + steps[..., MIDDLE + 1 :].cumsum(-1)), -1)


def _mean(output: Tensor, batch: Batch, facts: Batch) -> Tensor:
    return _columns(output)[:, 0]


def _first_scale(output: Tensor, batch: Batch, facts: Batch) -> Tensor:
    return _scale(_columns(output)[:, 1])


def _third(output: Tensor, batch: Batch, facts: Batch) -> Tensor:
    return _freedom(_columns(output)[:, 2])


def _grid(output: Tensor, batch: Batch, facts: Batch) -> Tensor:
    return _quantiles(output[:, : len(LEVELS)])


def _means(output: Tensor, batch: Batch, facts: Batch) -> Tensor:
    return output[:, :COMPONENTS]


def _scales(output: Tensor, batch: Batch, facts: Batch) -> Tensor:
    return _scale(output[:, COMPONENTS : 2 * COMPONENTS])


def _logits(output: Tensor, batch: Batch, facts: Batch) -> Tensor:
    return output[:, 2 * COMPONENTS : 3 * COMPONENTS]


def _levels(like: Tensor) -> Tensor:
    return torch.tensor(LEVELS, dtype=torch.float64, device=like.device)


def _of_mean(outputs: Tensor, facts: Mapping[str, Tensor]) -> Tensor:
    """One number stands for every quantile until residual quantiles are added."""
    return outputs.expand(*outputs.shape[:-1], len(LEVELS))


def _of_normal(outputs: Tensor, facts: Mapping[str, Tensor]) -> Tensor:
    standard: Tensor = torch.special.ndtri(_levels(outputs)).to(outputs.dtype)
    return outputs[..., :1] + _scale(outputs[..., 1:2]) * standard


def _of_laplace(outputs: Tensor, facts: Mapping[str, Tensor]) -> Tensor:
    level = _levels(outputs)
    standard = -torch.sign(level - 0.5) * torch.log1p(-2 * (level - 0.5).abs())
    return outputs[..., :1] + _scale(outputs[..., 1:2]) * standard.to(outputs.dtype)


@cache
def _student_table() -> Tensor:
    """Quantiles of Student's t ``[points, levels]`` at degrees of freedom whose inverses are evenly spaced."""
    from scipy.stats import t

    inverse = torch.linspace(1 / MOST_FREEDOM, 0.5, 257, dtype=torch.float64)
    return torch.from_numpy(t.ppf(LEVELS, 1 / inverse[:, None].numpy()))


def _of_student(outputs: Tensor, facts: Mapping[str, Tensor]) -> Tensor:
    table = _student_table().to(outputs.device)
    low, high = 1 / MOST_FREEDOM, 0.5
    place = (1 / _freedom(outputs[..., 2].double()) - low) / (high - low) * (len(table) - 1)
    first = place.floor().clamp(0, len(table) - 2).nan_to_num()
    share = (place - first).unsqueeze(-1)
    below, above = table[first.long()], table[first.long() + 1]
    standard: Tensor = (below + share * (above - below)).to(outputs.dtype)
    return outputs[..., :1] + _scale(outputs[..., 1:2]) * standard


def _of_quantiles(outputs: Tensor, facts: Mapping[str, Tensor]) -> Tensor:
    return _quantiles(outputs)


def _of_mixture(outputs: Tensor, facts: Mapping[str, Tensor]) -> Tensor:
    """By halving: a quantile of a mixture lies between those of its components."""
    means, scales = outputs[..., :COMPONENTS], _scale(outputs[..., COMPONENTS : 2 * COMPONENTS])
    share = torch.softmax(outputs[..., 2 * COMPONENTS :], -1)
    level = _levels(outputs).to(outputs.dtype)
    each = means.unsqueeze(-1) + scales.unsqueeze(-1) * torch.special.ndtri(level)  # [..., components, levels]
    low, high = each.amin(-2), each.amax(-2)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        below = torch.zeros_like(middle)
        for k in range(COMPONENTS):
            own = slice(k, k + 1)
            below = below + share[..., own] * torch.special.ndtr((middle - means[..., own]) / scales[..., own])
        low, high = torch.where(below < level, middle, low), torch.where(below < level, high, middle)
    found: Tensor = (low + high) / 2
    return found


_TENSORS = {
    "mean": "output[:, 0]",
    "prediction": "output[:, 0]",
    "scale": f"{LEAST} + torch.nn.functional.softplus(output[:, 1])",
    "spread": f"{LEAST} + torch.nn.functional.softplus(output[:, 1])",
    "freedom": f"2 + {MOST_FREEDOM - 2} * torch.sigmoid(output[:, 2] - 2)",
    "component_means": f"output[:, :{COMPONENTS}]",
    "component_scales": f"{LEAST} + torch.nn.functional.softplus(output[:, {COMPONENTS}:{2 * COMPONENTS}])",
    "component_logits": f"output[:, {2 * COMPONENTS}:]",
}
"""How an exported loss makes each tensor."""

_STEPS = [
    f"steps = {STEP} * torch.nn.functional.softplus(output)",
    f"lower = output[:, {MIDDLE}:{MIDDLE + 1}] - steps[:, :{MIDDLE}].flip(-1).cumsum(-1).flip(-1)",
    f"upper = output[:, {MIDDLE}:{MIDDLE + 1}] + steps[:, {MIDDLE + 1}:].cumsum(-1)",
    f"quantiles = torch.cat((lower, output[:, {MIDDLE}:{MIDDLE + 1}], upper), -1)",
]


def _heads(classes: int) -> tuple[Head, ...]:
    raw = f"a scale before softplus, to which {LEAST} is added"
    return (
        Head("mean", 1, ("mean", "prediction"), _of_mean, ("the mean",)),
        Head("mean_and_scale", 2, ("mean", "prediction", "scale"), _of_normal, ("the mean", raw)),
        Head("mean_and_spread", 2, ("mean", "prediction", "spread"), _of_laplace, ("the median", raw)),
        Head(
            "student",
            3,
            ("mean", "prediction", "scale", "freedom"),
            _of_student,
            ("the centre", raw, "the degrees of freedom before a sigmoid"),
        ),
        Head(
            "quantiles",
            len(LEVELS),
            ("quantiles",),
            _of_quantiles,
            (f"column {MIDDLE} the median, the others what separates neighbouring quantiles, before softplus",),
        ),
        Head(
            "mixture",
            3 * COMPONENTS,
            ("component_logits", "component_means", "component_scales"),
            _of_mixture,
            (f"{COMPONENTS} means", f"{COMPONENTS} scales before softplus", f"{COMPONENTS} logits of their shares"),
        ),
    )


def _example(rows: int) -> tuple[str, Tensor]:
    text = f"1.5 * torch.arange(2, {2 * rows + 1}, 2, dtype=torch.float64).cos()"
    return text, 1.5 * torch.arange(2, 2 * rows + 1, 2, dtype=torch.float64).cos()


def _own_unit(quantiles: Tensor, mean: Tensor, scale: Tensor) -> Tensor:
    """Quantiles ``[..., N, levels]`` of standardised targets in the target's own unit."""
    return quantiles.double() * scale.unsqueeze(-1) + mean.unsqueeze(-1)


_grid_shape = f"quantiles at {LEVELS[0]:g}, {LEVELS[1]:g}, …, {LEVELS[-1]:g}, ascending [batch, {len(LEVELS)}]"

DISTRIBUTION = enter(
    TaskKind(
        name="distribution",
        target=Numbers(),
        task=Task(
            kind="distribution",
            heads=_heads,
            shared=True,
            offers=SHARED | {"target"} | {name for head in _heads(0) for name in head.gives},
            providers={
                "mean": Provider(_mean, "centre of the distribution [batch], in units of the standardised target"),
                "prediction": Provider(_mean, "model output [batch], in units of the standardised target"),
                "scale": Provider(_first_scale, "standard deviation, or scale, above 0 [batch]"),
                "spread": Provider(_first_scale, "mean absolute deviation, above 0 [batch]"),
                "freedom": Provider(_third, "degrees of freedom between 2 and 100 [batch]"),
                "quantiles": Provider(_grid, _grid_shape),
                "component_means": Provider(_means, "means of a mixture [batch, components]"),
                "component_scales": Provider(_scales, "standard deviations of a mixture [batch, components]"),
                "component_logits": Provider(_logits, "logits of the shares of a mixture [batch, components]"),
            },
            metric="crps",
            space="distribution",
            view=QUANTILES,
            menu=(
                Baseline("mse", "squared", "fixed"),
                Baseline("mse_tuned", "squared"),
                Baseline("absolute", "absolute"),
                Baseline("gaussian_nll", "gaussian_nll"),
                Baseline("gaussian_crps", "gaussian_crps"),
                Baseline("pinball_grid", "pinball_grid"),
                Baseline("beta_nll", "beta_nll", tunable=("beta",)),
                Baseline("laplace_nll", "laplace_nll"),
                Baseline("student_nll", "student_nll"),
                Baseline("gaussian_mixture_nll", "gaussian_mixture_nll"),
                Baseline("huber", "huber", tunable=("delta",)),
            ),
        ),
        own_unit=_own_unit,
        export=of_shared(
            _heads,
            _TENSORS,
            target=(
                "``target`` [batch]: standardised as the searched data's was",
                ["target = target.reshape(output.shape[0]).to(output.dtype)"],
            ),
            example=_example,
            more={"quantiles": _STEPS},
        ),
    )
)

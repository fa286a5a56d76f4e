"""What terms are like, measured at their defaults: the shape of the loss in the outputs, and where descent ends."""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy import stats
from torch import Tensor

from losssearch.losses import LossTerm
from tests.contracts.test_terms import evaluate, generator, inputs, output_index, values

ROWS, STEPS = 120, 220
TOLD: dict[str, dict[str, float]] = {
    "quantile": {"quantile": 0.8},
    "asymmetric_squared": {"asymmetry": 0.8},
    "cost_sensitive_cross_entropy": {"ratio": 3.0},
    "margin_label_smoothing": {"margin": 0.2},
    "tversky": {"alpha": 0.2},
}
"""Numbers of terms that would be another one at their defaults."""
LEVELS = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
LABELS = torch.tensor([0, 0, 0, 0, 0, 1, 1, 1, 2, 2])
PRIOR = torch.tensor([0.6, 0.3, 0.1], dtype=torch.float64)
TARGETS = torch.tensor([-0.5, -0.45, -0.3, -0.2, -0.1, 0.05, 0.1, 0.3, 0.7, 1.5, 3.0], dtype=torch.float64)
ZERO = torch.tensor(-1.0, dtype=torch.float64)


def losses(term: LossTerm, tensors: list[Tensor], output: Tensor) -> Tensor:
    """The values of the term where it reads ``output``."""
    at = output_index(term)
    told = {name: torch.tensor(value).double() for name, value in TOLD.get(term.name, {}).items()}
    return evaluate(term, [output if i == at else t for i, t in enumerate(tensors)], values(term) | told)


def slope(term: LossTerm, tensors: list[Tensor], output: Tensor) -> Tensor:
    """The gradient by the output, of the shape of the output."""
    leaf = output.clone().requires_grad_()
    value = losses(term, tensors, leaf)
    return torch.autograd.grad(value.sum(), leaf, materialize_grads=True)[0]


def drawn(term: LossTerm, scale: float, seed: int) -> tuple[list[Tensor], Tensor, Tensor]:
    """What the term reads, and two outputs; many samples where each has a loss of its own, otherwise few."""
    rows = ROWS if term.per_sample else 6
    tensors = inputs(term, generator(), rows)
    source = torch.Generator().manual_seed(seed)
    shape = tensors[output_index(term)].shape
    pair = [scale * torch.randn(shape, generator=source, dtype=torch.float64) for _ in range(2)]
    return tensors, pair[0], pair[1]


def is_convex(term: LossTerm) -> bool:
    """No chord lies below the loss."""
    for scale in (0.5, 3.0, 10.0):
        for seed in range(2 if term.per_sample else 60):
            tensors, a, b = drawn(term, scale, seed)
            ends = (losses(term, tensors, a) + losses(term, tensors, b)) / 2
            middle = losses(term, tensors, (a + b) / 2)
            if (middle > ends + 1e-9 * (1 + ends.abs())).any():
                return False
    return True


def is_smooth(term: LossTerm) -> bool:
    """Between two outputs, no jump of the gradient is left where it changes most."""
    for seed in range(1 if term.per_sample else 6):
        for scale in (1.0, 4.0) if term.per_sample else (2.0,):
            tensors, low, high = drawn(term, scale, seed)
            at_low, at_high = slope(term, tensors, low), slope(term, tensors, high)
            for _ in range(46):
                middle = (low + high) / 2
                at_middle = slope(term, tensors, middle)
                left = _change(term, at_low, at_middle) >= _change(term, at_middle, at_high)
                left = left.reshape(-1, *[1] * (low.dim() - 1)) if term.per_sample else left
                low, at_low = torch.where(left, low, middle), torch.where(left, at_low, at_middle)
                high, at_high = torch.where(left, middle, high), torch.where(left, at_middle, at_high)
            if (_change(term, at_low, at_high) > 1e-5).any():
                return False
    return True


def _change(term: LossTerm, one: Tensor, other: Tensor) -> Tensor:
    apart = (one - other).abs()
    return apart.reshape(len(apart), -1).amax(-1) if term.per_sample else apart.amax()


def is_bounded(term: LossTerm) -> bool:
    """The gradient of outputs that are thousands of times larger is no larger."""
    found = []
    for scale in (10.0, 1e5):
        tensors, output, _ = drawn(term, scale, 0)
        found.append(float(slope(term, tensors, output).abs().max()))
    return found[1] <= 3 * found[0]


def is_probabilistic(term: LossTerm, end: str) -> bool:
    """The right probabilities are where the expected loss is flat and least; or exp(-loss) is a density."""
    if "prediction" in term.reads:
        return "zero" not in term.reads and term.per_sample and _integrable(term)
    return end == "probabilities"


def _integrable(term: LossTerm) -> bool:
    """Whether the tails of exp(-loss) hold next to nothing of it."""
    edges = torch.cat((torch.linspace(0, 10, 400), torch.logspace(1, 7, 400)[1:])).double()
    middle, width = (edges[1:] + edges[:-1]) / 2, edges.diff()
    mass = sum(torch.exp(-losses(term, [middle * 0, side * middle], middle * 0)) * width for side in (1, -1))
    assert isinstance(mass, Tensor)
    return bool(mass[middle > 1e5].sum() < 1e-3 * mass.sum())


def descended(term: LossTerm, tensors: list[Tensor], start: Tensor, rows: int) -> Tensor:
    """The output where gradient descent ends that all ``rows`` samples share; their own ones where rows is 0."""
    output = start.clone().requires_grad_()
    optimizer = torch.optim.Adam([output], 0.1)
    course = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    for _ in range(STEPS):
        optimizer.zero_grad()
        shown = output.expand(rows, *output.shape) if rows else output
        losses(term, tensors, shown).mean().backward()
        optimizer.step()
        course.step()
    return output.detach()


def of_classes(term: LossTerm, labels: Tensor, prior: Tensor, output: Tensor) -> list[Tensor]:
    """What the term reads of these labels and outputs."""
    progress = torch.tensor(0.5, dtype=torch.float64)
    made = {"labels": labels, "class_prior": prior, "logits": output, "logit": output, "progress": progress}
    made["scores"] = output
    return [made[name] for name in term.reads]


def probabilities_at_the_end(term: LossTerm) -> tuple[Tensor, Tensor, Tensor]:
    """Of a shared output: the model's probabilities, the shares of the labels, and the prior that the term was told."""
    if "logit" in term.reads:
        labels, prior = (LABELS > 0).long(), torch.tensor([0.6, 0.4], dtype=torch.float64)
        shares = torch.tensor([0.3, 0.7], dtype=torch.float64)
        labels = torch.tensor([0] * 3 + [1] * 7)
        given = of_classes(term, labels, prior, torch.zeros(10, dtype=torch.float64))
        end = descended(term, given, torch.tensor(0.05, dtype=torch.float64), 10)
        return torch.stack((torch.sigmoid(-end), torch.sigmoid(end))), shares, prior
    start = torch.tensor([0.1, 0.0, -0.1], dtype=torch.float64)
    given = of_classes(term, LABELS, PRIOR, torch.zeros(10, 3, dtype=torch.float64))
    end = descended(term, given, start, 10)
    return torch.softmax(end, -1), LEVELS, PRIOR


def ends_at(term: LossTerm) -> str:
    """Where descent ends, as `losssearch.losses.traits.ENDS` calls it."""
    if "prediction" in term.reads:
        return _end_of_numbers(term)
    if not term.per_sample or not {"logit", "logits"} & set(term.reads):
        return _end_of_batches(term)
    p, q, prior = probabilities_at_the_end(term)
    if "labels" not in term.reads:
        return "certainty" if p.max() > 0.98 else "?"
    if (p - q).abs().max() < 5e-3:
        return "probabilities"
    rises = (p / q).log()[prior.argsort()].diff()
    if "class_prior" in term.reads and (rises < 1e-2).all() and (rises < -0.1).any():
        return "prior-adjusted probabilities"
    if "logit" in term.reads and abs(float((p[1] / p[0]) / (q[1] / q[0])) - 3) < 0.05:
        return "cost-weighted probabilities"
    if p.max() > 0.98:
        return "most frequent class"
    if p.argmax() != q.argmax():
        return "?"
    apart = (q - 1 / len(q)) / (p - 1 / len(p))
    if len(p) > 2 and apart.max() < 1 and apart.max() - apart.min() < 2e-2:
        return "denoised probabilities"
    return "smoothed probabilities" if _entropy(p) > _entropy(q) else "sharpened probabilities"


def _entropy(p: Tensor) -> Tensor:
    return torch.special.entr(p).sum()


def _end_of_batches(term: LossTerm) -> str:
    if "labels" not in term.reads:  # a penalty on columns
        source = torch.randn(10, 3, generator=generator(), dtype=torch.float64)
        end = descended(term, of_classes(term, LABELS, PRIOR, source), source, 0)
        columns = torch.cov(end.mT)
        return "independence" if (columns - columns.diag().diag()).abs().max() < 1e-2 else "?"
    if "logits" in term.reads and not term.scaled:
        start = torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64)
        end = descended(term, of_classes(term, LABELS, PRIOR, start.expand(10, 3)), start, 10)
        return "agreement" if abs(float(torch.softmax(end, -1).max()) - 0.5) < 1e-2 else "?"
    labels = LABELS if "logits" in term.reads else (LABELS > 0).long()
    shape = (10, 3) if "logits" in term.reads else (10,)
    start = 0.1 * torch.randn(shape, generator=generator(), dtype=torch.float64)
    end = descended(term, of_classes(term, labels, PRIOR[: 3 if "logits" in term.reads else 2], start), start, 0)
    if "logits" in term.reads:
        return "separation" if (end.argmax(-1) == labels).all() else "?"
    return "separation" if end[labels == 1].min() > end[labels == 0].max() else "?"


def _numbers(term: LossTerm, targets: Tensor, output: Tensor) -> list[Tensor]:
    return [{"prediction": output, "target": targets, "zero": ZERO}[name] for name in term.reads]


def _end_of_numbers(term: LossTerm) -> str:
    rows = len(TARGETS)
    if not term.per_sample:
        end = descended(term, _numbers(term, TARGETS, TARGETS), TARGETS, 0)
        beyond = (end - TARGETS)[[0, -1]] * torch.tensor([-1.0, 1.0]) > 1e-3
        return "beyond the target" if beyond.all() else "?"
    end = float(descended(term, _numbers(term, TARGETS, TARGETS), torch.tensor(0.2, dtype=torch.float64), rows))
    size = (TARGETS - ZERO).abs()
    order = TARGETS.argsort()
    share = (1 / size)[order].cumsum(0) / (1 / size).sum()
    unit = float(term.defaults.get("unit", 1.0))
    logs = torch.log1p((TARGETS - ZERO) / unit).mean()
    expected = {
        "mean": float(TARGETS.mean()),
        "median": float(TARGETS.median()),
        "quantile": float(np.quantile(TARGETS.numpy(), 0.8, method="inverted_cdf")),
        "expectile": float(stats.expectile(TARGETS.numpy(), 0.8)),
    }
    if "zero" in term.reads:
        expected["weighted median"] = float(TARGETS[order][int((share < 0.5).sum())])
        expected["log mean"] = unit * math.expm1(float(logs)) + float(ZERO)
    found = min(expected, key=lambda name: abs(expected[name] - end))
    if abs(expected[found] - end) < 5e-3:
        return found
    centred = TARGETS.new_tensor([-2.5, -0.9, -0.3, -0.1, 0.0, 0.1, 0.3, 0.9, 2.5]) + 0.4
    end = float(descended(term, _numbers(term, centred, centred), torch.tensor(0.2, dtype=torch.float64), 9))
    return "centre" if abs(end - 0.4) < 1e-2 else "?"

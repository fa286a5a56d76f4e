"""Value and gradient of one term as curves, for ``losssearch terms NAME --plot``.

A classification term is drawn against the score z of class 1, one curve per class, class 1 being the rarer one;
a regression term against the error. A term that returns one value per batch is drawn on a batch of one sample of
each class, both at the same margin; if it compares groups, each sample is its own group, and a regression gets a second
sample without error. A term of times is drawn for a row with the event and one without, against the hazard in both of
two bins or the error of the log time; a term of grades against its score, one curve per grade. What a term carries from
batch to batch is empty.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from torch.func import vmap

from losssearch.losses.state import Dimensions
from losssearch.losses.term import LossTerm

RARE_SHARE = 0.2
"""Share of class 1 in the drawn example, so that terms that read ``class_prior`` show what they do with it."""

GIVEN = frozenset({"parameters", "input_gradient", "mixed"})
"""What a training loop gives; such a term is drawn against one number of it."""

ZERO = -1.0
"""Where the target's own zero lies in the drawn example: one standard deviation below the target."""


GRADES = 4
"""How many grades the drawn example has."""


@dataclass(frozen=True)
class Curves:
    """Points [points] of the axis, and by the name of a curve its values and gradients, both [points]."""

    axis: str
    points: Tensor
    values: Mapping[str, Tensor]
    gradients: Mapping[str, Tensor]


def curves(term: LossTerm) -> Curves:
    """Evaluate ``term`` at its default hyperparameters and initial learned values, in double precision."""
    given = GIVEN.intersection(term.reads)
    regression = not {"prediction", "target"}.isdisjoint(term.reads) or bool(given)
    points = torch.linspace(-4 if regression else -6, 4 if regression else 6, 401, dtype=torch.float64)
    points.requires_grad_()
    axis, names = min(given, default="error (prediction − target)").replace("_", " "), ["value"]
    if "event" in term.reads and term.per_sample:
        axis = axis if regression else "logit of the hazard in both of two bins"
        names = ["followed without the event", "event seen"]
    elif "document_scores" in term.reads:
        axis = "score of the relevant document (that of the other is 0)"
    elif "grade" in term.reads:
        axis, names = "score, or logit of each cut", [f"grade {grade}" for grade in range(GRADES)]
    elif not regression:
        axis = "score z of class 1" if term.per_sample else "margin of both samples"
        names = ["label 0", f"label 1 ({RARE_SHARE:.0%} of the data)"] if term.per_sample else ["value"]
    values = vmap(partial(_at, term))(points)
    gradients = [
        torch.autograd.grad(column.sum(), points, retain_graph=True, materialize_grads=True)[0]
        for column in values.unbind(1)
    ]
    return Curves(
        axis,
        points.detach(),
        dict(zip(names, values.detach().unbind(1), strict=True)),
        dict(zip(names, gradients, strict=True)),
    )


def _at(term: LossTerm, point: Tensor) -> Tensor:
    """The value at one point: [1], or [2] for two labels or for a row without and one with the event, or [grades]."""
    sign = torch.tensor([1.0, 1.0] if term.per_sample else [-1.0, 1.0], dtype=point.dtype)
    logit = point * sign
    pair = bool({"group", "distance"}.intersection(term.reads))
    timed = "event" in term.reads and term.per_sample
    prediction = torch.stack((point, torch.zeros_like(point))) if pair else point.reshape(1).expand(1 + timed)
    logits = torch.stack([-logit / 2, logit / 2], dim=-1)
    offered = {
        "logit": logit,
        "logits": logits,
        "labels": torch.tensor([0, 1]),
        "class_prior": torch.tensor([1 - RARE_SHARE, RARE_SHARE], dtype=point.dtype),
        "prediction": prediction,
        "scores": logits,
        "predicted": torch.stack([torch.sigmoid(-logit), torch.sigmoid(logit)], dim=-1),
        "plain_loss": torch.nn.functional.cross_entropy(logits, torch.tensor([0, 1]), reduction="none"),
        "goal": torch.eye(2, dtype=point.dtype),
        "target": torch.zeros_like(prediction),
        "zero": torch.tensor(ZERO, dtype=point.dtype),
        "group": torch.eye(2, dtype=point.dtype),
        "distance": 1 - torch.eye(2, dtype=point.dtype),
        "progress": torch.tensor(0.5, dtype=point.dtype),
        "risk": logit,
        "hazards": logits.new_ones(2, 2) * point,
        "time": torch.tensor([2.0, 2.0] if timed else [2.0, 1.0], dtype=point.dtype),
        "event": torch.tensor([0.0, 1.0] if timed else [1.0, 1.0], dtype=point.dtype),
        "interval": torch.ones(2, dtype=point.dtype),
        "score": point.expand(GRADES),
        "cut_logits": point.expand(GRADES, GRADES - 1),
        "grade": torch.arange(GRADES),
        "document_scores": torch.stack((point, torch.zeros_like(point))).unsqueeze(0),
        "relevance": torch.tensor([[1.0, 0.0]], dtype=point.dtype),
        "present": torch.ones(1, 2, dtype=point.dtype),
        "parameters": point.reshape(1),
        "input_gradient": point.reshape(1, 1),
        "mixed": point.reshape(1, 1),
        "mixture": torch.zeros(1, 1, dtype=point.dtype),
        "rate": prediction,
        "log_rate": prediction,
        "zero_logit": torch.zeros_like(prediction),
        "exposure": torch.ones_like(prediction),
        "mean": prediction,
        "scale": torch.ones_like(prediction),
        "spread": torch.ones_like(prediction),
        "freedom": 5 * torch.ones_like(prediction),
        "quantiles": prediction.unsqueeze(-1) + torch.linspace(-1.6, 1.6, 19, dtype=point.dtype),
        "component_means": prediction.unsqueeze(-1) + torch.tensor([-1.0, 0.0, 1.0], dtype=point.dtype),
        "component_scales": point.new_ones(len(prediction), 3),
        "component_logits": point.new_zeros(len(prediction), 3),
    }
    tuned = {
        name: value if isinstance(value, str) else torch.tensor(float(value), dtype=point.dtype)
        for name, value in term.defaults.items()
    }
    choices = {name: value for name, value in term.defaults.items() if isinstance(value, str)}
    classes = GRADES if "grade" in term.reads else 2
    dimensions = Dimensions(classes, groups=2, rows=2, features=1, outputs=1, choices=choices)
    kept = {name: state.start(dimensions, name).to(point.dtype) for name, state in term.states.items()}
    return term(*(offered[name] for name in term.reads), **tuned, **kept).reshape(-1)


def draw(term: LossTerm, file: Path) -> None:
    """Write the curves of ``term`` to ``file``, value on the left and gradient on the right."""
    from matplotlib.figure import Figure

    drawn = curves(term)
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    panels = figure.subplots(1, 2)
    for panel, title, lines in zip(panels, ("value", "gradient"), (drawn.values, drawn.gradients), strict=True):
        for name, line in lines.items():
            panel.plot(drawn.points, line, label=name)
        panel.axhline(0, color="0.8", linewidth=0.8, zorder=0)
        panel.set(title=title, xlabel=drawn.axis)
    if len(drawn.values) > 1:
        panels[0].legend(frameon=False)
    tuned = ", ".join(f"{name}={value}" for name, value in term.defaults.items())
    figure.suptitle(f"{term.name}({tuned})" if tuned else term.name)
    figure.savefig(file, dpi=150)

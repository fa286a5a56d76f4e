"""Two classes: one logit per sample, decided by a threshold."""

from __future__ import annotations

import torch
from torch import Tensor

from losssearch.data.target_kind import Classes
from losssearch.tasks.export_text import Example, ExportText, Known, class_labels_line, of_logits
from losssearch.tasks.heads import Head
from losssearch.tasks.kind import GroupMenu, TaskKind, enter
from losssearch.tasks.menus import CELLS, REWEIGHTED_GROUPS, WRONG_LABELS
from losssearch.tasks.picture import Picture
from losssearch.tasks.task import NEUTRAL, SHARED, Baseline, Task
from losssearch.tasks.view import LOGIT


def _heads(classes: int) -> tuple[Head, ...]:
    return (Head("logit", 1),)


def _inputs(known: Known) -> list[str]:
    lines = class_labels_line(known)
    lines.append("two_scores = output.dim() == 2 and output.shape[1] == 2")
    lines.append("logit = output[:, 1] - output[:, 0] if two_scores else output.reshape(output.shape[0])")
    if known.spec.reads & {"logits", *NEUTRAL}:
        lines.append("logits = output if two_scores else torch.stack((-logit / 2, logit / 2), dim=-1)")
    lines += of_logits(known)
    return lines


def _example(known: Known) -> Example:
    lines = [
        "loss = Loss().double()",
        "output = 2 * torch.arange(1, 13, dtype=torch.float64).sin()",
        "target = torch.arange(12) % 3 % 2",
    ]
    return lines, 2 * torch.arange(1, 13, dtype=torch.float64).sin(), torch.arange(12) % 3 % 2, None


def _drawn(place: Tensor, label: int, classes: int, others: Tensor) -> tuple[Tensor, Tensor]:
    labels = torch.cat([torch.tensor([label]), torch.arange(len(others)) % classes])
    margin = torch.cat([place[None], others])
    return torch.where(labels == 1, margin, -margin), labels


BINARY = enter(
    TaskKind(
        name="binary",
        target=Classes(2),
        task=Task(
            kind="binary",
            heads=_heads,
            offers=SHARED | NEUTRAL | {"logit", "logits", "labels", "class_prior"},
            metric="average_precision",
            space="binary",
            view=LOGIT,
            menu=(
                Baseline("cross_entropy", "binary_cross_entropy", "fixed"),
                Baseline("cross_entropy_tuned", "binary_cross_entropy"),
                Baseline("weighted_cross_entropy", "weighted_cross_entropy", tunable=("power",)),
                Baseline("focal", "focal", tunable=("gamma",)),
                Baseline("label_smoothing", "binary_cross_entropy", fixed={"smoothing": 0.1}, tunable=("smoothing",)),
                Baseline("logit_adjustment", "logit_adjustment", tunable=("tau",)),
                Baseline("ldam", "ldam", tunable=("max_margin",)),
                Baseline("generalised_cross_entropy", "generalised_cross_entropy", tunable=("q",)),
                Baseline("squared_hinge", "squared_hinge"),
                Baseline("brier", "brier"),
                *WRONG_LABELS,
            ),
            further=(Baseline("cost_sensitive", "cost_sensitive_cross_entropy", aims={"ratio": "ratio"}),),
        ),
        decided="decisions",
        groups=GroupMenu(
            disparity="group_disparity",
            correlation="attribute_correlation",
            distance="distance_covariance",
            baselines=REWEIGHTED_GROUPS,
            cells=CELLS,
            front=True,
        ),
        export=ExportText(
            shapes="``output`` [batch] or [batch, 1]: logits of class 1, or [batch, 2]; ``target`` [batch]: 0 or 1.",
            inputs=_inputs,
            example=_example,
            soft=", or of class 1 [batch]",
        ),
        picture=Picture("margin: logit of the true class", "margin", 6.0, _drawn),
    ),
    inferred=True,
)

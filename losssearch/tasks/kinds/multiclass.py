"""Any number of classes: a score per class, decided by the largest."""

from __future__ import annotations

import torch
from torch import Tensor

from losssearch.data.target_kind import Classes
from losssearch.tasks.export_text import SHOWN_CLASSES, Example, ExportText, Known, class_labels_line, of_logits
from losssearch.tasks.heads import Head
from losssearch.tasks.kind import GroupMenu, TaskKind, enter
from losssearch.tasks.menus import CELLS, REWEIGHTED_GROUPS, WRONG_LABELS
from losssearch.tasks.picture import Picture
from losssearch.tasks.task import NEUTRAL, SHARED, Baseline, Task
from losssearch.tasks.view import LOGITS


def _heads(classes: int) -> tuple[Head, ...]:
    return (Head("logits", classes),)


def _inputs(known: Known) -> list[str]:
    reads = known.spec.reads
    lines = class_labels_line(known)
    lines += ["logits = output"] * bool(reads & {"logits", *NEUTRAL})
    lines += ["logit = output[:, -1] - output[:, 0]"] * ("logit" in reads)
    lines += of_logits(known)
    return lines


def _example(known: Known) -> Example:
    # What a loss carries has a row for each of its classes.
    shown = known.classes if known.remembers else min(known.classes, SHOWN_CLASSES)
    rows = max(8, shown)
    short = known.reads_prior and shown < known.classes
    made = [
        f"prior = torch.tensor(CLASS_PRIOR[:{shown}], dtype=torch.float64)",
        "loss = Loss(prior / prior.sum()).double()",
    ]
    lines = [
        *(made if short else ["loss = Loss().double()"]),
        f"output = 2 * torch.arange(1, {rows * shown + 1}, dtype=torch.float64).sin().reshape({rows}, {shown})",
        f"target = torch.arange({rows}) % {shown}",
    ]
    output = 2 * torch.arange(1, rows * shown + 1, dtype=torch.float64).sin().reshape(rows, shown)
    target = torch.arange(rows) % shown
    if not short:
        return lines, output, target, None
    prior = torch.tensor((known.class_prior or ())[:shown], dtype=torch.float64)
    return lines, output, target, (prior / prior.sum()).float().double()


def _drawn(place: Tensor, label: int, classes: int, others: Tensor) -> tuple[Tensor, Tensor]:
    labels = torch.cat([torch.tensor([label]), torch.arange(len(others)) % classes])
    margin = torch.cat([place[None], others])
    return margin[:, None] * torch.nn.functional.one_hot(labels, classes), labels


MULTICLASS = enter(
    TaskKind(
        name="multiclass",
        target=Classes(),
        task=Task(
            kind="multiclass",
            heads=_heads,
            offers=SHARED | NEUTRAL | {"logits", "labels", "class_prior"},
            metric="balanced_accuracy",
            space="multiclass",
            view=LOGITS,
            menu=(
                Baseline("cross_entropy", "cross_entropy", "fixed"),
                Baseline("cross_entropy_tuned", "cross_entropy"),
                Baseline("weighted_cross_entropy", "weighted_cross_entropy", tunable=("power",)),
                Baseline("focal", "focal", tunable=("gamma",)),
                Baseline("label_smoothing", "cross_entropy", fixed={"smoothing": 0.1}, tunable=("smoothing",)),
                Baseline("logit_adjustment", "logit_adjustment", tunable=("tau",)),
                Baseline("ldam", "ldam", tunable=("max_margin",)),
                Baseline("generalised_cross_entropy", "generalised_cross_entropy", tunable=("q",)),
                Baseline("brier", "brier"),
                *WRONG_LABELS,
            ),
        ),
        decided="decisions",
        groups=GroupMenu(
            disparity="group_disparity_multiclass",
            correlation="attribute_correlation",
            distance="distance_covariance",
            baselines=REWEIGHTED_GROUPS,
            cells=CELLS,
        ),
        export=ExportText(
            shapes="``output`` [batch, classes]: logits; ``target`` [batch]: class numbers from 0.",
            inputs=_inputs,
            example=_example,
        ),
        picture=Picture("margin: logit of the true class less the others (all equal)", "margin", 6.0, _drawn),
    ),
    inferred=True,
)

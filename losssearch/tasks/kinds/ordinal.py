"""Grades, classes in an order: a score with cuts, a logit per cut, or a logit per grade; metrics read the last."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from losssearch.data.batch import Batch
from losssearch.data.target_kind import Classes
from losssearch.losses.inputs import PROVIDERS
from losssearch.losses.offer import Provider
from losssearch.tasks.export_text import Example, ExportText, Known, class_labels_line
from losssearch.tasks.heads import Head, narrowest
from losssearch.tasks.kind import TaskKind, enter
from losssearch.tasks.task import SHARED, Baseline, Task
from losssearch.tasks.view import GRADES

APART = 1e-3 + 0.6931471805599453
"""How far apart the cuts of a score are that metrics read; where `cumulative_logit` begins."""

LEAST = 1e-9


def _columns(output: Tensor) -> Tensor:
    return output if output.dim() == 2 else output.unsqueeze(-1)


def _score(output: Tensor, batch: Batch, facts: Batch) -> Tensor:
    return _columns(output)[:, 0]


def _cut_logits(output: Tensor, batch: Batch, facts: Batch) -> Tensor:
    """All columns; of a model that is as wide as there are grades, all but the last."""
    return _columns(output)[:, : facts["class_prior"].shape[-1] - 1]


def _grade(output: Tensor, batch: Batch, facts: Batch) -> Tensor:
    return batch["target"].reshape(output.shape[0]).long()


def _logits_of(beyond: Tensor) -> Tensor:
    """Logits of grades from the probabilities ``[..., K - 1]`` to be beyond each but the last."""
    share = F.pad(beyond, (1, 0), value=1.0) - F.pad(beyond, (0, 1), value=0.0)
    return share.clamp_min(LEAST).log()


def _of_score(outputs: Tensor, facts: Mapping[str, Tensor], *, grades: int) -> Tensor:
    """Cuts at equal distances around 0; decisions are by cuts that are tuned on the expected grade."""
    cuts = APART * (torch.arange(grades - 1, dtype=outputs.dtype, device=outputs.device) - (grades - 2) / 2)
    return _logits_of(torch.sigmoid(outputs[..., :1] - cuts))


def _of_cuts(outputs: Tensor, facts: Mapping[str, Tensor]) -> Tensor:
    return _logits_of(torch.sigmoid(outputs).cumprod(-1))


def _of_logits(outputs: Tensor, facts: Mapping[str, Tensor]) -> Tensor:
    return outputs


def _heads(classes: int) -> tuple[Head, ...]:
    grades = max(classes, 2)
    return (
        Head("score", 1, ("score",), partial(_of_score, grades=grades), ("a score that grows with the grade",)),
        Head(
            "cuts",
            grades - 1,
            ("cut_logits",),
            _of_cuts,
            ("of each grade but the last, the logit of going beyond it, having come so far",),
        ),
        Head("logits", grades, ("logits", "labels"), _of_logits, ("a logit per grade, the lowest first",)),
    )


def _inputs(known: Known) -> list[str]:
    reads, width = known.spec.reads, narrowest(_heads(known.classes), known.spec.reads).width
    lines = [f"output = output.reshape(output.shape[0], {width})", *class_labels_line(known)]
    lines += ["score = output[:, 0]"] * ("score" in reads)
    lines += ["cut_logits = output"] * ("cut_logits" in reads)
    lines += ["logits = output"] * ("logits" in reads)
    lines += ["grade = target.reshape(output.shape[0]).long()"] * ("grade" in reads)
    return lines


def _shapes(known: Known) -> str:
    head = narrowest(_heads(known.classes), known.spec.reads)
    shape = "[batch] or [batch, 1]" if head.width == 1 else f"[batch, {head.width}]"
    return f"``output`` {shape}: {head.columns[0]}; ``target`` [batch]: grades from 0, in their order."


def _example(known: Known) -> Example:
    width, rows = narrowest(_heads(known.classes), known.spec.reads).width, 12
    shape = f".reshape({rows}, {width})" if width > 1 else ""
    lines = [
        "loss = Loss().double()",
        f"output = 2 * torch.arange(1, {rows * width + 1}, dtype=torch.float64).sin(){shape}",
        f"target = torch.arange({rows}) % {known.classes}",
    ]
    output = 2 * torch.arange(1, rows * width + 1, dtype=torch.float64).sin()
    return lines, output.reshape(rows, width) if width > 1 else output, torch.arange(rows) % known.classes, None


ORDINAL = enter(
    TaskKind(
        name="ordinal",
        target=Classes(ordered=True),
        task=Task(
            kind="ordinal",
            heads=_heads,
            shared=True,
            offers=SHARED | {"score", "cut_logits", "logits", "grade", "labels", "class_prior"},
            providers={
                "score": Provider(_score, "a score that grows with the grade [batch]"),
                "cut_logits": Provider(
                    _cut_logits,
                    "logits of going beyond each grade but the last [batch, grades - 1]",
                    facts=("class_prior",),
                    ask="class_prior, the share of each grade, a tensor [grades]",
                ),
                "grade": Provider(_grade, "grades from 0 [batch], int64", fields=("target",)),
                "labels": PROVIDERS["labels"],
            },
            metric="quadratic_kappa",
            space="ordinal",
            view=GRADES,
            menu=(
                Baseline("cross_entropy", "cross_entropy", "fixed"),
                Baseline("cross_entropy_tuned", "cross_entropy"),
                Baseline("cumulative_logit", "cumulative_logit"),
                Baseline("squared_emd", "squared_emd"),
                Baseline("coral", "coral"),
                Baseline("corn", "corn"),
                Baseline("soft_kappa", "soft_kappa"),
                Baseline("focal", "focal", tunable=("gamma",)),
                Baseline("label_smoothing", "cross_entropy", fixed={"smoothing": 0.1}, tunable=("smoothing",)),
            ),
        ),
        decided="decisions",
        export=ExportText(shapes=_shapes, inputs=_inputs, example=_example),
    )
)

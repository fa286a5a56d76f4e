"""Ranked queries: one score per document of a query, judged by the order that the scores give."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from losssearch.data.batch import Batch
from losssearch.data.target_kind import Values
from losssearch.losses.offer import Provider
from losssearch.tasks.export_text import Example, ExportText, Known
from losssearch.tasks.heads import Head
from losssearch.tasks.kind import TaskKind, enter
from losssearch.tasks.task import SHARED, Baseline, Task
from losssearch.tasks.view import RANKED

_QUERIES, _DOCUMENTS = 4, 5
"""Of the example in an exported loss."""


def _heads(documents: int) -> tuple[Head, ...]:
    return (Head("document_scores", max(documents, 1)),)


def _check(target: NDArray[Any], names: Sequence[str], where: str) -> None:
    """Grades are looked at where documents are gathered into queries."""


def _score(output: Tensor, batch: Batch, facts: Batch) -> Tensor:
    return output


def _grade(output: Tensor, batch: Batch, facts: Batch) -> Tensor:
    return batch["target"].to(output.dtype).clamp(min=0)


def _present(output: Tensor, batch: Batch, facts: Batch) -> Tensor:
    return (batch["target"] >= 0).to(output.dtype)


def _inputs(known: Known) -> list[str]:
    lines = {
        "document_scores": "document_scores = output",
        "relevance": "relevance = target.to(output.dtype).clamp(min=0)",
        "present": "present = (target >= 0).to(output.dtype)",
    }
    return [line for name, line in lines.items() if name in known.spec.reads]


def _example(known: Known) -> Example:
    count = _QUERIES * _DOCUMENTS
    output = 2 * torch.arange(1, count + 1, dtype=torch.float64).sin().reshape(_QUERIES, _DOCUMENTS)
    target = (torch.arange(count) % 4 - 1).double().reshape(_QUERIES, _DOCUMENTS)
    shape = f".reshape({_QUERIES}, {_DOCUMENTS})"
    lines = [
        "loss = Loss().double()",
        f"output = 2 * torch.arange(1, {count + 1}, dtype=torch.float64).sin(){shape}",
        f"target = (torch.arange({count}) % 4 - 1).double(){shape}",
    ]
    return lines, output, target, None


RANKING = enter(
    TaskKind(
        name="ranking",
        target=Values(check=_check, reads=("query",), needs=("query",), lists=True),
        task=Task(
            kind="ranking",
            heads=_heads,
            by_size=True,
            offers=SHARED | {"document_scores", "relevance", "present"},
            providers={
                "document_scores": Provider(_score, "score of each document [queries, documents]"),
                "relevance": Provider(
                    _grade, "grade of each document [queries, documents], 0 for padding", fields=("target",)
                ),
                "present": Provider(
                    _present, "1 for a document and 0 for padding [queries, documents]", fields=("target",)
                ),
            },
            metric="ndcg(k=10)",
            space="ranking",
            view=RANKED,
            menu=(
                Baseline("mse", "grade_squared", "fixed"),
                Baseline("mse_tuned", "grade_squared"),
                Baseline("pairwise_logistic", "pairwise_logistic", tunable=("steepness",)),
                Baseline("lambda_loss", "lambda_loss", tunable=("steepness",)),
                Baseline("list_net", "list_net"),
                Baseline("list_mle", "list_mle"),
                Baseline("softmax_gain", "softmax_gain"),
                Baseline("approx_ndcg", "approx_ndcg", tunable=("temperature",)),
            ),
        ),
        decided="scores",
        export=ExportText(
            shapes="``output`` [queries, documents]: a score per document; ``target`` [queries, documents]: the grade "
            "of each document, from 0, and below 0 for padding.",
            inputs=_inputs,
            example=_example,
        ),
    )
)

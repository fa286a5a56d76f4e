"""Exported losses of tasks whose heads share columns: as wide as the head that they read, and the searched loss."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from losssearch.export.facts import LossFacts
from losssearch.export.source import loss_source
from losssearch.losses import terms
from losssearch.losses.spec import LossSpec
from losssearch.tasks import TASKS

LOSSES = [
    (kind, name)
    for kind, task in TASKS.items()
    if task.shared
    for name, term in terms.items()
    if term.fits(task.offers) and not any(state.by_row or state.shape != () for state in term.states.values())
]
"""Without those that keep an array: an exported loss reads it from a file."""
CLASSES = 4


def exported(kind: str, name: str) -> tuple[LossFacts, dict[str, Any], str]:
    spec = LossSpec.from_json({"parts": [{"term": name, "scale": 0.37}]})
    nominal = TASKS[kind].view.labels
    prior = (0.4, 0.3, 0.2, 0.1) if nominal else None
    facts = LossFacts(spec, kind, classes=CLASSES if nominal else 2, class_prior=prior)
    text = loss_source(facts)
    namespace: dict[str, Any] = {"__name__": "loss"}
    exec(compile(text, "loss.py", "exec"), namespace)
    return facts, namespace, text


@pytest.mark.parametrize(("kind", "name"), LOSSES)
def test_an_exported_loss_is_the_searched_one(kind: str, name: str) -> None:
    facts, namespace, _ = exported(kind, name)
    difference, slope = namespace["check"]()
    assert difference < 1e-12
    assert slope < 1e-12
    lines, output, target, _ = facts.kind.export.example(facts)
    assert lines
    width = TASKS[kind].head(facts.spec.reads, facts.classes).width
    assert output.shape == ((len(target),) if width == 1 else (len(target), width))
    fields = {name: facts.kind.export.fields[name].example(len(target))[1] for name in facts.own_fields()}
    found = namespace["Loss"]().double()(output, target, **fields)
    torch.testing.assert_close(found, facts.module().double()(output, target, **fields))


def test_the_docstring_says_what_the_columns_mean() -> None:
    _, _, text = exported("distribution", "gaussian_nll")
    assert "``output`` [batch, 2]: the mean, a scale before softplus" in text
    assert "``output`` [batch] or [batch, 1]: the mean" in exported("distribution", "squared")[2]

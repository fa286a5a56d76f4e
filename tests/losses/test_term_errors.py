"""A user's own term that raises: one line that names it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from losssearch.errors import InterruptedStudyError, ModelError
from losssearch.losses import term
from losssearch.losses.population import PopulationLoss
from losssearch.losses.spec import LossSpec

SPEC = LossSpec.from_json({"parts": [{"term": "hinge"}]})


def leave(logits: Tensor, labels: Tensor) -> Tensor:
    sys.exit(0)


def choose(logits: Tensor, labels: Tensor) -> Tensor:
    return logits[:, 0] if bool(logits.sum() > 0) else logits[:, 1]


def fail(logits: Tensor, labels: Tensor) -> Tensor:
    raise LookupError("no such\n row")


def stop(logits: Tensor, labels: Tensor) -> Tensor:
    raise InterruptedStudyError("stopped")


def starve(logits: Tensor, labels: Tensor) -> Tensor:
    raise RuntimeError("DefaultCPUAllocator: can't allocate memory")


def wide(logits: Tensor, labels: Tensor) -> Tensor:
    return logits[:, :2]


def mean(logits: Tensor, labels: Tensor) -> Tensor:
    return logits.mean()


def text(logits: Tensor, labels: Tensor) -> Tensor:
    return "low"  # type: ignore[return-value]


def value(function: Callable[..., Tensor], monkeypatch: pytest.MonkeyPatch) -> Tensor:
    monkeypatch.setitem(term._registry, "hinge", replace(term.registry["hinge"], function=function))
    outputs, target = torch.randn(1, 1, 6, 3), torch.arange(6)[None] % 3
    return PopulationLoss([SPEC])(outputs, {"target": target}, {}, torch.zeros(1, 1, 0), torch.zeros(()))


@pytest.mark.parametrize(
    ("function", "said"),
    [(leave, "SystemExit: 0"), (fail, "LookupError: no such row"), (choose, "RuntimeError: vmap: It looks like")],
)
def test_a_fault_of_a_users_term_names_it(
    function: Callable[..., Tensor], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ModelError, match=rf"the loss term .*\.hinge raised {said}"):
        value(function, monkeypatch)


@pytest.mark.parametrize(
    ("function", "found"), [(wide, r"the shape \[6, 2\]"), (mean, r"the shape \[\]"), (text, "str")]
)
def test_a_users_term_of_another_shape_is_refused(
    function: Callable[..., Tensor], found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ModelError, match=rf"\.hinge must return one value per sample, \[batch\], got {found}$"):
        value(function, monkeypatch)


@pytest.mark.parametrize(("function", "error"), [(stop, InterruptedStudyError), (starve, RuntimeError)])
def test_a_stop_and_memory_that_ran_out_stay_what_they_are(
    function: Callable[..., Tensor], error: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(error):
        value(function, monkeypatch)

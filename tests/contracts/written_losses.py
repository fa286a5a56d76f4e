"""Losses as they are composed and as they are exported, for every term and sampled specs, with a batch for each."""

from __future__ import annotations

import atexit
import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save
from torch import Tensor, nn

from losssearch.export.facts import LossFacts
from losssearch.export.reading import WEIGHTS_FILE
from losssearch.export.source import loss_source
from losssearch.losses import terms
from losssearch.losses.spec import LossSpec
from losssearch.space import RandomTrial, load_space
from losssearch.tasks import TASKS

BATCH, GROUPS = 15, 3
CLASSES = {"binary": 2, "multiclass": 4, "regression": 0}
PRIORS = {"binary": (0.7, 0.3), "multiclass": (0.4, 0.3, 0.2, 0.1), "regression": None}


def term_specs() -> Iterator[tuple[str, str, LossSpec]]:
    for task in (kind for kind, task in TASKS.items() if not (task.shared or task.by_size)):
        for name, term in terms.items():
            if not term.fits(TASKS[task].with_groups().offers):
                continue
            parts: list[dict[str, Any]] = [{"term": name}]
            yield f"{name} in {task}", task, LossSpec.from_json({"parts": parts})
            if term.per_sample:
                yield (
                    f"cvar of {name} in {task}",
                    task,
                    LossSpec.from_json({"parts": [{"term": name, "reduction": {"cvar": 0.4}}]}),
                )


LOSSES = {name: (task, spec) for name, task, spec in [*term_specs()]}


def facts_of(task: str, spec: LossSpec, groups: int = GROUPS) -> LossFacts:
    more = {"target_mean": 6.0, "target_scale": 8.0} if task == "regression" else {}
    return LossFacts(spec, task, classes=CLASSES[task] or 2, class_prior=PRIORS[task], groups=groups, **more)


def placed(facts: LossFacts) -> str:
    """Where ``loss.py`` would lie, with the weights file of the loss next to it."""
    folder = Path(tempfile.mkdtemp(prefix="losssearch-tests-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    if arrays := facts.arrays():
        (folder / WEIGHTS_FILE).write_bytes(save({name: array.contiguous() for name, array in arrays.items()}))
    return str(folder / "loss.py")


def modules(facts: LossFacts) -> list[nn.Module]:
    """The composed loss and the exported one."""
    told = json.dumps([facts.task, facts.spec.to_json(), facts.groups, facts.class_prior, repr(facts.learned)])
    if told not in _exported:
        namespace: dict[str, Any] = {"__name__": "loss", "__file__": placed(facts)}
        exec(compile(loss_source(facts), "loss.py", "exec"), namespace)
        _exported[told] = namespace["Loss"]
    return [facts.module().double(), _exported[told]().double()]


_exported: dict[str, type[nn.Module]] = {}
"""The exported class of each loss that was written: several tests ask for most of them, each for its own module."""


def given(facts: LossFacts, seed: int = 0) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    source = torch.Generator().manual_seed(seed)
    shape = (BATCH, facts.classes) if facts.task == "multiclass" else (BATCH,)
    output = 2 * torch.randn(shape, generator=source, dtype=torch.float64)
    target = torch.arange(BATCH) % max(facts.classes, 2)
    if facts.task == "regression":
        target = torch.randn(BATCH, generator=source, dtype=torch.float64)
    made = {
        "group": torch.arange(BATCH) // 2 % GROUPS
        if facts.groups != 1
        else torch.randn(BATCH, generator=source, dtype=torch.float64),
        "features": torch.randn(BATCH, 3, generator=source, dtype=torch.float64),
        "index": torch.arange(BATCH).flip(0),
    }
    return output, target, {name: made[name] for name in facts.extra()}


def value_and_slope(loss: nn.Module, output: Tensor, target: Tensor, **more: Any) -> tuple[Tensor, Tensor]:
    leaf = output.clone().requires_grad_()
    value = loss(leaf, target, **more)
    (slope,) = torch.autograd.grad(value.sum(), leaf)
    return value.detach(), slope


def one_hot(facts: LossFacts, target: Tensor) -> Tensor:
    return F.one_hot(target, facts.classes).double()


def close(found: Any, expected: Any) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


def sampled_facts(name: str, draws: int = 8) -> list[LossFacts]:
    """Facts of specs drawn from a bundled space."""
    space, random = load_space(name), np.random.default_rng(0)
    groups = 1 if name.endswith("_attribute") else GROUPS
    return [facts_of(space.task, space.sample(RandomTrial(random)), groups) for _ in range(draws)]

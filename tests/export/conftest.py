"""The losses that every test of the export is run on: each term in each task, and mixtures of all features."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch

from losssearch.export.facts import LossFacts
from losssearch.losses import terms
from losssearch.losses.spec import LossSpec
from losssearch.tasks import TASKS

PRIORS = {"binary": (0.8, 0.2), "multiclass": (0.5, 0.3, 0.2), "regression": None}

MIXED: Mapping[str, tuple[str, list[dict[str, Any]]]] = {
    "two parts": (
        "binary",
        [{"term": "focal", "gamma": 1.5, "weight": 0.7, "scale": 0.31}, {"term": "soft_f1", "weight": 0.3}],
    ),
    "linear schedule": (
        "multiclass",
        [
            {"term": "cross_entropy", "weight": {"schedule": "linear", "start": 1.0, "end": 0.2}, "scale": 0.7},
            {"term": "logit_adjustment", "tau": 0.8, "weight": {"schedule": "linear", "start": 0.0, "end": 2.0}},
        ],
    ),
    "uncertainty": (
        "binary",
        [
            {"term": "weighted_cross_entropy", "weight": {"learned": "uncertainty"}, "scale": 0.9},
            {"term": "binary_cross_entropy", "weight": {"learned": "uncertainty"}},
        ],
    ),
    "two constraints": (
        "binary",
        [
            {"term": "binary_cross_entropy", "weight": 0.2},
            {"term": "group_disparity", "statistic": "equalized_odds", "mechanism": "proxy", "weight": 0.5},
            {"term": "group_disparity", "statistic": "precision", "mechanism": "augmented", "decay": 0.7},
        ],
    ),
    "cvar": (
        "regression",
        [
            {"term": "absolute", "reduction": {"cvar": 0.37}, "scale": 0.4},
            {"term": "general_robust", "reduction": {"cvar": 0.8}, "weight": 2.0},
        ],
    ),
    "relative": (
        "regression",
        [
            {"term": "relative_absolute", "power": 0.7, "weight": 0.4},
            {"term": "poisson", "reduction": {"cvar": 0.6}, "scale": 0.3},
        ],
    ),
    "the same term twice": (
        "regression",
        [
            {"term": "general_robust", "weight": {"learned": "uncertainty"}},
            {"term": "general_robust", "reduction": {"cvar": 0.5}, "weight": {"learned": "uncertainty"}},
        ],
    ),
}


def every_loss() -> dict[str, tuple[str, LossSpec]]:
    """Name to task and spec."""
    found = {
        f"{name} in {kind}": (kind, LossSpec.from_json({"parts": [{"term": name, "scale": 0.37}]}))
        for name, term in terms.items()
        for kind, task in TASKS.items()
        if not (task.shared or task.by_size)
        and term.fits(task.with_groups().offers)  # those of shared heads: test_export_heads
    }
    return found | {name: (task, LossSpec.from_json({"parts": parts})) for name, (task, parts) in MIXED.items()}


def facts_of(task: str, spec: LossSpec, **more: Any) -> LossFacts:
    """Facts with learned scalars away from their initial values, as a search leaves them."""
    blank = LossFacts(spec, task, classes=3 if task == "multiclass" else 2, class_prior=PRIORS[task], groups=3)
    learned = {
        name: 0.25 * (place + 1)
        if isinstance(value, float)
        else value + 0.1 * torch.arange(value.numel()).view_as(value)
        for place, (name, value) in enumerate(blank.learned.items())
    }
    settings: dict[str, Any] = {"learned": learned, "version": "0.1.0", "study": "demo", **more}
    if task == "regression":
        settings = {"target_mean": 6.0, "target_scale": 8.0, **settings}
    return LossFacts(spec, task, classes=blank.classes, class_prior=PRIORS[task], groups=3, **settings)


def plain_losses() -> list[str]:
    """The names of those that need no sensitive attribute."""
    return [name for name, (task, spec) in every_loss().items() if spec.reads <= TASKS[task].offers]


@pytest.fixture(params=plain_losses(), scope="session")
def facts(request: pytest.FixtureRequest) -> LossFacts:
    """Each loss in turn that needs no sensitive attribute."""
    task, spec = every_loss()[request.param]
    return facts_of(task, spec)


@pytest.fixture(params=list(every_loss()), scope="session")
def any_facts(request: pytest.FixtureRequest) -> LossFacts:
    """Each loss in turn."""
    task, spec = every_loss()[request.param]
    return facts_of(task, spec)


@pytest.fixture(scope="session")
def all_facts() -> dict[str, LossFacts]:
    """All of them at once."""
    return {name: facts_of(task, spec) for name, (task, spec) in every_loss().items()}

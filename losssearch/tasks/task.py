"""A task says which tensors a loss may read, and the defaults of a study of its kind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from losssearch.errors import UnknownNameError
from losssearch.losses.spec import Decision, LossSpec, Part

SHARED = frozenset({"progress"})


@dataclass(frozen=True)
class Baseline:
    """An entry of the menu: a loss that a good practitioner would try, tuned over ``tunable``."""

    name: str
    term: str
    decision: Decision = "tuned"
    fixed: Mapping[str, float | int | str] = field(default_factory=dict)
    tunable: tuple[str, ...] = ()

    def spec(self, hyperparameters: Mapping[str, float | int | str] | None = None) -> LossSpec:
        """The baseline as a spec, with ``hyperparameters`` in place of its defaults."""
        return LossSpec((Part(self.term, {**self.fixed, **(hyperparameters or {})}),), self.decision)


@dataclass(frozen=True)
class Task:
    """One kind of task. ``plain`` is the first entry of ``menu``: the loss that everybody starts with."""

    kind: str
    offers: frozenset[str]
    metric: str
    space: str
    menu: tuple[Baseline, ...]
    model: str = "mlp"

    @property
    def plain(self) -> Baseline:
        """The default loss of the field, with nothing tuned after training."""
        return self.menu[0]

    def width(self, classes: int) -> int:
        """How many numbers a model puts out for one sample."""
        return classes if self.kind == "multiclass" else 1


_binary = Task(
    kind="binary",
    offers=SHARED | {"logit", "logits", "labels", "class_prior"},
    metric="average_precision",
    space="binary",
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
    ),
)
_multiclass = Task(
    kind="multiclass",
    offers=SHARED | {"logits", "labels", "class_prior"},
    metric="balanced_accuracy",
    space="multiclass",
    menu=(
        Baseline("cross_entropy", "cross_entropy", "fixed"),
        Baseline("cross_entropy_tuned", "cross_entropy"),
        Baseline("weighted_cross_entropy", "weighted_cross_entropy", tunable=("power",)),
        Baseline("focal", "focal", tunable=("gamma",)),
        Baseline("label_smoothing", "cross_entropy", fixed={"smoothing": 0.1}, tunable=("smoothing",)),
        Baseline("logit_adjustment", "logit_adjustment", tunable=("tau",)),
        Baseline("ldam", "ldam", tunable=("max_margin",)),
        Baseline("generalised_cross_entropy", "generalised_cross_entropy", tunable=("q",)),
    ),
)
_regression = Task(
    kind="regression",
    offers=SHARED | {"prediction", "target"},
    metric="rmse",
    space="regression",
    menu=(
        Baseline("mse", "squared", "fixed"),
        Baseline("mse_tuned", "squared"),
        Baseline("absolute", "absolute"),
        Baseline("huber", "huber", tunable=("delta",)),
        Baseline("log_cosh", "log_cosh"),
        Baseline("quantile", "quantile", tunable=("quantile",)),
        Baseline("asymmetric_squared", "asymmetric_squared", tunable=("asymmetry",)),
        Baseline("tukey_biweight", "tukey_biweight", tunable=("cutoff",)),
    ),
)

TASKS: Mapping[str, Task] = MappingProxyType({task.kind: task for task in (_binary, _multiclass, _regression)})
"""Every task by its kind."""


def get_task(kind: str) -> Task:
    """Look a task up; raise `UnknownNameError` with the nearest names."""
    if kind not in TASKS:
        raise UnknownNameError("task", kind, TASKS)
    return TASKS[kind]

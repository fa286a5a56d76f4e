"""The rivals that are one known loss each, with what a practitioner would tune about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from losssearch.losses.domains import Float
from losssearch.losses.spec import LossSpec, Part
from losssearch.tasks.task import Baseline


@dataclass(frozen=True)
class Family:
    """A known loss: ``tuned`` names the hyperparameters that are searched over the term's own ranges."""

    term: str
    tuned: tuple[str, ...] = ()
    fixed: Mapping[str, float] = field(default_factory=dict)
    penalties: tuple[Part, ...] = ()
    """The parts in addition to the term, at a ``weight`` that may be tuned."""

    def spec(self, values: Mapping[str, float] | None = None) -> LossSpec:
        """The loss at ``values``, else at its defaults; threshold, temperature or shift are tuned after training."""
        return self._entry.spec(values)

    def domains(self) -> dict[str, Float]:
        """The ranges of what is tuned."""
        found = {name: self._entry.domain(name) for name in self.tuned}
        return {name: domain for name, domain in found.items() if isinstance(domain, Float)}

    @property
    def _entry(self) -> Baseline:
        return Baseline(self.term, self.term, fixed=self.fixed, tunable=self.tuned, penalties=self.penalties)


_SHARED = {
    "class_weighted": Family("weighted_cross_entropy", ("power",)),
    "focal": Family("focal", ("gamma",)),
    "logit_adjustment": Family("logit_adjustment", ("tau",)),
    "ldam": Family("ldam", ("max_margin",)),
    "gce": Family("generalised_cross_entropy", ("q",)),
    "sce": Family("symmetric_cross_entropy", ("alpha", "beta")),
    "nce_mae": Family("active_passive", ("beta",)),
    "brier": Family("brier"),
}
FAMILIES: Mapping[str, Mapping[str, Family]] = {
    "binary": {
        **_SHARED,
        "label_smoothing": Family("binary_cross_entropy", ("smoothing",), {"smoothing": 0.1}),
        "squared_hinge": Family("squared_hinge"),
        "cost_sensitive": Family("cost_sensitive_cross_entropy", ("ratio",)),
    },
    "multiclass": {**_SHARED, "label_smoothing": Family("cross_entropy", ("smoothing",), {"smoothing": 0.1})},
    "regression": {
        "absolute": Family("absolute"),
        "huber": Family("huber", ("delta",)),
        "quantile": Family("quantile", ("quantile",)),
        "log_cosh": Family("log_cosh"),
        "expectile": Family("asymmetric_squared", ("asymmetry",)),
        "biweight": Family("tukey_biweight", ("cutoff",)),
        "relative": Family("relative_absolute", ("power",)),
        "poisson": Family("poisson"),
    },
}
"""Rivals of their own, by kind of task. The menu chooses among them and the default loss."""

DEFAULT: Mapping[str, Family] = {
    "binary": Family("binary_cross_entropy"),
    "multiclass": Family("cross_entropy"),
    "regression": Family("squared"),
}
"""The loss that everybody starts with."""

PLAIN, PLAIN_TUNED, MENU, OPTUNA = "plain", "plain_tuned", "menu", "optuna"
OURS, SEARCHED, AGAINST = "losssearch", "searched", "against"
TREES, OPTIMUM, ML3 = "trees", "optimum", "ml3"

OUTSIDE = frozenset({TREES, OPTIMUM, SEARCHED, AGAINST})
"""Shown, but not ranked: another model, a loss that nobody could know, parts of our own result."""

EVERYWHERE = (PLAIN, PLAIN_TUNED, MENU, OPTUNA, OURS)
"""Ranked methods that every scenario has; the others belong to one kind of task."""


FAIR = ("fixed_penalty", "reweighing", "group_dro")
"""Known losses of a scenario with a constraint between groups, in addition to those of its task."""


def methods_for(task: str, *, fair: bool = False) -> tuple[str, ...]:
    """All methods of a kind of task, in the order of the tables; ``fair`` where groups have a limit."""
    ml3 = (ML3,) if task == "regression" else ()
    return (
        PLAIN,
        PLAIN_TUNED,
        *FAMILIES[task],
        *(FAIR if fair else ()),
        MENU,
        OPTUNA,
        *ml3,
        OURS,
        SEARCHED,
        AGAINST,
        TREES,
        OPTIMUM,
    )


def plain(task: str) -> LossSpec:
    """The default loss with nothing tuned after training."""
    return LossSpec(DEFAULT[task].spec().parts, "fixed")

"""Every method by name: what it is given, and whether it needs the attribute at prediction."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

from benchmarks.fairness import aware, blind, ours
from benchmarks.fairness.front import Point
from benchmarks.fairness.kept import Kept
from benchmarks.fairness.scenarios import Split

Run = Callable[[Split, str, float], list[Point]]
"""From a split, a criterion and the seconds that it may take to points of accuracy and gap."""


@dataclass(frozen=True)
class Method:
    """A method; ``sees``: the attribute is among the features and may be used at prediction."""

    run: Run
    sees: bool
    own: bool = False
    answers: Callable[[Split, str, Sequence[float]], list[Kept | None]] | None = None
    """What it answers to limits, where that is no place on its front."""


def _post(base: Callable[[Split], aware.Scorer], post: Callable[[Split, str, aware.Scorer], list[Point]]) -> Run:
    return lambda split, criterion, seconds: post(split, criterion, base(split))


METHODS: Mapping[str, Method] = MappingProxyType(
    {
        "losssearch": Method(ours.blind, sees=False, own=True),
        "losssearch, constrained": Method(lambda *_: [], sees=False, own=True, answers=ours.constrained),
        "plain MLP": Method(blind.plain, sees=False),
        "plain MLP, threshold": Method(blind.plain_threshold, sees=False),
        "ExponentiatedGradient LR": Method(blind.exponentiated_gradient, sees=False),
        "GridSearch LR": Method(blind.grid_search, sees=False),
        "GridSearch MLP": Method(blind.grid_search_mlp, sees=False),
        "fairret norm": Method(blind.fairret_norm, sees=False),
        "fairret norm, threshold": Method(blind.fairret_threshold, sees=False),
        "Lagrangian": Method(blind.lagrangian, sees=False),
        "fixed penalty, threshold": Method(blind.control, sees=False),
        "losssearch MLP, groups": Method(partial(ours.aware, model="mlp"), sees=True, own=True),
        "losssearch trees, groups": Method(partial(ours.aware, model="lightgbm"), sees=True, own=True),
        "ThresholdOptimizer MLP": Method(_post(aware.network, aware.threshold_optimizer), sees=True),
        "ThresholdOptimizer trees": Method(_post(aware.trees, aware.threshold_optimizer), sees=True),
        "OxonFair MLP": Method(_post(aware.network, aware.oxonfair), sees=True),
        "OxonFair trees": Method(_post(aware.trees, aware.oxonfair), sees=True),
        "error-parity MLP": Method(_post(aware.network, aware.error_parity), sees=True),
        "error-parity trees": Method(_post(aware.trees, aware.error_parity), sees=True),
    }
)

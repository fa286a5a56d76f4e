"""A study of Optuna's that was told the history, and how Optuna and a store name the domains of parameters."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
    json_to_distribution,
)

from losssearch.errors import SpecError
from losssearch.losses.domains import Choice, Domain, Int, Tree

if TYPE_CHECKING:
    from losssearch.study.proposing.proposal import Observation

STARTUP = 12
"""Trials before TPE and refinement start; until then, what the portfolio does not fill is drawn at random."""


def study_of(trials: Sequence[Observation], seed: int, maximize: bool) -> optuna.Study:
    """A study in memory that was told ``trials``."""
    # Joint models of the parameters that occur together; trials that still run push others away from where they are.
    sampler = optuna.samplers.TPESampler(
        multivariate=True,
        group=True,
        constant_liar=True,
        seed=seed,
        n_startup_trials=STARTUP,
    )
    study = optuna.create_study(sampler=sampler, direction="maximize" if maximize else "minimize")
    study.add_trials([_frozen(trial) for trial in trials])
    return study


def _frozen(trial: Observation) -> optuna.trial.FrozenTrial:
    states = optuna.trial.TrialState
    if trial.score is not None:
        state = states.COMPLETE
    elif trial.state == "running":
        state = states.RUNNING
    else:
        # TPE skips failed trials and would propose their like again; pruned without a rung is the worst that it knows.
        state = states.PRUNED
    rungs = trial.rungs if trial.state == "pruned" else ()
    return optuna.trial.create_trial(
        state=state,
        value=trial.score,
        params=dict(trial.params),
        distributions={name: _read(text) for name, text in trial.distributions.items()},
        intermediate_values={epoch: value for epoch, value in rungs if math.isfinite(value)},
        constraints={"excess": trial.excess} if trial.excess and math.isfinite(trial.excess) else None,
    )


@cache
def _read(distribution: str) -> BaseDistribution:
    return json_to_distribution(distribution)


@cache
def distribution_text(domain: Domain) -> str:
    """A domain as a store keeps it: Optuna's JSON, or the like for a tree."""
    if isinstance(domain, Tree):
        return json.dumps({"name": "Tree", "attributes": {"nodes": domain.nodes}})
    return distribution_to_json(_distribution(domain))


def _distribution(domain: Domain) -> BaseDistribution:
    if isinstance(domain, Choice):
        return CategoricalDistribution(domain.options)
    if isinstance(domain, Tree):
        raise SpecError("Optuna samples no trees")
    if isinstance(domain, Int):
        return IntDistribution(domain.low, domain.high)
    return FloatDistribution(domain.low, domain.high, log=domain.log)


@contextmanager
def quiet() -> Iterator[None]:
    """Optuna says that a study was created and that grouping is experimental; neither is news to a user."""
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(verbosity)

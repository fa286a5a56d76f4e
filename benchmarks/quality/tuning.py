"""Tuning of the known losses, each by itself, within the processor time that the search has too.

Every family has an Optuna study of its own over its one or two numbers. In a round each asks for a few settings; all
settings of a round are trained as one population, on the draws and at the learning rates that the product uses.
The best of each family are trained again on fresh draws, and the best of those is the family's loss. The menu is the
best of all families by the same values.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import optuna

from benchmarks.quality.families import Family
from benchmarks.quality.fitting import plan_for, scaled, train
from benchmarks.quality.problem import Problem
from losssearch.losses.spec import LossSpec
from losssearch.training import RATES, Outcome
from losssearch.training.plan import without_rungs

ASKED = 3
"""Settings that a family asks for in one round."""
MOST = 33
"""Settings of a family at most: one number is then known well."""
AGAIN = 3
"""Settings of each family that are trained again."""
DRAWS = ((20_000, 2), (1_000, 3), (0, 5))
"""Training rows at the least, and draws that a setting is judged on: as many as the product uses."""
FRESH = 4
"""Fresh draws that they are trained on."""
SHARE = 0.4
"""What one training at one rate costs of one over all rates, most of which are dropped at the rungs."""


@dataclass
class Tried:
    """The settings of one family so far, with the best learning rate and mean utility of each."""

    family: Family
    study: optuna.Study
    specs: list[LossSpec] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    utilities: list[float] = field(default_factory=list)


Asked: TypeAlias = tuple[Tried, optuna.trial.Trial | None, LossSpec]
"""A setting to train: whose, the trial that is to be told (none for the defaults), and the loss."""


@dataclass(frozen=True)
class Tuned:
    """A family's chosen setting, and its mean utility on fresh draws."""

    spec: LossSpec
    utility: float
    trials: int


def tune(problem: Problem, families: Mapping[str, Family], budget: float, seed: int) -> dict[str, Tuned]:
    """Tune all families within ``budget`` processor seconds together; at least their defaults are tried."""
    begun = time.process_time()
    count = next(draws for least, draws in DRAWS if len(problem.train) >= least)
    replicas = problem.replicas("tuning", count)
    plan = plan_for(replicas)
    tried = {name: Tried(family, _study(seed + place)) for place, (name, family) in enumerate(families.items())}
    tunable = sum(bool(own.family.domains()) for own in tried.values())
    asked: list[Asked] = [(own, None, own.family.spec()) for own in tried.values()]
    number = 0
    while asked:
        specs = scaled(problem, replicas, [spec for *_, spec in asked])
        # Protected: what a family learns must not depend on how well the others do.
        outcomes = train(problem, replicas, specs, plan, protected=True)
        for (own, trial, _), spec, outcome in zip(asked, specs, outcomes, strict=True):
            _tell(own, trial, spec, outcome)
        number += len(asked)
        each = (time.process_time() - begun) / number
        again = each * SHARE * FRESH / count * AGAIN * len(tried)
        places = int((begun + budget - time.process_time() - again) / (each * max(tunable, 1)))
        wanted = min(ASKED, places)
        asked = [(own, *one) for own in tried.values() for one in _ask(own, wanted)]
    return _chosen(problem, tried, begun + budget, each * SHARE * FRESH / count)


def _study(seed: int) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed, n_startup_trials=6))


def _ask(own: Tried, count: int) -> list[tuple[optuna.trial.Trial, LossSpec]]:
    """A number of further settings of a family; none if it has nothing to tune, or is known well."""
    domains, found = own.family.domains(), []
    if not domains:
        return []
    for _ in range(max(0, min(count, MOST - len(own.specs)))):
        trial = own.study.ask()
        values = {n: trial.suggest_float(n, d.low, d.high, log=d.log) for n, d in domains.items()}
        found.append((trial, own.family.spec({name: float(f"{value:.4g}") for name, value in values.items()})))
    return found


def _tell(own: Tried, trial: optuna.trial.Trial | None, spec: LossSpec, outcome: Outcome) -> None:
    utility = _utility(outcome)
    own.specs.append(spec)
    own.rates.append(outcome.rate or RATES[0])
    own.utilities.append(utility)
    if trial is not None:
        if np.isfinite(utility):
            own.study.tell(trial, utility)
        else:
            own.study.tell(trial, state=optuna.trial.TrialState.FAIL)


def _chosen(problem: Problem, tried: Mapping[str, Tried], end: float, each: float) -> dict[str, Tuned]:
    """The best setting of every family on fresh draws, or on the first ones where there is no time for more."""
    most = min(AGAIN, max(0, int((end - time.process_time()) / (each * len(tried)))))
    order = {name: [int(i) for i in np.argsort(own.utilities, kind="stable")[::-1]] for name, own in tried.items()}
    first = {name: places[0] for name, places in order.items()}
    if not most:
        return {n: Tuned(o.specs[first[n]], o.utilities[first[n]], len(o.specs)) for n, o in tried.items()}
    replicas = problem.replicas("tuning again", FRESH)
    plan = without_rungs(plan_for(replicas))
    entries = [(name, place) for name, places in order.items() for place in places[:most]]
    specs = [tried[name].specs[place] for name, place in entries]
    rates = [(tried[name].rates[place],) for name, place in entries]
    outcomes = train(problem, replicas, specs, plan, rates=rates)
    found: dict[str, Tuned] = {}
    for (name, _), spec, outcome in zip(entries, specs, outcomes, strict=True):
        utility = _utility(outcome)
        if name not in found or utility > found[name].utility:
            found[name] = Tuned(spec, utility, len(tried[name].specs))
    return found


def _utility(outcome: Outcome) -> float:
    return float(np.mean(outcome.utilities)) if outcome.state == "completed" else -np.inf

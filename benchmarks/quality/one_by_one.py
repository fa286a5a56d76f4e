"""The search that most would write themselves: Optuna over the menu, its numbers and the learning rate, one training
at a time, as many as the processor time holds, the best on validation kept."""

from __future__ import annotations

import time
import warnings

import numpy as np
import optuna

from benchmarks.quality.families import DEFAULT
from benchmarks.quality.fitting import plan_for, scaled, train
from benchmarks.quality.problem import Problem
from benchmarks.quality.tuning import Tuned
from losssearch.training import RATES
from losssearch.training.plan import without_rungs


def search(problem: Problem, budget: float, seed: int) -> Tuned:
    """The best loss of one Optuna study; at least one is trained."""
    begun = time.process_time()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    families = {"default": DEFAULT[problem.task.kind], **problem.families}
    replicas = problem.replicas("optuna", 1)
    plan = without_rungs(plan_for(replicas))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # what the losses have apart needs it
        sampler = optuna.samplers.TPESampler(multivariate=True, group=True, seed=seed)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    best: Tuned | None = None
    longest, number = 0.0, 0
    while best is None or time.process_time() - begun + longest < budget:
        started = time.process_time()
        trial = study.ask()
        name = trial.suggest_categorical("loss", list(families))
        domains = families[name].domains()
        values = {n: trial.suggest_float(f"{name}.{n}", d.low, d.high, log=d.log) for n, d in domains.items()}
        rate = trial.suggest_float("rate", min(RATES), max(RATES), log=True)
        (spec,) = scaled(problem, replicas, [families[name].spec(values)])
        (outcome,) = train(problem, replicas, [spec], plan, rates=[(rate,)])
        number += 1
        utility = float(np.mean(outcome.utilities)) if outcome.state == "completed" else -np.inf
        if np.isfinite(utility):
            study.tell(trial, utility)
        else:
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
        if np.isfinite(utility) and (best is None or utility > best.utility):
            best = Tuned(spec, utility, number)
        if best is None and number >= 20:
            best = Tuned(spec, utility, number)
        longest = max(longest, time.process_time() - started)
    return Tuned(best.spec, best.utility, number)

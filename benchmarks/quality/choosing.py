"""What each method chooses on the outer training part, and what the choice cost."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, MutableMapping
from typing import Any

from benchmarks.quality import families as names
from benchmarks.quality import one_by_one, product
from benchmarks.quality.families import DEFAULT, Family
from benchmarks.quality.problem import Problem
from benchmarks.quality.tuning import Tuned, tune
from benchmarks.quality.unit import Line, Settings
from losssearch.losses.spec import LossSpec, Part

Keep = Callable[[Mapping[str, Line]], None]


class Clock:
    """Wall and processor seconds since it was made."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.monotonic(), time.process_time()

    def read(self) -> dict[str, float]:
        """What a choice cost so far."""
        return {"seconds": time.monotonic() - self._wall, "cpu_seconds": time.process_time() - self._cpu}


def choose_missing(
    problem: Problem, wanted: Collection[str], choices: MutableMapping[str, Line], settings: Settings, keep: Keep
) -> None:
    """Choose a loss for every wanted method that has none, one after another; ``keep`` is told of each."""
    kind = problem.task.kind
    missing = [name for name in wanted if name not in choices]
    seed = problem.repeat
    if {names.OURS, names.SEARCHED, names.AGAINST} & set(missing):
        clock = Clock()
        study = product.search(problem, settings.effort, seed)
        cost, tried = clock.read(), study.content["trials"]["total"]
        found_by_name = {names.OURS: study.best, names.SEARCHED: study.searched, names.AGAINST: study.against}
        lines = {name: _line(name, spec, cost, tried) for name, spec in found_by_name.items() if spec}
        lines[names.OURS]["study"] = study.content
        keep(lines)
    free = {"seconds": 0.0, "cpu_seconds": 0.0}
    if names.PLAIN in missing:
        keep({names.PLAIN: _line(names.PLAIN, names.plain(kind), free, trials=1)})
    if names.OPTIMUM in missing and problem.scenario.optimum:
        part = Part.from_json(dict(problem.scenario.optimum))
        keep({names.OPTIMUM: _line(names.OPTIMUM, LossSpec((part,)), free, trials=0)})
    known = {names.PLAIN_TUNED: DEFAULT[kind], **problem.families}
    if set(missing) & {*known, names.MENU}:
        _tune_known(problem, known, choices, settings, keep)
    if names.OPTUNA in missing:
        clock = Clock()
        found = one_by_one.search(problem, allowance(choices, settings), seed)
        keep({names.OPTUNA: _tuned(names.OPTUNA, found, clock.read())})


def allowance(choices: Mapping[str, Line], settings: Settings) -> float:
    """Processor seconds of each rival: what our study took, else the budget.

    Not wall seconds, because on a machine with other work those hold now more, now less.
    """
    return float(choices[names.OURS]["cpu_seconds"]) if names.OURS in choices else settings.budget


def _tune_known(
    problem: Problem,
    known: Mapping[str, Family],
    choices: Mapping[str, Line],
    settings: Settings,
    keep: Keep,
) -> None:
    """Tune the known losses, and take the best of them for the menu."""
    groups = [{name: family} for name, family in known.items()] if settings.own_budget else [dict(known)]
    for group in groups:
        if all(name in choices for name in group):
            continue
        clock = Clock()
        found = tune(problem, group, allowance(choices, settings), problem.repeat)
        keep({name: _tuned(name, own, clock.read()) for name, own in found.items()})
    best = max((choices[name] for name in known), key=lambda line: line["utility"])
    shared = not settings.own_budget
    cost = {
        key: best[key] if shared else sum(choices[name][key] for name in known) for key in ("seconds", "cpu_seconds")
    }
    trials = sum(choices[name]["trials"] for name in known)
    line = _line(names.MENU, LossSpec.from_json(best["spec"]), cost, trials)
    keep({names.MENU: line | {"chose": best["method"]}})


def _tuned(name: str, found: Tuned, cost: Mapping[str, float]) -> Line:
    return _line(name, found.spec, cost, found.trials) | {"utility": max(found.utility, -1e300)}


def _line(name: str, spec: LossSpec, cost: Mapping[str, float], trials: int) -> dict[str, Any]:
    return {
        "type": "choice",
        "method": name,
        "spec": spec.to_json(),
        "formula": spec.formula(),
        "trials": trials,
        **cost,
    }

"""Runs a unit, in two stages.

Choosing costs the budget: each method chooses its loss on the outer training part. The final training is cheap and the
same for all. So a changed product is measured again against rivals that need not be.
"""

from __future__ import annotations

import time
import traceback
import warnings
from collections.abc import Callable, Mapping
from typing import Any

from benchmarks.quality import families as names
from benchmarks.quality.scenarios import SkippedScenarioError
from benchmarks.quality.unit import PRODUCT, Line, Unit, write_lines


def run_unit(unit: Unit) -> tuple[str, float]:
    """Do what is missing; what came of it in a few words, and the seconds that it took."""
    import torch

    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    begun = time.monotonic()
    try:
        said = _run(unit)
    except SkippedScenarioError as reason:
        write_lines(unit.file, [{"type": "skipped", "scenario": unit.scenario.name, "reason": str(reason)}])
        said = f"skipped: {reason}"
    except Exception as error:  # noqa: BLE001  (one scenario's fault must not end the others)
        kept = [line for line in unit.lines() if line["type"] != "failed"]
        failed = {"type": "failed", "scenario": unit.scenario.name, "repeat": unit.repeat}
        write_lines(unit.file, [*kept, failed | {"reason": traceback.format_exc(limit=-4)}])
        said = f"failed: {type(error).__name__}: {error}"
    return said, time.monotonic() - begun


def _run(unit: Unit) -> str:
    from benchmarks.quality.choosing import choose_missing
    from benchmarks.quality.problem import make_problem

    problem = make_problem(unit.scenario, unit.repeat)
    wanted = unit.wanted(problem.task.kind)
    choices = {line["method"]: line for line in unit.lines() if line["type"] == "choice"}

    def keep(found: Mapping[str, Line]) -> None:
        choices.update(found)
        write_lines(unit.file, choices.values())

    keep({})
    choose_missing(problem, wanted, choices, unit.settings, keep)
    results = _final(problem, unit, choices, wanted)
    write_lines(unit.file, [*choices.values(), *results])
    return "done"


def _final(problem: Any, unit: Unit, choices: Mapping[str, Line], wanted: list[str]) -> list[Line]:
    """Train everybody's loss in the same way and read the test rows, once."""
    from benchmarks.quality import fitting, trees
    from benchmarks.quality.choosing import allowance
    from losssearch.losses.spec import LossSpec

    begun = time.monotonic()
    losses = {name: LossSpec.from_json(line["spec"]) for name, line in choices.items() if line.get("spec")}
    fitted = fitting.fit_all(problem, losses, unit.settings.seeds)
    others: dict[str, Callable[..., fitting.Fitted]] = {names.TREES: trees.fit}
    if names.ML3 in wanted:
        from benchmarks.quality import ml3

        others[names.ML3] = lambda problem, seeds: ml3.fit(problem, seeds, allowance(choices, unit.settings))
    for name, function in others.items():
        if name in wanted:
            try:
                fitted[name] = function(problem, unit.settings.seeds)
            except Exception as error:  # noqa: BLE001  (a rival that cannot be trained is said, not raised)
                fitted[name] = f"{type(error).__name__}: {error}"
    common = {
        "scenario": unit.scenario.name,
        "kind": unit.scenario.kind,
        "repeat": unit.repeat,
        "task": problem.task.kind,
        "metric": f"{problem.metric.name}, {problem.constraint}" if problem.constraint else problem.metric.name,
        "direction": problem.metric.direction,
        "constraint": unit.scenario.constraint,
        "rows": {"train": len(problem.train), "test": len(problem.test)},
    }
    ours = {name: fit for name in PRODUCT if isinstance(fit := fitted.get(name), fitting.Fitted)}
    lines: list[Line] = []
    for name in wanted:
        own = fitted.get(name, "not chosen")
        if isinstance(own, str):
            lines.append({"type": "missing", "method": name, **common, "reason": own})
            continue
        less = {mine: fitting.compare(problem, fit, own) for mine, fit in ours.items() if fit is not own}
        lines.append(
            {
                "type": "result",
                "method": name,
                **common,
                "formula": losses[name].formula() if name in losses else "",
                "test": own.values(problem),
                **own.groups(problem),
                "validation": list(own.validation),
                "rate": own.rate,
                "epochs": own.epochs,
                "best_epochs": list(own.best_epochs),
                "most_epochs": own.most,
                "ours_less": less,
                "final_seconds": time.monotonic() - begun,
            }
        )
    return lines

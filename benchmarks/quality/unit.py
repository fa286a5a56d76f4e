"""One unit of work: every method on one scenario at one repeat, kept as lines of JSON that a later run builds on.

A unit has two stages. Choosing costs the budget: each method chooses its loss on the outer training part. The final
training is cheap and the same for all. So a changed product is measured again against rivals that need not be.
"""

from __future__ import annotations

import json
import os
import time
import traceback
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.quality import families as names
from benchmarks.quality.scenarios import Scenario, SkippedScenarioError

Line = dict[str, Any]
PRODUCT = (names.OURS, names.SEARCHED, names.AGAINST)
"""What comes of one study."""


@dataclass(frozen=True)
class Settings:
    """What decides a result: the ``budget`` of a study in seconds, or its ``trials``; ``seeds`` of the final training.

    A study goes first, and what it took in processor seconds is what every rival may take.
    """

    budget: float
    seeds: int = 3
    trials: int | None = None
    own_budget: bool = False
    """Whether each known loss is tuned for the whole budget, instead of sharing it with the others."""

    def to_json(self) -> Line:
        """For the folder of results."""
        return asdict(self)

    @property
    def effort(self) -> Line:
        """What a study is given."""
        return {"time_budget": self.budget} if self.trials is None else {"trials": self.trials}


@dataclass(frozen=True)
class Unit:
    """A scenario at a repeat, with the methods that are asked for; all where none is named."""

    scenario: Scenario
    repeat: int
    settings: Settings
    folder: Path
    methods: frozenset[str] = frozenset()

    @property
    def file(self) -> Path:
        """Where its lines lie."""
        return self.folder / "units" / f"{self.scenario.name}-{self.repeat}.jsonl"

    def lines(self) -> list[Line]:
        """What is known of it."""
        return read_lines(self.file)

    def wanted(self, task: str) -> list[str]:
        """The methods to run."""
        known = names.methods_for(task, fair=bool(self.scenario.constraint))
        return [name for name in known if not self.methods or name in self.methods]

    def done(self) -> bool:
        """Whether nothing is left to do."""
        lines = self.lines()
        ended = {line["method"] for line in lines if line["type"] in ("result", "missing")}
        task = next((line["task"] for line in lines if line["type"] in ("result", "missing")), None)
        return task is not None and set(self.wanted(task)) <= ended

    def skipped(self) -> bool:
        """Whether it could not be run here when it was last tried."""
        return any(line["type"] == "skipped" for line in self.lines())


def forget(units: Iterable[Unit], methods: Iterable[str]) -> None:
    """Throw away what is kept of these methods, so that they choose anew; what hangs on them goes with them."""
    gone = set(methods)
    if not gone:
        return
    gone |= set(PRODUCT) if gone & set(PRODUCT) else set()
    gone |= set() if gone <= {*PRODUCT, names.OPTUNA, names.TREES, names.ML3} else {names.MENU}
    for unit in units:
        if lines := unit.lines():
            write_lines(unit.file, [line for line in lines if line.get("method") not in gone])


def read_lines(file: Path) -> list[Line]:
    """The lines of a unit; none where there is no file."""
    return [json.loads(text) for text in file.read_text(encoding="utf-8").splitlines()] if file.is_file() else []


def write_lines(file: Path, lines: Iterable[Line]) -> None:
    """Replace a unit's lines, all at once."""
    draft = file.with_suffix(".new")
    draft.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    os.replace(draft, file)


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

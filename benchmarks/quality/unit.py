"""One unit of work: every method on one scenario at one repeat, kept as lines of JSON that a later run builds on."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.quality import families as names
from benchmarks.quality.scenarios import Scenario

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

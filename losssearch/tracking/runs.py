"""The content of a tracking store as plain values, and the interface for writing it."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from losssearch.redaction import redact
from losssearch.tracking.names import legal
from losssearch.tracking.tracker import DatasetInfo, Status

PARENT = "mlflow.parentRunId"
"""The tag by which MLflow's UI nests a run under another."""

TRIAL = "losssearch.trial"
"""The tag of a child that holds its trial's number."""

IDENTITY = "losssearch.id"
"""The tag of a study's run that is its alone, by which the run is found again where nobody heard that it was made."""

LONGEST = 5000
"""Characters of a tag's or a parameter's value that every store takes."""


@dataclass(frozen=True)
class Child:
    """The run of one trial: when it started and ended (ms since 1970), and all that it shows.

    ``points`` are (metric, value, step), finite, one a metric and step.
    """

    number: int
    name: str
    start: int
    end: int
    status: Status
    tags: Mapping[str, str]
    params: Mapping[str, str]
    points: Sequence[tuple[str, float, int]]


class Runs(Protocol):
    """The runs of one experiment. Writing a child that is there already changes nothing."""

    @property
    def experiment_id(self) -> str:
        """What the store calls the experiment, as in the addresses of its pages."""
        ...

    def begin(self, name: str, tags: Mapping[str, str], dataset: DatasetInfo) -> str:
        """Open a run; its id. One with the same `IDENTITY` among its ``tags`` is that run."""
        ...

    def resume(self, run_id: str) -> Mapping[str, str] | None:
        """Open a run again and tell the parameters that it has; None if it is gone."""
        ...

    def add(self, run_id: str, params: Mapping[str, str], metrics: Mapping[str, float]) -> None:
        """Put parameters and metrics on a run."""
        ...

    def tag(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Put tags on a run."""
        ...

    def write(self, parent: str, children: Sequence[Child]) -> None:
        """Put ended trials under a run."""
        ...

    def keep(self, run_id: str, paths: Sequence[Path]) -> None:
        """Copy files and folders to a run's artifacts; raise where one is missing, or did not arrive."""
        ...

    def recorded(self, parent: str) -> set[int]:
        """The numbers of the trials that are under a run, each whole and once."""
        ...

    def end(self, run_id: str, status: Status) -> None:
        """End a run, and let go of what is open."""
        ...


def copied(paths: Sequence[Path], folder: Path) -> None:
    """Copy files and folders to the folder of a run's artifacts; raise `OSError` where one is missing."""
    for path in paths:
        if path.is_dir():
            shutil.copytree(path, folder / path.name, dirs_exist_ok=True)
        else:
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, folder / path.name)


def cut(tags: Mapping[str, str]) -> dict[str, str]:
    """Tags or parameters with names and lengths that every store takes, and without secrets."""
    return {legal(name): redact(str(value))[:LONGEST] for name, value in tags.items()}

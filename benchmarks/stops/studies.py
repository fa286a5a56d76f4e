"""The ten studies that are stopped: every kind of task, of workers, of storage and of tracking."""

from __future__ import annotations

import csv
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

COMMON = ("--epochs", "8", "--confirm-seeds", "2", "--trials", "12", "--quiet")


@dataclass(frozen=True)
class Study:
    """A search by its command line; ``table``: which of `write_tables` it reads, where it is none of the built-in."""

    name: str
    arguments: tuple[str, ...]
    table: str = ""
    workers: int = 0
    storage: str = ""
    """``postgresql``, or empty for the file in the study's folder."""
    tracking: str = ""
    """``server``, ``file``, or empty for none."""

    def command(self, *, tables: Path, out: Path, storage: str, tracking: str) -> list[str]:
        """The arguments of ``losssearch`` that begin this study in the folder ``out``."""
        given = ["search", *([str(tables / self.table)] if self.table else []), *COMMON, *self.arguments]
        given += ["--workers", str(self.workers), "--out", str(out)]
        if self.storage:
            given += ["--storage", storage, "--study", out.name]
        if self.tracking == "server":
            given += ["--tracking-uri", tracking]
        elif not self.tracking:
            given += ["--no-mlflow"]
        return given


def _builtin(name: str, *more: str) -> tuple[str, ...]:
    return (f"builtin:{name}", "--target", "target", *more)


_GAP = "demographic_parity_difference"
_GROUPS = ("--target", "label", "--sensitive", "group", "--no-references")

STUDIES: Sequence[Study] = (
    Study("classes", _builtin("wine"), tracking="file"),
    Study("trees", _builtin("breast_cancer", "--model", "lightgbm", "--epochs", "2", "--trials", "6")),
    Study("number", _builtin("diabetes", "--metric", "rmse")),
    Study("limit", (*_GROUPS, "--constraint", f"{_GAP} <= 0.3"), table="groups.csv"),
    Study(
        "front",
        (*_GROUPS, "--objective", "accuracy", "--objective", _GAP),
        table="groups.csv",
    ),
    Study("weights", ("--target", "label", "--weight", "weight", "--drop", "group"), table="groups.csv"),
    Study("ray", _builtin("wine"), workers=2),
    Study("ray, tracked", _builtin("breast_cancer"), workers=2, tracking="file"),
    Study("tracking server", _builtin("wine", "--seed", "3"), tracking="server"),
    Study("postgresql", _builtin("breast_cancer", "--seed", "3"), storage="postgresql"),
)


def write_tables(folder: Path) -> None:
    """Write the tables that the studies read."""
    draw = random.Random(0)
    with (folder / "groups.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["a", "b", "group", "weight", "label"])
        for _ in range(600):
            a, b, group = draw.gauss(0, 1), draw.gauss(0, 1), draw.choice("xy")
            label = int(a + 0.5 * b + (0.4 if group == "x" else 0) + draw.gauss(0, 1) > 0)
            writer.writerow([f"{a:.4f}", f"{b:.4f}", group, f"{draw.uniform(0.5, 2):.3f}", label])

"""A table whose rows are alike but for the target is parted row by row, and the user is told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from losssearch.assembly import assemble
from losssearch.request import Request
from losssearch.study.observer import SilentObserver


class Notes(SilentObserver):
    """Keeps what a user would be told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, message: str) -> None:
        self.lines.append(message)


@pytest.mark.parametrize("values", [2, 10_000])
def test_alike_rows_with_other_targets_are_announced(values: int, tmp_path: Path) -> None:
    chance = np.random.default_rng(0)
    data = chance.integers(0, values, size=(400, 3)).astype(float), chance.integers(0, 2, size=400)
    notes = Notes()
    assembled = assemble(Request(data=data, task="binary", out=tmp_path / "study", mlflow=False), notes)
    assembled.context.store.close()
    assert any("split as different cases" in line for line in notes.lines) is (values == 2)

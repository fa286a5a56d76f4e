"""Progress on a terminal: one live line per stage, and notes above it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, Self

from rich import progress as bars
from rich.console import Console
from rich.text import Text

from losssearch.progress.stages import TITLES
from losssearch.redaction import redact
from losssearch.storage.records import TrialRecord
from losssearch.study.observer import Population


class TerminalProgress:
    """A Rich progress bar on stderr: trials or populations done, best value, time left."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False, markup=False)  # columns may be named x[0]
        self._bars = bars.Progress(
            bars.TextColumn("{task.description:<17}"),
            bars.BarColumn(bar_width=None),
            bars.MofNCompleteColumn(),
            bars.TextColumn("{task.fields[best]}"),
            bars.TimeElapsedColumn(),
            bars.TimeRemainingColumn(),
            console=self._console,
        )
        self._task: bars.TaskID | None = None
        self._columns = self._bars.columns

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self._task is not None:
            self._bars.stop()

    def note(self, message: str) -> None:
        """See `losssearch.study.observer.Observer`."""
        self._console.print(redact(message), style="dim")

    def stage(self, name: str, total: int) -> None:
        """See `losssearch.study.observer.Observer`."""
        self._bars.start()  # not before: an error in the input is then one line, without an empty bar above it
        self._task = self._bars.add_task(TITLES.get(name, name), total=total or None, best="")

    def deadline(self, seconds: float) -> None:
        """See `losssearch.study.observer.Observer`."""
        self._bars.columns = (*self._columns[:-1], _BudgetLeft(time.monotonic() + seconds))

    def resumed(self, records: Sequence[TrialRecord], best: float | None) -> None:
        """See `losssearch.study.observer.Observer`."""
        self.trials(records, best)

    def population(self, started: Population) -> None:
        """See `losssearch.study.observer.Observer`."""

    def trials(self, records: Sequence[TrialRecord], best: float | None) -> None:
        """See `losssearch.study.observer.Observer`."""
        if self._task is not None:
            shown = "" if best is None else f"best {best:.4g}"
            self._bars.update(self._task, advance=len(records), best=shown)

    def finished(self, result: Mapping[str, Any]) -> None:
        """See `losssearch.study.observer.Observer`."""

    def underway(self, value: float) -> None:
        """See `losssearch.study.observer.Observer`."""
        if self._task is not None:
            self._bars.update(self._task, best=f"best {value:.4g}, in training")

    def advance(self) -> None:
        """See `losssearch.study.observer.Observer`."""
        if self._task is not None:
            self._bars.advance(self._task)


class _BudgetLeft(bars.ProgressColumn):
    """Minutes and seconds that are left of the time budget."""

    def __init__(self, moment: float) -> None:
        super().__init__()
        self._moment = moment

    def render(self, task: bars.Task) -> Text:
        minutes, seconds = divmod(round(max(0.0, self._moment - time.monotonic())), 60)
        return Text(f"{minutes}:{seconds:02} of the budget left")

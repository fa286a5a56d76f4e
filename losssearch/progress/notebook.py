"""Progress in a Jupyter notebook: one display that is updated in place, readable on light and dark pages."""

from __future__ import annotations

import html
import time
from collections.abc import Callable
from typing import Any

from losssearch.progress.stages import Stage, StagedProgress
from losssearch.redaction import redact

PAUSE = 0.2
"""Seconds between two updates, at the least: a browser shows no more, and each is a message."""


class NotebookProgress(StagedProgress):
    """Shows a bar for each stage and the notes below; its display keeps its id, so that later ones replace earlier."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(clock)
        self._notes: list[str] = []
        self._shown = 0.0
        self._handle: Any = None

    def note(self, message: str) -> None:
        """See `losssearch.study.observer.Observer`."""
        said = redact(message)
        if said not in self._notes:
            self._notes.append(said)
            self._display()

    def show(self, *, now: bool) -> None:
        """See `StagedProgress.show`."""
        moment = self.clock()
        if now or moment - self._shown >= PAUSE:
            self._shown = moment
            self._display()

    def _display(self) -> None:
        from IPython.display import display  # there in a kernel, and nowhere else asked for

        bundle = {"text/html": self.page(), "text/plain": self.text()}
        if self._handle is None:
            self._handle = display(bundle, raw=True, display_id=True)
        else:
            self._handle.update(bundle, raw=True)

    def text(self) -> str:
        """What frontends without HTML show: the last stage."""
        if not self.stages:
            return "\n".join(self._notes)
        last = self.stages[-1]
        facts = ", ".join(filter(None, (last.best, self.took(last), self.remaining())))
        return f"{last.title} {last.count}: {facts}"

    def page(self) -> str:
        """The display as HTML. Text has the page's own colour, and bars are mid-tones, which suits any theme."""
        rows = "".join(self._row(stage) for stage in self.stages)
        notes = "".join(f"<li>{html.escape(note)}</li>" for note in self._notes)
        told = f'<ul style="margin:.4em 0 0;padding-left:1.4em;opacity:.75">{notes}</ul>' if notes else ""
        return f'<div class="losssearch-progress mathjax_ignore tex2jax_ignore" role="status">{rows}{told}</div>'

    def _row(self, stage: Stage) -> str:
        running = stage.ended is None
        share = min(1.0, stage.done / stage.total) if stage.total else float(not running)
        facts = " · ".join(
            filter(None, (stage.count, stage.best, self.took(stage), self.remaining() if running else ""))
        )
        colour = "#3b82c4" if running else "#3a9d5d"
        return (
            '<div style="display:flex;align-items:center;gap:.8em;margin:.15em 0;font-variant-numeric:tabular-nums">'
            f'<span style="flex:0 0 9.5em">{html.escape(stage.title)}</span>'
            '<span style="flex:0 1 16em;min-width:4em;height:.6em;border-radius:.3em;overflow:hidden;'
            'background:rgba(128,128,128,.3)">'
            f'<span style="display:block;height:100%;width:{share:.1%};background:{colour}"></span></span>'
            f"<span>{html.escape(facts)}</span></div>"
        )

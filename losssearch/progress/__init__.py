"""Progress displays of a running study: in a notebook, on a terminal, or as lines in a log file."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from losssearch.study.observer import Observer, SilentObserver


def progress(verbose: int = 1) -> AbstractContextManager[Observer]:
    """Choose the display for the progress of a study and its notes: none at ``verbose`` 0, else by where stderr goes.

    In a notebook a display that is updated in place, on a terminal a live line, elsewhere a line now and then.
    """
    if not verbose:
        return nullcontext(SilentObserver())
    if in_notebook():
        from losssearch.progress.notebook import NotebookProgress

        return NotebookProgress()
    if _on_terminal():
        from losssearch.progress.terminal import TerminalProgress

        return TerminalProgress()
    from losssearch.progress.lines import LineProgress

    return LineProgress()


def _on_terminal() -> bool:
    """Whether stderr is a terminal; not where it is closed, or a program's own object that only takes text."""
    try:
        return sys.stderr.isatty()
    except (AttributeError, ValueError):
        return False


def in_notebook() -> bool:
    """Whether the caller runs in a Jupyter kernel. IPython is asked only where it was imported already."""
    ipython: Any = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None and hasattr(ipython, "get_ipython") else None
    return getattr(shell, "kernel", None) is not None

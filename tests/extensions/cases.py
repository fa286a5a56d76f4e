"""What is added from outside the package in each case of the harness: one file each, in ``modules/``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Extension:
    """A module outside the package, and a small study that uses it.

    Args:
        module: the file ``modules/MODULE.py``.
        shows: a name that the trials of the study must mention.
        space: the content of a space file, if the study needs one of its own.
        options: of `losssearch.search`, in addition to those of every case; texts and numbers alone. The rows have the
            columns x0, x1, x2 and the targets label (0 or 1), level and height (numbers).
        standalone: whether the exported ``loss.py`` must run by itself.
    """

    module: str
    shows: str
    space: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    standalone: bool = True


CASES = [
    Extension(
        module="own_term",
        shows="own_margin",
        space="""
# Which margin?
task: binary
max_parts: 1
slots:
  base:
    terms:
      own_margin: {margin: [0.5, 1.5]}
""",
        options={"target": "label", "metric": "roc_auc", "drop": ["level", "height"]},
    ),
    Extension(
        module="own_metric",
        shows="own_fbeta(beta=1.5)",
        options={"target": "label", "metric": "own_fbeta(beta=1.5)", "drop": ["level", "height"]},
    ),
    Extension(
        module="own_task",
        shows="own_likelihood",
        options={"target": ["level", "height"], "task": "own_pair", "drop": "label"},
    ),
]
"""One entry per kind of addition; a new entry is run through all of `test_extensions`."""

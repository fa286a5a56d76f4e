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
        nightly: whether it is left to the nightly run, as the module has a quick test of its own.
    """

    module: str
    shows: str
    space: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    standalone: bool = True
    nightly: bool = False


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
    Extension(
        module="own_network",
        shows="own_network",
        space="""
# Is it of use?
task: regression
max_parts: 2
slots:
  base:
    terms: {own_network: }
  more:
    required: true
    weighting: [constant]
    terms: {absolute: , huber: }
""",
        options={"target": "level", "drop": ["label", "height"]},
        nightly=False,
    ),
    Extension(
        module="own_balance",
        shows="own_running",
        space="""
# Is it of use?
task: regression
max_parts: 2
balances: [own_running]
slots:
  base:
    terms: {squared: }
  more:
    required: true
    weighting: [constant]
    terms: {absolute: , huber: }
""",
        options={"target": "level", "drop": ["label", "height"]},
        nightly=True,
    ),
    Extension(
        module="own_weighting",
        shows="own_floor",
        space="""
# Is it of use?
task: regression
max_parts: 2
slots:
  base:
    terms: {squared: }
  more:
    required: true
    weighting: [own_floor]
    terms: {absolute: , huber: }
""",
        options={"target": "level", "drop": ["label", "height"]},
        nightly=True,
    ),
    Extension(
        module="own_rows",
        shows="own_hardness",
        space="""
# Is it of use?
task: regression
max_parts: 2
slots:
  base:
    terms: {own_hardness: }
  more:
    required: true
    weighting: [constant]
    terms: {absolute: , huber: }
""",
        options={"target": "level", "drop": ["label", "height"]},
        nightly=True,
    ),
    Extension(
        module="own_climbing",
        shows="own_dual",
        space="""
# Is it of use?
task: regression
max_parts: 2
slots:
  base:
    reductions: {own_power: }
    terms: {own_dual: }
  more:
    required: true
    weighting: [constant]
    terms: {absolute: , huber: }
""",
        options={"target": "level", "drop": ["label", "height"]},
        nightly=True,
    ),
]
"""One entry per kind of addition; a new entry is run through all of `test_extensions`."""

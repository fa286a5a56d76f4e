"""The options of a search, each written once: what it is called, what it may be, its default and its help.

The groups are also arguments of `losssearch.search`: ``budget=ls.Budget(trials=64, epochs=10)`` says the same as
``trials=64, epochs=10``.
"""

from __future__ import annotations

from typing import Any

from losssearch.request.groups.budget import Budget
from losssearch.request.groups.compute import Compute
from losssearch.request.groups.fairness import Fairness
from losssearch.request.groups.output import Output
from losssearch.request.groups.panels import STUDY
from losssearch.request.groups.privacy import Privacy
from losssearch.request.groups.question import Question
from losssearch.request.groups.splits import Splits
from losssearch.request.option import documented, options_of

GROUPS: dict[str, type[Any]] = {
    "splits": Splits,
    "budget": Budget,
    "fairness": Fairness,
    "privacy": Privacy,
    "compute": Compute,
    "output": Output,
}
"""The groups that `losssearch.search` takes, by the name of the argument."""

for _group in GROUPS.values():
    _group.__doc__ = f"{_group.__doc__}\n\nArgs:\n    {documented(options_of(_group), 4)}\n"

__all__ = ["GROUPS", "STUDY", "Budget", "Compute", "Fairness", "Output", "Privacy", "Question", "Splits"]

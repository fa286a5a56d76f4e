"""A constraint on a gap between groups, as a user writes it: ``demographic_parity_difference <= 0.05``."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from torch import Tensor

from losssearch.errors import OptionError, shown
from losssearch.evaluation.fairness.gaps import Gap, Operator, get_gap
from losssearch.tasks import get_task

SMALLEST_SCALE = 0.01
"""What an excess is measured in at a limit of zero."""
_CONSTRAINT = re.compile(r"\s*(?P<name>[^\s<>=≤≥]+)\s*(?P<operator>[<>=≤≥]+)\s*(?P<limit>[^\s<>=]+)\s*")
_SIGNS = {"≤": "<=", "≥": ">="}


@dataclass(frozen=True)
class Constraint:
    """A gap and its limit. ``gap`` follows from ``name`` and the kind of task."""

    name: str
    op: Operator
    limit: float
    task: str
    gap: Gap = field(compare=False, repr=False)

    @property
    def class_axis(self) -> bool:
        """Whether outputs end in a class dimension."""
        return get_task(self.task).view.columns

    def __str__(self) -> str:
        return f"{self.name} {self.op} {self.limit:g}"

    def excess(self, value: Tensor) -> Tensor:
        """How far a gap is beyond the limit, in units of the limit: at most 0 where the limit is kept."""
        beyond = value - self.limit if self.op == "<=" else self.limit - value
        return beyond / max(abs(self.limit), SMALLEST_SCALE)

    def met(self, value: float) -> bool:
        """Whether a gap of this value satisfies the limit; nan does not."""
        return value <= self.limit if self.op == "<=" else value >= self.limit


def parse_constraint(text: str, task: str) -> Constraint:
    """Read ``GAP <= LIMIT`` or ``GAP >= LIMIT``, with or without spaces.

    Args:
        text: Such as ``equalized_odds_difference<=0.1`` or ``worst_group_accuracy >= 0.8``.
        task: Kind of task, such as ``"binary"``.

    Raises:
        UnknownNameError: For a gap, a metric in ``worst_group_METRIC`` or a kind of task that there is none of.
        OptionError: For another form, the wrong sign, a limit out of range, or a gap that does not fit the task.
    """
    match = _CONSTRAINT.fullmatch(text) or _CONSTRAINT.fullmatch(_without_call_signs(text))
    if match is None:
        raise OptionError(f"a constraint is written GAP <= LIMIT or GAP >= LIMIT, got {shown(text)}")
    gap = get_gap(match["name"].replace(_EQUALS, "="), task)
    operator = _SIGNS.get(match["operator"], match["operator"])
    if operator != gap.operator:
        kind = {"difference": "a difference", "ratio": "a ratio", "worst": gap.name}[gap.compare]
        raise OptionError(f"{kind} must be limited by `{gap.operator}`, got {shown(text)}")
    try:
        limit = float(match["limit"])
    except ValueError:
        raise OptionError(f"the limit of a constraint must be a number, got {shown(text)}") from None
    if not gap.low <= limit <= gap.high or math.isinf(limit):
        raise OptionError(f"the limit of {gap.name} must lie in [{gap.low:g}, {gap.high:g}], got {limit:g}")
    return Constraint(gap.name, gap.operator, limit, task, gap)


def parse_constraints(texts: Iterable[str], task: str) -> tuple[Constraint, ...]:
    """Read several constraints, all of which must hold.

    Raises:
        UnknownNameError: As `parse_constraint`.
        OptionError: As `parse_constraint`, or where a gap has two limits.
    """
    constraints = tuple(parse_constraint(text, task) for text in texts)
    names = [constraint.name for constraint in constraints]
    for name in names:
        if names.count(name) > 1:
            raise OptionError(f"a gap has one limit, got two for {name}")
    return constraints


_EQUALS = "\0"


def _without_call_signs(text: str) -> str:
    """``text`` with the signs inside parentheses hidden, as in ``worst_group_cost(fp=1,fn=5) <= 0.3``."""
    return re.sub(r"\([^()]*\)", lambda call: call[0].replace("=", _EQUALS).replace(" ", ""), text)

"""What a user demands of groups: constraints or a front, checked and put into terms of losses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from losssearch.assembly.forewarning import telling_columns, unverifiable_limits
from losssearch.data import Dataset
from losssearch.data.groups import SensitiveNumber, sensitive_columns
from losssearch.errors import OptionError, UnknownNameError
from losssearch.evaluation import metrics_for
from losssearch.evaluation.fairness import Constraint, gaps_for, get_gap, parse_constraint, parse_constraints
from losssearch.option_names import option
from losssearch.request import DEFAULTS, Request
from losssearch.space import SearchSpace
from losssearch.space.binding import Values, bind
from losssearch.study.observer import Observer
from losssearch.tasks import Task


@dataclass(frozen=True)
class Fairness:
    """The demands of a study, as its settings have them; all empty without a sensitive attribute."""

    sensitive: tuple[str, ...] = ()
    constraints: tuple[str, ...] = ()
    front: str = ""
    metric: str | None = None
    """The metric that the objectives name."""

    def statistics(self, task: str) -> list[str]:
        """What the gaps compare, as the loss terms name it."""
        gaps = [self.front] if self.front else [c.name for c in parse_constraints(self.constraints, task)]
        return [get_gap(name, task).statistic for name in gaps]

    @property
    def demanded(self) -> bool:
        """Whether groups matter at all."""
        return bool(self.constraints or self.front)


def read_fairness(options: Request, task: Task, attribute: SensitiveNumber | None = None) -> Fairness:
    """Check the options against each other, the kind of task and a sensitive ``attribute`` that is a number.

    Raises `OptionError` or `UnknownNameError`.
    """
    metric, front = _objectives(options.objectives, task)
    if metric and options.metric and metric != options.metric:
        raise OptionError(
            f"{option('metric')} and {option('objectives')} must name one metric, got {options.metric} and {metric}"
        )
    constraints = parse_constraints(options.constraints, task.kind)
    if (constraints or front) and options.sensitive is None:
        raise OptionError(
            f"a constraint or a front between groups needs {option('sensitive')}, the column that says who is in which"
        )
    if options.sensitive_as_feature and options.sensitive is None:
        raise OptionError(
            f"{option('sensitive_as_feature', True)} needs {option('sensitive')}, the column that is to "
            f"stay among the features"
        )
    if constraints and front:
        raise OptionError(
            f"{option('constraints')} sets a limit and {option('objectives')} draws the trade-off: give one of them"
        )
    if options.confidence != DEFAULTS["confidence"] and not constraints:
        raise OptionError(
            f"{option('confidence')} says how surely a {option('constraints')} is to be kept: give one, or leave it out"
        )
    if options.group_thresholds and not (constraints or front):
        raise OptionError(
            f"{option('group_thresholds', True)} needs {option('constraints')} that they are to satisfy, "
            f"or a front by {option('objectives')}"
        )
    if options.group_thresholds and not task.view.thresholded:
        raise OptionError(f"{option('group_thresholds')} is for binary tasks, this one is {task.kind}")
    _fit_attribute(constraints, front, options, attribute)
    sensitive = () if options.sensitive is None else sensitive_columns(options.sensitive) or ("group",)
    return Fairness(sensitive, tuple(map(str, constraints)), front, metric)


def _fit_attribute(
    constraints: Sequence[Constraint], front: str, options: Request, attribute: SensitiveNumber | None
) -> None:
    """Gaps between groups need groups, and gaps of a number need one; raise `OptionError` for anything else."""
    if attribute is None:
        for constraint in constraints:
            if constraint.gap.scores is not None:
                raise OptionError(
                    f"{constraint.name} needs a sensitive attribute that is a number, without a cut; "
                    f"{option('sensitive')} names "
                    "groups: limit a gap between them, such as demographic_parity_difference"
                )
        return
    between = [constraint.name for constraint in constraints if constraint.gap.scores is None]
    asked = [
        *between,
        *([front] if front else []),
        *([option("group_thresholds", True)] if options.group_thresholds else []),
    ]
    if asked:
        raise OptionError(
            f"{asked[0]} needs groups, and {attribute.name!r} is a number: give a cut, such as "
            f"{option('sensitive', f'{attribute.name}>={attribute.median:.15g}')}, or limit "
            f"attribute_correlation or decision_correlation"
        )


def _objectives(names: Sequence[str], task: Task) -> tuple[str | None, str]:
    """The metric and the gap among the objectives."""
    gaps = [name for name in names if name in gaps_for(task.kind)]
    metrics = [name for name in names if name not in gaps]
    for name in metrics:
        if "(" not in name and name not in metrics_for(task.kind):
            raise UnknownNameError("objective", name, [*metrics_for(task.kind), *gaps_for(task.kind)])
    if len(gaps) > 1 or len(metrics) > 1:
        raise OptionError(f"{option('objectives')} takes one metric and one gap between groups, got {', '.join(names)}")
    if gaps and get_gap(gaps[0], task.kind).compare != "difference":
        raise OptionError(
            f"the gap of a front must be a difference, such as demographic_parity_difference; got {gaps[0]}"
        )
    return (metrics[0] if metrics else None), (gaps[0] if gaps else "")


def bound_space(space: SearchSpace, fairness: Fairness, task: Task) -> SearchSpace:
    """The space with the statistics and limits of the constraints filled in."""
    if fairness.front:
        gap = parse_constraint(f"{fairness.front} <= 0", task.kind)
        return bind(space, [_values(gap)])
    return bind(space, [_values(constraint) for constraint in parse_constraints(fairness.constraints, task.kind)])


def _values(constraint: Constraint) -> Values:
    """A constraint as the loss terms see it; where its limit has another unit than theirs, the aim is no gap at all."""
    gap, limit = constraint.gap, 0.0
    if gap.compare == "difference" and gap.shares is not None:
        limit = constraint.limit
    elif gap.compare == "ratio":
        limit = 1 - constraint.limit
    return {"statistic": gap.statistic, "limit": limit}


def warn(fairness: Fairness, dataset: Dataset, observer: Observer, *, as_feature: bool = False) -> None:
    """Tell what a user of groups should know before the study starts."""
    if fairness.sensitive and not fairness.demanded and dataset.cells is None:
        observer.note(
            f"a sensitive attribute without {option('constraints')} or {option('objectives')}: groups "
            f"are reported, not made alike"
        )
    if dataset.attribute is not None:
        return
    for line in unverifiable_limits(parse_constraints(fairness.constraints, dataset.task), dataset):
        observer.note(line)
    if fairness.demanded and not as_feature:
        for line in telling_columns(dataset, fairness.sensitive):
            observer.note(line)
    if len(dataset.groups) > 8:
        observer.note(
            f"{len(dataset.groups)} groups: differences between this many vary by chance; the result says how much"
        )

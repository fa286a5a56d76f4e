"""``@metric``: a metric is declared at the function that computes it, as a term is with ``@loss_term``.

One declaration is one `MetricRecord`. It makes the `Metric` of a kind of task; with numbers, such as
``cost(fp=1,fn=5)``, a metric for each choice of them.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar, cast, get_args

from losssearch.arguments import declaration
from losssearch.errors import OptionError, SpecError, shown
from losssearch.evaluation.grid import OnGrid
from losssearch.evaluation.made import Computed, Made, Oracle, Tuning
from losssearch.evaluation.per_member import PerMember, per_member
from losssearch.evaluation.record import Direction, Fit, Metric
from losssearch.evaluation.several import SEVERAL
from losssearch.evaluation.source import source_of
from losssearch.losses.domains import Float
from losssearch.tasks import TASKS
from losssearch.tasks.view import AdjustmentKind, View

_Function = TypeVar("_Function", bound=Callable[..., Any])


@dataclass(frozen=True)
class MetricRecord:
    """One ``@metric``: the function and its facts. ``tasks`` names kinds of task, or views of kinds."""

    name: str
    function: Callable[..., Any]
    direction: Direction
    tasks: frozenset[str]
    unit: str
    computed: Computed
    tuned: Tuning | AdjustmentKind | None
    numbers: Mapping[str, Float]
    oracle: Oracle | None
    facts: Mapping[str, Any]
    aims: Callable[..., Mapping[str, float]] | None
    check: Callable[..., None] | None
    summary: str

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of its numbers, in order."""
        return tuple(self.numbers)

    @property
    def example(self) -> str:
        """Its name, with the default numbers where it has some."""
        return self.called({name: domain.default for name, domain in self.numbers.items()})

    def called(self, numbers: Mapping[str, float]) -> str:
        """Its name with ``numbers``."""
        listed = ",".join(f"{name}={value:g}" for name, value in numbers.items())
        return f"{self.name}({listed})" if numbers else self.name

    def fits(self, kind: str, view: View) -> bool:
        """Whether it is for this kind of task, or for all of this view."""
        return kind in self.tasks or view.name in self.tasks

    def make(self, view: View, numbers: Mapping[str, float] | None = None) -> Metric:
        """The metric for outputs that are read by ``view``; raises `OptionError` for numbers out of range."""
        given = {name: (numbers or {}).get(name, domain.default) for name, domain in self.numbers.items()}
        if self.check is not None:
            self.check(**given)
        try:
            given = {name: domain.check(f"{self.name}'s {name}", given[name]) for name, domain in self.numbers.items()}
        except SpecError as error:
            raise OptionError(f"metric {error}") from None
        function = partial(self.function, **given) if given else self.function
        measure = self.computed(function, view)
        made = Made(function, measure, 1.0 if self.direction == "maximize" else -1.0, given)
        kind, fit = self._tuned(made, view)
        return Metric(
            name=self.called(given),
            direction=self.direction,
            view=view,
            unit=self.unit,
            adjustment=kind,
            function=measure,
            fit=fit,
            aims=tuple((self.aims(**given) if self.aims else {}).items()),
            weighs=measure.weighs,
            cells=isinstance(measure, PerMember) and measure.reads_group,
            source="" if is_own(self.function) else source_of(self.function),
            **self.facts,
        )

    def _tuned(self, made: Made, view: View) -> tuple[AdjustmentKind, Fit | None]:
        if isinstance(self.tuned, Tuning):
            return self.tuned.kind, self.tuned.fit(made)
        read = made.measure.reads if isinstance(made.measure, PerMember) else ()
        by_what_it_reads = next((view.tunes[name] for name in read if name in view.tunes), None)
        tuned = self.tuned or by_what_it_reads or "none"
        if tuned == "none":
            return "none", None
        if tuned not in view.tunes.values():
            fitting = ", ".join(("none", *dict.fromkeys(view.tunes.values())))
            raise OptionError(f"metric {self.name} may be tuned by {fitting} in this kind of task, got {tuned!r}")
        if (several := SEVERAL.get(tuned)) is not None:
            return tuned, several.fit
        return tuned, OnGrid(tuned, made.measure, made.sign)


def is_own(function: Callable[..., Any]) -> bool:
    """Whether a metric's function is one of losssearch itself."""
    return (getattr(function, "__module__", None) or "").partition(".")[0] == "losssearch"


_records: list[MetricRecord] = []


def records() -> tuple[MetricRecord, ...]:
    """Every declared metric, in the order of declaration."""
    return tuple(_records)


def record_of(function: object) -> MetricRecord | None:
    """The declaration of a function by ``@metric``; None if there is none."""
    return next((record for record in reversed(_records) if record.function is function), None)


@declaration("ls.metric", named=False)
def metric(
    *,
    direction: Direction,
    task: str | View | Iterable[str | View],
    name: str = "",
    unit: str = "",
    tuned: Tuning | AdjustmentKind | None = None,
    computed: Computed = per_member,
    oracle: Oracle | None = None,
    check: Callable[..., None] | None = None,
    aims: Callable[..., Mapping[str, float]] | None = None,
    low: float | None = None,
    high: float | None = None,
    lowest: float | None = None,
    nonzero: bool = False,
    grain: float = 0.0,
    statistic: str = "mean_loss",
    **numbers: Float,
) -> Callable[[_Function], _Function]:
    """Declare a metric. The decorated function stays what it is.

    The function is called with the outputs and the target of one model and returns one number. Its positional
    parameters say what it reads, and have no other names: ``outputs``, ``target`` (or ``labels``), or a name of the
    task's view such as ``decisions``, ``probabilities``, ``scores`` or ``predictions``; ``batch`` is a mapping with
    all of them. A kind of task whose view offers names of its own is declared before metrics that read them. ``group``
    is the number of the sensitive group of each row, for tasks with classes. A parameter ``weight`` takes one weight
    per row, or None. Keyword-only parameters are its ``numbers``.

    Args:
        direction: ``"maximize"`` or ``"minimize"``.
        task: The kinds of task that it is for.
        name: Its name; the function's own by default.
        unit: Of its values, for reports.
        tuned: What is tuned after training: ``"none"``, ``"threshold"``, ``"temperature"``, ``"prior_shift"`` or
            ``"shift"``. By default, what suits what it reads: for decisions a threshold or prior shift, for
            probabilities a temperature, for predictions a shift. It is searched on a grid.
        computed: How the function becomes a measure; by default it is called for one model at a time.
        oracle: The function of another library that it must equal.
        check: Raises `OptionError` for numbers that do not go together.
        aims: From the numbers to those that a loss can be aimed at.
        low: The least that it can be.
        high: The most that it can be.
        lowest: The smallest target that it can judge.
        nonzero: Whether it divides by the target.
        grain: What predictions count as at the least.
        statistic: The statistic of the fairness losses that pushes on the worst group by this metric.
        numbers: The range and default of each keyword-only parameter.

    Raises:
        SpecError: For a declaration that contradicts the function, or a second metric of a name and kind of task.

    Example:
        >>> import losssearch as ls
        >>> @ls.metric(direction="minimize", task="binary", low=0.0)
        ... def missed(decisions, target):
        ...     return 10 * ((decisions == 0) & (target == 1)).sum() + ((decisions == 1) & (target == 0)).sum()
        >>> decision = ls.tune_decision([-2.0, -0.5, 1.0, 0.3], [0, 1, 1, 0], metric=missed)
        >>> decision.value, decision.decide([-1.5, 0.0]).tolist()
        (1.0, [0, 1])

        A study takes it likewise: ``ls.search(data, target="label", metric=missed)``.
    """
    kinds = [task] if isinstance(task, str | View) or not isinstance(task, Iterable) else list(task)
    if not kinds or not all(isinstance(one, str | View) for one in kinds):
        raise SpecError(f"a metric's task must be the name of a kind of task, or several, got {shown(task)}")
    tasks = frozenset(one.name if isinstance(one, View) else one for one in kinds)
    spans = {"low": low, "high": high, "lowest": lowest}
    facts: dict[str, Any] = {key: value for key, value in spans.items() if value is not None} | {"nonzero": nonzero}
    facts |= {"grain": grain, "statistic": statistic}
    if direction not in get_args(Direction):
        raise SpecError(f"a metric's direction must be maximize or minimize, got {direction!r}")

    def declare(function: _Function) -> _Function:
        called = name or name_of(function)
        if not called.isidentifier():
            raise SpecError(f"a metric needs a name, letters, digits and _ alone, got {called!r}: give name=")
        keywords = [] if inspect.isclass(function) else _keywords(function)
        if sorted(keywords) != sorted(numbers):
            raise SpecError(
                f"metric {called}'s keyword-only parameters {keywords} must be declared, each as a Float, got "
                f"{sorted(numbers)}"
            )
        if wrong := [key for key, value in numbers.items() if not isinstance(value, Float)]:
            raise SpecError(f"metric {called} must declare {', '.join(wrong)} as Float")
        record = MetricRecord(
            name=called,
            function=function,
            direction=direction,
            tasks=tasks,
            unit=unit,
            computed=computed,
            tuned=tuned,
            numbers=dict(numbers),
            oracle=oracle,
            facts=facts,
            aims=aims,
            check=check,
            summary=(function.__doc__ or "").strip().partition("\n")[0],
        )
        if computed is per_member:
            views = [one for one in kinds if isinstance(one, View)] + _views(tasks)
            per_member(function, None, (name for view in views for name in view.reads))  # raises if it cannot be called
        _enter(record)
        return function

    return declare


def undeclared(function: Callable[..., Any], direction: Direction, task: str) -> MetricRecord:
    """A record of a function that was given as it is; it enters no registry.

    Raises:
        OptionError: For a function without a name, or whose parameters cannot be read.
    """
    called = name_of(function)
    if not called.isidentifier():
        raise OptionError(
            f"a metric needs a name, which {called} is not: define it with def, or declare it with ls.metric(name=…)"
        )
    try:
        per_member(function, None, (name for view in _views({task}) for name in view.reads))
    except SpecError as error:
        raise OptionError(str(error)) from None
    if keywords := _keywords(function):
        raise OptionError(
            f"metric {called} has keyword-only parameters, {', '.join(keywords)}: declare it with ls.metric, which "
            "gives each its range"
        )
    return MetricRecord(
        called, function, direction, frozenset({task}), "", per_member, None, {}, None, {}, None, None, ""
    )


def _views(tasks: Collection[str]) -> list[View]:
    """The views of the kinds of task, declared so far, that are named by a kind or a view."""
    return [task.view for kind, task in TASKS.items() if kind in tasks or task.view.name in tasks]


def name_of(function: Callable[..., Any]) -> str:
    """What a function is called."""
    while isinstance(function, partial):
        function = function.func
    return str(getattr(function, "__name__", type(function).__name__))


def _keywords(function: Callable[..., Any]) -> list[str]:
    return [one.name for one in inspect.signature(function).parameters.values() if one.kind is one.KEYWORD_ONLY]


def _enter(record: MetricRecord) -> None:
    """Keep a record; one of the same function, declared again, takes the place of the first."""
    for place, known in enumerate(_records):
        if known.name == record.name and _overlap(known, record):
            if _home(known) != _home(record) or is_own(record.function):
                raise SpecError(
                    f"a metric's name must be unique in its kind of task, got a second {record.name!r}; the first is "
                    f"that of {known.function.__module__}"
                )
            _records[place] = record
            return
    _records.append(record)


def _overlap(a: MetricRecord, b: MetricRecord) -> bool:
    """Whether two metrics are for one kind of task."""
    kinds = (kind for kind, one in TASKS.items() if a.fits(kind, one.view) and b.fits(kind, one.view))
    return bool(a.tasks & b.tasks) or next(kinds, None) is not None


def _home(record: MetricRecord) -> tuple[str, str]:
    function = cast("Any", record.function)
    return getattr(function, "__module__", ""), getattr(function, "__qualname__", "")

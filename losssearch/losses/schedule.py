"""Schedules: a number of a loss as a function of how much of the training is done.

A schedule may stand wherever a loss has a real number: at a weight, a hyperparameter or a number of a reduction or of a
balance. In a spec's JSON it is ``{"schedule": "linear", "start": 2.0, "end": 0.0}`` in place of the number. ``"from"``
and ``"to"``, shares of the training, say when it runs; before and after, the number stays as it is at the ends.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from torch import Tensor

from losssearch.arguments import declaration
from losssearch.errors import SpecError, shown
from losssearch.losses.domains import Float, Int
from losssearch.losses.record import Family, Record, filled


@dataclass(frozen=True)
class Level:
    """A number of a schedule that is a value of the scheduled number, in whose range it must lie."""


LEVEL: Final = Level()

WHOLE = (0.0, 1.0)
"""The window of a schedule that runs over the whole training."""
WINDOW: Mapping[str, Float] = MappingProxyType(
    {"from": Float(0.0, 1.0, default=WHOLE[0]), "to": Float(0.0, 1.0, default=WHOLE[1])}
)
"""The shares of the training between which any schedule may run."""


@dataclass(frozen=True)
class Schedule(Record):
    """The record of a schedule; ``levels`` are the numbers that must lie in the range of what is scheduled.

    ``between``: whether its values lie between its levels, so that equal levels are one constant.
    """

    levels: frozenset[str] = frozenset()
    between: bool = False

    def __post_init__(self) -> None:
        if not self.levels:
            raise SpecError(f"the schedule {self.name} must declare a LEVEL, a value of the number that it moves")
        if taken := set(WINDOW) & set(self.domains):
            raise SpecError(f"every schedule has from and to: give {min(taken)} of {self.name} another name")


def _keeps_nothing(what: str, facts: Mapping[str, Any]) -> None:
    if facts["states"]:
        raise SpecError(f"the {what} {facts['name']} may keep no state")


_registry: dict[str, Schedule] = {}
FAMILY = Family("schedule", ("progress",), Schedule, _keeps_nothing, _registry)
schedules: Mapping[str, Schedule] = FAMILY.records
"""Every schedule by name."""


@dataclass(frozen=True)
class Scheduled:
    """A number that follows the schedule ``kind``, with the schedule's numbers by name.

    ``window``: the shares of the training between which it runs.
    """

    kind: str
    numbers: tuple[tuple[str, float], ...]
    window: tuple[float, float] = WHOLE

    @classmethod
    def of(cls, kind: str, **numbers: float) -> Scheduled:
        """A schedule by its numbers, ``from`` and ``to`` among them; they are checked where a loss is made of it."""
        own = tuple((name, value) for name, value in numbers.items() if name not in WINDOW)
        return cls(kind, own, (numbers.get("from", WHOLE[0]), numbers.get("to", WHOLE[1])))

    @property
    def record(self) -> Schedule:
        """The schedule; raises `UnknownNameError` where nobody declared it."""
        return FAMILY[self.kind]

    @property
    def windowed(self) -> bool:
        """Whether it runs in a part of the training alone."""
        return self.window != WHOLE

    @property
    def course(self) -> tuple[object, ...]:
        """What must be equal for two schedules to be evaluated together."""
        return (self.kind, "windowed") if self.windowed else (self.kind,)

    @property
    def values(self) -> dict[str, float]:
        """The schedule's numbers by name, and the ends of its window where it has one."""
        window = zip(WINDOW, self.window, strict=True) if self.windowed else ()
        return {**dict(self.numbers), **dict(window)}

    @property
    def levels(self) -> list[float]:
        """The values that the scheduled number is given."""
        return [value for name, value in self.numbers if name in self.record.levels]

    def scaled(self, factor: float) -> Scheduled:
        """The same with ``factor`` times each level."""
        own = self.record.levels
        return replace(self, numbers=tuple((k, factor * v if k in own else v) for k, v in self.numbers))


Number: TypeAlias = float | int | Scheduled
"""A number of a loss, or the schedule that it follows."""


@declaration("ls.schedule")
def schedule(
    *,
    formula: str,
    latex: str = "",
    reference: str = "",
    plain: bool = False,
    between: bool = False,
    **declared: Float | Int | Level,
) -> Callable[[Callable[..., Tensor]], Schedule]:
    """Declare a schedule: a function of ``progress``, a scalar in [0, 1], and of the ``declared`` numbers.

    Where a loss lets it run in a part of the training, ``progress`` is the share of that part.

    Args:
        formula: How it is printed, with ``{NAME}`` for each number.
        latex: The same as LaTeX; ``formula`` by default.
        reference: The paper or book that it comes from.
        plain: Whether it computes the same with Python's numbers in place of tensors.
        between: Whether its values lie between its levels, so that equal levels are one constant.
        **declared: The domain of each number; `LEVEL` for values of the scheduled number itself. Levels must be given,
            other numbers have their defaults.

    Raises:
        SpecError: the name is taken, or the signature does not match the declaration.
    """
    own = {name: Float(-1e30, 1e30, default=0.0) if isinstance(d, Level) else d for name, d in declared.items()}
    levels = frozenset(name for name, domain in declared.items() if isinstance(domain, Level))
    facts = {"reference": reference, "plain": plain, "levels": levels, "between": between}
    return FAMILY.declare(own, formula=formula, latex=latex, **facts)


def is_schedule(data: object) -> bool:
    """Whether ``data`` is the JSON form of a schedule, of whatever kind."""
    return isinstance(data, Scheduled) or (isinstance(data, Mapping) and "schedule" in data)


def read_number(name: str, data: object, domain: Float | Int) -> Number:
    """A number in its domain, or a schedule of values in it, from its JSON form; raises `SpecError` otherwise."""
    if not is_schedule(data):
        if isinstance(data, Mapping) and isinstance(domain, Float):
            number = f"a number in [{domain.low:g}, {domain.high:g}]"
            raise SpecError(f"{name} is {number}, or {schedule_forms()}; got {shown(data)}")
        return domain.check(name, data)
    if not isinstance(domain, Float):
        raise SpecError(f"{name} must be a whole number and can follow no schedule")
    given = {"schedule": data.kind, **data.values} if isinstance(data, Scheduled) else dict(data)  # type: ignore[call-overload]
    kind = given.pop("schedule")
    if not isinstance(kind, str) or kind not in schedules:
        raise SpecError(f"{name} is a number, or {schedule_forms()}; got the schedule {shown(kind)}")
    record = schedules[kind]
    if set(given) - set(record.domains) - set(WINDOW) or not record.levels <= set(given):
        wanted = ", ".join([*record.domains, *WINDOW])
        found = ", ".join(sorted(map(str, given))) or "nothing"
        raise SpecError(f"{name}: the schedule {kind} has the numbers {wanted}; got {found}")
    checked = {
        key: (domain if key in record.levels else own).check(f"{name}.{key}", given.get(key, own.default))
        for key, own in record.domains.items()
    }
    first, last = (own.check(f"{name}.{key}", given.get(key, own.default)) for key, own in WINDOW.items())
    if not first < last:
        raise SpecError(f"{name}: `from < to` must hold of a schedule, got from={first:g}, to={last:g}")
    levels = {checked[key] for key in record.levels}
    if record.between and len(levels) == 1:
        return levels.pop()
    return Scheduled(kind, tuple(checked.items()), (first, last))


def schedule_forms() -> str:
    """How a schedule is written, and what others there are."""
    others = ", ".join(sorted(set(schedules) - {"linear"}))
    return f'follows a schedule, written as {{"schedule": "linear", "start": …, "end": …}} (or {others})'


def number_json(number: Number) -> object:
    """The inverse of `read_number`."""
    return {"schedule": number.kind, **number.values} if isinstance(number, Scheduled) else number


def number_text(number: Number, *, latex: bool = False) -> str:
    """A number for people, to three digits, or the schedule that it follows."""
    if not isinstance(number, Scheduled):
        return f"{number:.3g}" if isinstance(number, float) else f"{number}"
    record = number.record
    text = filled(record.latex if latex else record.formula, {k: f"{v:.3g}" for k, v in number.numbers})
    if not number.windowed:
        return text
    first, last = (f"{end:.3g}" for end in number.window)
    return rf"{text}\ \text{{in}}\ [{first}, {last}]" if latex else f"{text} in [{first}, {last}]"


def flat_numbers(name: str, number: Number) -> dict[str, float]:
    """The floats that give a number: itself, or those of its schedule as ``NAME.KEY``."""
    if isinstance(number, Scheduled):
        return {f"{name}.{key}": float(value) for key, value in number.values.items()}
    return {name: float(number)}


def number_at(name: str, number: Number, numbers: Mapping[str, Any], progress: Any) -> Any:
    """The value of a number, from the tensors (or floats) that `flat_numbers` names, at ``progress``."""
    if isinstance(number, Scheduled):
        if number.windowed:
            progress = within(progress, *(numbers[f"{name}.{end}"] for end in WINDOW))
        return number.record.function(progress, **{key: numbers[f"{name}.{key}"] for key, _ in number.numbers})
    return numbers[name]


def within(progress: Tensor, first: Any, last: Any) -> Tensor:
    """The share that is done of what lies between ``first`` and ``last``, shares of the training."""
    share: Tensor = (progress - first) / (last - first)
    return share.clamp_min(0).clamp_max(1)  # `clamp` of both cannot be recorded

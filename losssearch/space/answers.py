"""What is asked of a trial for one number: a value of its range, or a schedule; and how a space file writes both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias, cast

from losssearch.losses.domains import Choice, Domain, Float, Int, Tree
from losssearch.losses.schedule import WINDOW, Scheduled, schedules
from losssearch.losses.term import Setting
from losssearch.losses.weighting import CONSTANT
from losssearch.space.trials import TreeTrial, Trial

SCHEDULE = "schedule"
"""The name of the choice among a constant and schedules, behind that of a number."""
Courses: TypeAlias = Mapping[str, Mapping[str, Domain]]
"""What a number may follow: constant and schedules by name, each with the ranges that a space names of its numbers."""
CONSTRAINT = "$constraint."
"""How a space file names a value of the study's constraint."""
AIM = "$metric."
"""How a space file names a number of the study's metric."""
Constrained: TypeAlias = tuple[Literal["value", "high"], str]
"""What a value of the constraint is to a hyperparameter, its value or the end of its range, and the value's name."""


def choose(trial: Trial, name: str, options: Sequence[str]) -> str:
    """The trial's choice; a single option is not asked for."""
    return options[0] if len(options) == 1 else trial.suggest_categorical(name, options)


def ask(trial: Trial, name: str, domain: Domain) -> Any:
    """The trial's answer; a range of one value is not asked for."""
    if isinstance(domain, Choice):
        return choose(trial, name, domain.options)
    if isinstance(domain, Tree):
        return cast("TreeTrial", trial).suggest_tree(name, domain.nodes)
    if domain.low == domain.high:
        return domain.low
    if isinstance(domain, Int):
        return trial.suggest_int(name, domain.low, domain.high)
    return trial.suggest_float(name, domain.low, domain.high, log=domain.log)


def setting(trial: Trial, name: str, domain: Domain, courses: Courses | None = None) -> Any:
    """The trial's answer for a number: a value, or a schedule whose levels lie in the range where it names no other."""
    if not courses or (_is_fixed(domain) and not any(courses.values())):
        return ask(trial, name, domain)
    kind = choose(trial, f"{name}.{SCHEDULE}", tuple(courses))
    if kind == CONSTANT:
        return ask(trial, name, domain)
    numbers = {key: ask(trial, f"{name}.{key}", own) for key, own in course_ranges(kind, domain, courses[kind]).items()}
    return Scheduled.of(kind, **numbers)


def _is_fixed(domain: Domain) -> bool:
    return not isinstance(domain, Float) or domain.low == domain.high


def course_ranges(kind: str, domain: Domain, given: Mapping[str, Domain]) -> dict[str, Domain]:
    """The range of each number of a schedule of a number in ``domain``, of which a space names those ``given``."""
    record = schedules[kind]
    usual = {key: domain if key in record.levels else own for key, own in record.domains.items()}
    ends = {key: Float(own.default, own.default, default=own.default) for key, own in WINDOW.items()}
    return {**usual, **ends, **given}


def setting_params(name: str, value: Setting) -> dict[str, Any]:
    """The answers that give one number; names that were not asked may be among them."""
    if isinstance(value, Scheduled):
        numbers = {**dict(zip(WINDOW, value.window, strict=True)), **value.values}
        return {f"{name}.{SCHEDULE}": value.kind, **{f"{name}.{key}": number for key, number in numbers.items()}}
    return {f"{name}.{SCHEDULE}": CONSTANT, name: value}


def settings_params(prefix: str, settings: Mapping[str, Setting]) -> dict[str, Any]:
    """The answers that give several numbers, whose names stand behind ``prefix``."""
    found: dict[str, Any] = {}
    for key, value in settings.items():
        found |= setting_params(f"{prefix}.{key}", value)
    return found


def domain_json(domain: Domain, constrained: Constrained | None = None, courses: Courses | None = None) -> object:
    """A range, and the schedules next to it, in the form of a space file."""
    moving = {SCHEDULE: _courses_json(courses)} if courses else {}
    if constrained is not None:
        end, key = constrained
        named = f"{CONSTRAINT}{key}"
        if end == "value" or isinstance(domain, Choice | Tree):
            return named
        return {"low": domain.low, "high": named, **moving}
    if isinstance(domain, Choice):
        return list(domain.options)
    if isinstance(domain, Tree):
        return {"nodes": domain.nodes}
    if isinstance(domain, Int):
        return {"low": domain.low, "high": domain.high}
    return {"low": domain.low, "high": domain.high, "log": domain.log, **moving}


def _courses_json(courses: Courses) -> object:
    if not any(courses.values()):
        return list(courses)
    return {kind: {key: domain_json(own) for key, own in ranges.items()} or None for kind, ranges in courses.items()}


def ranges_json(ranges: Mapping[str, Domain], courses: Mapping[str, Courses]) -> object:
    """One range as it is, several by name, None if there is none."""
    written = {name: domain_json(domain, None, courses.get(name)) for name, domain in ranges.items()}
    return written if len(written) > 1 else next(iter(written.values()), None)

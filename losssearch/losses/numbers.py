"""A weighting, reduction or balance at its numbers: checked, written as JSON and as text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Self, TypeVar

from losssearch.errors import SpecError, shown
from losssearch.losses.record import Family, Record, filled
from losssearch.losses.schedule import Number, Scheduled, number_json, number_text, read_number

R = TypeVar("R", bound=Record)


@dataclass(frozen=True, init=False)
class Chosen(Generic[R]):
    """One record of a family, ``kind``, at its ``numbers``.

    Raises `UnknownNameError` for an undeclared kind, `SpecError` for a number out of its range.
    """

    kind: str
    numbers: tuple[tuple[str, Number], ...]

    family: ClassVar[Family[Any]]
    standard: ClassVar[str]
    """The kind where a spec names none."""

    def __init__(self, kind: str | None = None, **numbers: Number) -> None:
        record = self.family[self.standard if kind is None else kind]
        object.__setattr__(self, "kind", record.name)
        object.__setattr__(self, "numbers", tuple(checked_numbers(self._place(), record, numbers).items()))

    def __reduce__(self) -> tuple[object, ...]:
        return _chosen, (type(self), self.kind, self.numbers)

    def _place(self) -> str:
        """What messages call its numbers."""
        return f"{self.family.what}.{self.kind}"

    @property
    def record(self) -> R:
        """The declared record of its kind."""
        found: R = self.family.registry[self.kind]
        return found

    @property
    def values(self) -> dict[str, Number]:
        """Its numbers by name."""
        return dict(self.numbers)

    @property
    def reads_progress(self) -> bool:
        """Whether it depends on how much of the training is done."""
        return self.record.reads_progress or any(isinstance(number, Scheduled) for _, number in self.numbers)

    @classmethod
    def from_json(cls, data: object) -> Self:
        """Read one; raise `SpecError` for any other form."""
        kind, numbers = read_named(cls.family.what, data, cls.family.records)
        return cls(kind, **numbers)

    def to_json(self) -> object:
        """The inverse of `from_json`."""
        return named_json(self.kind, self.values)

    def formula(self, part: str, *, latex: bool = False) -> str:
        """The text of what it does to ``part``."""
        return named_formula(self.record, self.values, part, latex=latex)


def _chosen(own: type[Chosen[Any]], kind: str, numbers: tuple[tuple[str, Number], ...]) -> Chosen[Any]:
    return own(kind, **dict(numbers))


def checked_numbers(name: str, record: Record, given: Mapping[str, object]) -> dict[str, Number]:
    """``given`` completed with defaults, each checked against its domain; raises `SpecError` for an unknown name."""
    if unknown := set(given) - set(record.domains):
        known = ", ".join(record.domains) or "none"
        raise SpecError(f"{record.name} has no number {', '.join(sorted(unknown))}; it has: {known}")
    single = len(record.domains) == 1
    return {
        key: read_number(name if single else f"{name}.{key}", given.get(key, domain.default), domain)
        for key, domain in record.domains.items()
    }


def read_named(what: str, data: object, registry: Mapping[str, Record]) -> tuple[str, dict[str, Any]]:
    """Name and numbers from ``"NAME"``, ``{"NAME": number}`` or, where it has several, ``{"NAME": {"KEY": number}}``.

    Raises `SpecError` for any other form.
    """
    if isinstance(data, str) and data in registry and not registry[data].domains:
        return data, {}
    if isinstance(data, Mapping) and len(data) == 1:
        ((kind, value),) = data.items()
        record = registry.get(kind) if isinstance(kind, str) else None
        if record is not None and len(record.domains) == 1:
            return kind, dict.fromkeys(record.domains, value)
        if (
            record is not None
            and record.domains
            and isinstance(value, Mapping)
            and all(isinstance(k, str) for k in value)
        ):
            return kind, dict(value)
    forms = [_form(record) for _, record in sorted(registry.items())]
    raise SpecError(f"a {what} is {' or '.join(forms)}, got {shown(data)}")


def _form(record: Record) -> str:
    if not record.domains:
        return f'"{record.name}"'
    names = list(record.domains)
    return f'{{"{record.name}": {names[0] if len(names) == 1 else "{" + ", ".join(names) + "}"}}}'


def named_json(kind: str, numbers: Mapping[str, Number]) -> object:
    """The inverse of `read_named`."""
    written = {name: number_json(number) for name, number in numbers.items()}
    if not written:
        return kind
    return {kind: next(iter(written.values())) if len(written) == 1 else written}


def named_formula(record: Record, numbers: Mapping[str, Number], part: str, *, latex: bool) -> str:
    """The record's formula of ``part`` at its numbers; a schedule stands in brackets."""
    texts = {}
    for name, number in numbers.items():
        text = number_text(number, latex=latex)
        texts[name] = f"({text})" if isinstance(number, Scheduled) else text
    return filled(record.latex if latex else record.formula, {**texts, "part": part})

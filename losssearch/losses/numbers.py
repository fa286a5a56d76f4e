"""Numbers of weightings, reductions and balances: checked, written as JSON and as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from losssearch.errors import SpecError, shown
from losssearch.losses.record import Record, filled
from losssearch.losses.schedule import Number, Scheduled, number_json, number_text, read_number


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

"""Losses of a portfolio that name a value of the study: ``$constraint.NAME``, or ``$metric.NAME``.

A metric such as ``pinball(q=0.9)`` says itself at which setting some losses are worth a try.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from losssearch.errors import SpecError
from losssearch.losses.domains import Float
from losssearch.losses.spec import LossSpec
from losssearch.space.answers import AIM, CONSTRAINT
from losssearch.space.space import SearchSpace


def aim(space: SearchSpace, numbers: Mapping[str, float]) -> SearchSpace:
    """The space of a study whose metric has these ``numbers``: losses that name them come first in the portfolio.

    Each number is as near as the slot's range allows. A loss that names a number which the metric lacks is left out.
    """
    found = [spec for data in space.aimed if (spec := _aimed(space, data, numbers)) is not None]
    return replace(space, portfolio=tuple(dict.fromkeys((*found, *space.portfolio))), aimed=())


def filled(data: Any, numbers: Mapping[str, float] | None = None) -> Any:
    """A portfolio's loss as the file has it, ready to be read: ``numbers`` of the metric where it names one of them.

    The term's default is used for every other name; `bind` fills in those of a constraint.
    """
    parts = data.get("parts") if isinstance(data, Mapping) else None
    if not isinstance(parts, list):
        return data
    return {**data, "parts": [_part(part, numbers or {}) for part in parts]}


def names_metric(data: Mapping[str, Any]) -> frozenset[str]:
    """The numbers of the metric that a portfolio's loss names."""
    values = [value for part in data["parts"] for value in part.values() if isinstance(value, str)]
    return frozenset(value.removeprefix(AIM) for value in values if value.startswith(AIM))


def _part(part: Any, numbers: Mapping[str, float]) -> Any:
    if not isinstance(part, Mapping):
        return part
    kept = {}
    for key, value in part.items():
        if not (isinstance(value, str) and value.startswith((AIM, CONSTRAINT))):
            kept[key] = value
        elif (name := value.removeprefix(AIM)) in numbers:
            kept[key] = numbers[name]
    return kept


def _aimed(space: SearchSpace, data: Mapping[str, Any], numbers: Mapping[str, float]) -> LossSpec | None:
    if not names_metric(data) <= set(numbers):
        return None
    parts = []
    for part, given in zip(data["parts"], filled(data, numbers)["parts"], strict=True):
        slots = [slot.terms[part["term"]] for slot in space.slots if part["term"] in slot.terms]
        ends = {
            key: domain.nearest(given[key])
            for key, value in part.items()
            if isinstance(value, str) and value.startswith(AIM) and isinstance(domain := slots[0].get(key), Float)
        }
        parts.append({**given, **ends})
    try:
        spec = LossSpec.from_json({**data, "parts": parts})
    except SpecError:
        return None
    return spec if space.encode(spec) is not None else None

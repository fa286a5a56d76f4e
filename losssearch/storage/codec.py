"""Records as JSON that keeps non-finite numbers and stays standard.

JSON knows no NaN and no infinity, and PostgreSQL refuses Python's ``NaN`` spelling. Such a number is
written as the object ``{"$float": "nan"}`` (``"inf"``, ``"-inf"``) and read back as the float.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from losssearch.storage.records import TrialRecord, TrialState

MARK = "$float"
"""The one key of an object that stands for a number that is not finite."""

_FIELDS = tuple(field.name for field in fields(TrialRecord))


def dumps(value: Any) -> str:
    """Write parsed JSON as standard JSON, all characters in ASCII.

    Tuples become lists, keys become strings. Raises `TypeError` for what JSON has no form for.
    """
    try:
        return json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):  # it holds what JSON has no form for
        return json.dumps(_mark(value), allow_nan=False)


def loads(text: str | bytes) -> Any:
    """The inverse of `dumps`."""
    plain = text if isinstance(text, str) else text.decode()
    # To look at every object takes longer than to read it, and few texts hold one that is a number.
    return json.loads(plain, object_hook=_unmark if MARK in plain or "\\u" in plain else None)


def trial_to_json(record: TrialRecord) -> dict[str, Any]:
    """A trial as parsed JSON, by the names of its fields."""
    return {name: getattr(record, name) for name in _FIELDS}


def trial_from_json(data: Mapping[str, Any]) -> TrialRecord:
    """The inverse of `trial_to_json`; fields that this program does not know are left out."""
    known = {name: data[name] for name in _FIELDS if name in data}
    known["state"] = TrialState(known["state"])
    known["values"] = tuple(known.get("values", ()))
    known["best_epochs"] = tuple(known.get("best_epochs", ()))
    known["details"] = tuple(tuple(row) for row in known.get("details", ()))
    known["rungs"] = tuple((int(epoch), value) for epoch, value in known.get("rungs", ()))
    return TrialRecord(**known)


def _mark(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else {MARK: repr(float(value))}
    if isinstance(value, Mapping):
        return {key: _mark(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_mark(item) for item in value]
    return value


def _unmark(found: dict[str, Any]) -> Any:
    return float(found[MARK]) if found.keys() == {MARK} else found

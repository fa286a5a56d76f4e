"""The fields of a new search, from an address or a form, and the request that they make."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import FormData, QueryParams

from losssearch.errors import InputError, shown
from services.pages.rendering import environment

OTHER = "other"
"""Stands for a metric that is written out."""

CONSTRAINTS = 3
"""Constraints that the form has room for."""

_TEXTS = (
    *("dataset", "target", "name", "task", "metric", "metric_other", "space", "model", "trials", "time_budget"),
    *("seed", "positive", "max_rows", "more", "key"),
)
_LISTS = ("sensitive", "drop", "gap", "limit")
_OF_COLUMNS = ("target", "positive", "sensitive", "drop")
_WHOLE = ("trials", "seed", "max_rows")
_LONGEST = 20_000


@dataclass(frozen=True)
class Fields:
    """What was filled in: texts by name, and lists of texts. A field that is missing is empty."""

    texts: Mapping[str, str]
    lists: Mapping[str, Sequence[str]]

    def __getattr__(self, name: str) -> str:
        if name in _TEXTS:
            return self.texts.get(name, "")
        raise AttributeError(name)

    @property
    def title(self) -> str:
        """What the search is called: as was asked, or after its target."""
        return self.name or f"{self.target}"[:100]

    def chosen(self, name: str) -> list[str]:
        """A list of texts."""
        return list(self.lists.get(name, ()))

    def constraints(self) -> list[tuple[str, str]]:
        """The gap and the limit of each constraint; as many as the form has room for, some empty."""
        gaps, limits = self.chosen("gap"), self.chosen("limit")
        size = max(CONSTRAINTS, len(gaps), len(limits))
        return [(gaps[n] if n < len(gaps) else "", limits[n] if n < len(limits) else "") for n in range(size)]


def from_query(query: QueryParams) -> Fields:
    """The fields as an address has them."""
    return _fields({name: query.getlist(name) for name in query})


def from_form(form: FormData) -> Fields:
    """The fields as a form has them."""
    given = {name: [one for one in form.getlist(name) if isinstance(one, str)] for name in form}
    return _fields(given)


def _fields(given: Mapping[str, Sequence[str]]) -> Fields:
    texts = {name: _taken(name, given[name][-1]) for name in _TEXTS if given.get(name)}
    lists = {name: [_taken(name, one) for one in given.get(name, ())] for name in _LISTS}
    for name in ("sensitive", "drop"):
        lists[name] = [one for one in lists[name] if one]
    for text in given.get("constraint", ()):
        gap, _, limit = text.replace(">=", "<=").partition("<=")
        lists["gap"].append(gap.strip())
        lists["limit"].append(limit.strip())
    return Fields(texts, lists)


def _taken(name: str, text: str) -> str:
    """A field without the spaces around it, which belong to the names and values of columns."""
    return (text if name in _OF_COLUMNS else text.strip())[:_LONGEST]


def request_of(fields: Fields, tasks: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a search, by their names in Python; `losssearch.request.remote` checks them.

    Raises:
        InputError: a field is not what it should be; the message names it.
    """
    request: dict[str, Any] = _more(fields.more)
    metric = fields.metric_other if fields.metric == OTHER else fields.metric
    if fields.metric == OTHER and not metric:
        raise InputError("metric: write the other metric's name, or choose one from the list")
    plain = ("target", "task", "space", "model", "time_budget", "positive")
    request |= {name: getattr(fields, name) for name in plain if getattr(fields, name)}
    request |= {"metric": metric} if metric else {}
    request |= {name: fields.chosen(name) for name in ("sensitive", "drop") if fields.chosen(name)}
    request |= {name: _whole(name, getattr(fields, name)) for name in _WHOLE if getattr(fields, name)}
    operators = {one["name"]: one["operator"] for kind in tasks.values() for one in kind["gaps"]}
    constraints = []
    for gap, limit in fields.constraints():
        if not gap and not limit:
            continue
        if not gap or not limit:
            raise InputError("constraints: a constraint must have a gap and a limit, one of them is missing")
        constraints.append(f"{gap} {operators.get(gap, '<=')} {_number(limit)}")
    if constraints:
        request["constraints"] = constraints
    return request


def again(search: Mapping[str, Any], **changes: Any) -> str:
    """The address of a new search like an earlier one, with other values where they are given."""
    request = {**search["request"], **changes}
    known: dict[str, Any] = {"dataset": search["dataset"]["id"], "name": search["name"]}
    for name in ("target", "task", "space", "model", "time_budget", "positive", *_WHOLE):
        value = request.pop(name, None)
        if value is not None:
            known[name] = ",".join(map(str, value)) if isinstance(value, list) else value
    metric = request.pop("metric", None)
    if metric is not None:
        known |= {"metric": OTHER, "metric_other": metric} if "(" in str(metric) else {"metric": metric}
    for name in ("sensitive", "drop"):
        value = request.pop(name, None) or []
        known[name] = [value] if isinstance(value, str) else value
    limits = request.pop("constraints", None) or []
    known["constraint"] = [limits] if isinstance(limits, str) else limits
    if request:
        known["more"] = json.dumps(request)
    query: Any = environment().globals["query"]
    return "/searches/new" + str(query(**known))


def guessed_task(target: Mapping[str, Any], rows: int) -> str:
    """The kind of task that a target's preview suggests, by the rule that a study uses on all rows."""
    distinct = target["distinct"]
    if distinct == 2:
        return "binary"
    if target["kind"] != "numeric":
        return "multiclass"
    values = [one["value"] for one in target["values"]]
    whole = bool(values) and all(value.lstrip("-").removesuffix(".0").isdecimal() for value in values)
    return "multiclass" if whole and distinct <= 20 and distinct <= 0.05 * rows else "regression"


def _more(text: str) -> dict[str, Any]:
    if not text:
        return {}
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise InputError(f'other options must be a JSON object such as {{"confirm_seeds": 10}}, got {shown(text)}')
    return found


def _whole(name: str, text: str) -> int:
    plain = text.replace(",", "")
    if not plain.isdecimal() or len(plain) > 15:
        raise InputError(f"{name} must be a whole number, got {shown(text)}")
    return int(plain)


def _number(text: str) -> str:
    try:
        return f"{float(text):g}"
    except ValueError:
        raise InputError(f"the limit of a constraint must be a number, got {shown(text)}") from None

"""The result for the groups of a study in words: warnings, the price of the limits, and what is promised."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from losssearch.evaluation.fairness.gaps import meaning
from losssearch.report.leaderboard import higher_is_better
from losssearch.report.standing import Standing, figure, standings
from losssearch.tasks import get_task

_ALIKE = 0.02
"""Share of rows below which a decision is hardly ever taken."""


@dataclass(frozen=True)
class Price:
    """The recommended loss and the baseline that is best when the limits are ignored; values on test.

    ``difference`` is recommended less baseline in the metric's own unit; ``better`` whether that is a gain.
    """

    name: str
    metric: float
    constraints: tuple[Standing, ...]
    recommended: float
    difference: float
    better: bool

    @property
    def kept(self) -> bool:
        """Whether that baseline satisfies the limits too."""
        return all(held.met for held in self.constraints)


def group_rows(result: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """The figures of each group on test under the recommended loss; empty without a sensitive attribute."""
    return (result["best"].get("groups") or {}).get("test") or []


def group_thresholds(result: Mapping[str, Any]) -> Mapping[str, Any]:
    """The result of thresholds per group, if they were requested; otherwise empty."""
    return result["best"].get("group_thresholds") or {}


def judged_by(result: Mapping[str, Any]) -> str:
    """What the figures of a leaderboard are: the metric, or in a study of a front its mean over the limits."""
    name, objectives = str(result["metric"]["name"]), result.get("objectives") or ()
    gap = next((str(one) for one in objectives if one != name), "")
    return f"mean {name} over limits on {gap.replace('_', ' ')}" if gap else name


def shown_front(result: Mapping[str, Any], most: int = 20) -> list[Mapping[str, Any]]:
    """The front, or ``most`` of its entries at even steps with both ends."""
    front = list(result.get("front") or [])
    if len(front) <= most:
        return front
    return [front[round(place * (len(front) - 1) / (most - 1))] for place in range(most)]


def warnings(result: Mapping[str, Any]) -> list[str]:
    """Caveats of the verdict."""
    found = [held.warning for held in standings(result["best"]) if held.warning]
    rows = group_rows(result)
    if get_task(str(result["task"])).view.thresholded and rows and result.get("constraints"):
        selected, base = (_overall(rows, name) for name in ("selection_rate", "base_rate"))
        if min(selected, 1 - selected) < _ALIKE < min(base, 1 - base):
            fewest = min(int(row["rows"]) for row in rows)
            found.append(
                f"The recommended model decides almost alike for everybody ({selected:.1%} positive, where {base:.1%} "
                "are): that keeps gaps small, and may be of little use. A looser limit, less confidence, coarser "
                f"groups (the smallest has {fewest} test rows), more rows or another metric leave it more room."
            )
    return found


def price(result: Mapping[str, Any]) -> Price | None:
    """The price of the limits in the metric; None if nothing was measured on test."""
    higher = higher_is_better(result["metric"])
    measured = [entry for entry in result.get("baselines") or [] if _test(entry) is not None]
    own = _test(result["best"])
    if own is None or not measured or not result.get("constraints"):
        return None
    free = max(measured, key=lambda entry: (_test(entry) or 0.0) * (1 if higher else -1))
    reached = _test(free) or 0.0
    difference = own - reached
    better = difference >= 0 if higher else difference <= 0
    return Price(str(free["name"]), reached, standings(free), own, difference, better)


def promise(result: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """What the study guarantees about its constraints and what it does not, one sentence each."""
    number = (result["data"].get("attribute") or {}).get("name")
    shape = (
        f"A small correlation is no independence: scores or decisions may depend on {number} in another shape, and "
        "decisions more than scores; the groups show what is left of that."
    )
    return _shown(result), [*([shape] if number else []), *_NOT_SHOWN]


def _shown(result: Mapping[str, Any]) -> list[str]:
    rows = result["data"]["rows"]
    seeds = len((result["best"].get("test") or {}).get("values") or ()) or 1
    models = f"{seeds} models trained with the recommended loss on fresh seeds" if seeds > 1 else "one fresh training"
    found = [f"{_decision(result)} Figures are means over {models}."]
    if result.get("front"):
        found.append(
            "Each loss of the front was chosen on validation; test shows what to expect. No limit is certified."
        )
    for held in standings(result["best"]):
        level = f"{held.level:.0%} " if held.level else ""
        bound = "" if held.bound is None else figure(held.bound)
        on = f"on {rows.get('confirmation', 0):,} confirmation rows, which trained and tuned nothing"
        if held.rows:
            on = f"on {held.rows:,} rows, each decided by a model and a threshold that it did not train or tune"
        beyond = "at most" if held.op == "<=" else "at least"
        said = {
            "met": f"{on}, the {level}confidence bound is {bound}; on more data like this it is {beyond} that, within "
            f"the limit {held.limit:g}",
            "not met": f"{on}, the {level}confidence bound is {bound}, beyond the limit {held.limit:g}: it may be kept "
            "or not",
            "not certifiable": f"{on}, the {level}confidence bound is {bound}, and so few rows could not certify the "
            f"limit {held.limit:g} even of a perfectly fair model",
        }.get(held.status, "no bound was computed")
        broken = (
            " It is not promised: the room for what new rows may show is not there." if held.promised is False else ""
        )
        found.append(f"{held.title.capitalize()}, {meaning(held.name)}: {said}.{broken} Test shows {_text(held.test)}.")
    found.append(_sight(result))
    return found


_NOT_SHOWN = (
    "Only the gaps and groups named here were limited: a finer group inside one of them may fare worse.",
    "These are averages over groups: nothing is promised to one person, nor that similar people are treated alike.",
    "Other data, another threshold or a new training may show another gap: measure it again on fresh rows.",
    "Labels are taken as they are: where they carry an injustice, equal rates do not undo it.",
)


def _decision(result: Mapping[str, Any]) -> str:
    fixed = (result["best"].get("spec") or {}).get("decision") == "fixed"
    view = get_task(str(result["task"])).view
    if not view.labels:
        return "Judged are the model's predictions" + (
            "." if fixed else ", shifted as tuned on rows that did not train the model."
        )
    if view.columns:
        how = "the class with the largest score" + (
            "" if fixed else ", after the tuning on rows that did not train the model"
        )
        return f"Judged are decisions: {how}."
    where = (
        "at probability 0.5"
        if fixed
        else "at the threshold that was tuned on rows that did not train the model, one for all groups"
    )
    return f"Judged are decisions {where}."


def _sight(result: Mapping[str, Any]) -> str:
    columns = ", ".join(result["data"].get("sensitive") or ()) or "the sensitive attribute"
    if result["data"].get("sensitive_as_feature"):
        return f"The model reads {columns}: every prediction needs it, and rules may forbid that."
    return f"The model does not see {columns}; other columns may still tell it."


def _overall(rows: Sequence[Mapping[str, Any]], name: str) -> float:
    found = [(int(row["rows"]), (row.get(name) or {}).get("value")) for row in rows]
    known = [(count, float(value)) for count, value in found if value is not None]
    return sum(count * value for count, value in known) / max(1, sum(count for count, _ in known))


def _test(entry: Mapping[str, Any]) -> float | None:
    value = (entry.get("test") or {}).get("mean")
    return float(value) if isinstance(value, int | float) else None


def _text(value: float | None) -> str:
    return "nothing" if value is None else figure(value)

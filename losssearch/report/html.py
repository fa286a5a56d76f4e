"""The report: one HTML file that needs no network, no script and no other file."""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader
from markupsafe import Markup

from losssearch.evaluation.fairness.gaps import meaning
from losssearch.export.usage import usage_lines
from losssearch.export.writing import write_whole
from losssearch.losses.spec import LossSpec
from losssearch.report.fairness import (
    group_rows,
    group_thresholds,
    judged_by,
    price,
    promise,
    shown_front,
    warnings,
)
from losssearch.report.groups import MEANINGS, columns_of, estimate
from losssearch.report.leaderboard import Row, higher_is_better, leaderboard, searched_entry, spoken
from losssearch.report.panels import Picture
from losssearch.report.references import references
from losssearch.report.standing import standings
from losssearch.report.trials import trial_rows
from losssearch.report.words import in_words, limits_of, typeset
from losssearch.storage.records import TrialRecord, TrialState

_CAPTIONS = {
    "leaderboard": "Every loss on what no search has seen: mean and one standard deviation; dots are replicas.",
    "history": "Every trial of the search on validation rows.",
    "loss_shape": "The loss and the plain one, for a single sample.",
    "trade_off": "Metric against gap, every trial. The grey strip is the noise floor: what a perfectly fair model with "
    "the recommended one's rates would show. The ring is the recommended loss on fresh draws, at the confidence asked.",
    "price": "What each loss reaches on test, and what it leaves of the gap.",
    "front": "At each limit on the gap, the best loss within it; mitigations of other libraries as test has them.",
    "groups": "The groups under the recommended loss; where intervals overlap widely, a difference may be chance.",
}

_STATES = {
    "completed": "trained to the end",
    "pruned": "stopped early, behind the others",
    "rejected": "refused by a quick test, not trained",
    "duplicate": "the same loss as an earlier trial, not trained",
    "equivalent": "the same gradients as an earlier trial, not trained",
    "failed": "diverged or could not be trained",
}

_REPLACED = {True: ("leaderboard", "history", "loss_shape")}
"""Figures that a page with pictures shows in another way."""

_SHOWN_FAILURES = 8


def write_report(
    path: Path | str,
    result: Mapping[str, Any],
    trials: Sequence[TrialRecord],
    figures: Sequence[Path] | Mapping[str, bytes],
    *,
    pictures: Mapping[str, Picture] | None = None,
    explained: str = "",
) -> Path:
    """Write the report to ``path`` and return it; a report that is there is replaced as a whole.

    ``figures`` are PNG files, or their bytes by name (``history``, ``loss_shape``, ``groups``); they are put into the
    page. ``pictures`` are those of `losssearch.report.pictures.draw_pictures`, which take the places of some;
    ``explained`` is what the loss amounts to. Text from the data or the user is escaped.
    """
    place = Path(path)
    place.parent.mkdir(parents=True, exist_ok=True)
    write_whole(place, render_report(result, trials, figures, pictures=pictures, explained=explained).encode())
    return place


def render_report(
    result: Mapping[str, Any],
    trials: Sequence[TrialRecord],
    figures: Sequence[Path] | Mapping[str, bytes],
    *,
    pictures: Mapping[str, Picture] | None = None,
    explained: str = "",
) -> str:
    """The page as text; see `write_report`."""
    pngs = figures if isinstance(figures, Mapping) else {path.stem: path.read_bytes() for path in figures}
    best_spec = LossSpec.from_json(result["best"]["spec"])
    loss = (result.get("course") or {}).get("loss") or {}
    verdict = result.get("verdict") or {}
    return (
        _environment()
        .get_template("report.html.jinja")
        .render(
            result=result,
            metric=result["metric"],
            higher=higher_is_better(result["metric"]),
            best=result["best"],
            verdict=verdict,
            spoken=spoken(result),
            searched_won=verdict.get("recommended") == "searched",
            rows=(rows := leaderboard(result)),
            curves=any(row.most_epochs for row in rows),
            untuned=_untuned(result),
            judged_by=judged_by(result),
            figures={
                name: {
                    "uri": "data:image/png;base64," + base64.b64encode(content).decode(),
                    "caption": _CAPTIONS.get(name, ""),
                }
                for name, content in pngs.items()
                if name not in _REPLACED.get(bool(pictures), ())
            },
            states=[(count, state, _STATES[state]) for state, count in _counts(result, trials).items() if count],
            failures=_failures(trials),
            rejected=[one for one in result.get("reasons") or [] if one["state"] == "rejected"],
            fair=_fair(result),
            usage=usage_lines(best_spec),
            pictures=dict(pictures or {}),
            explained=explained,
            typeset=[Markup(one) for one in typeset(best_spec)],  # noqa: S704  (outlines, and a label that is escaped)
            words=in_words(best_spec),
            figures_of_verdict=_figures_of(result),
            marks=_marks(rows, higher=higher_is_better(result["metric"])),
            trials=(listed := trial_rows(trials)),
            script=_script() if listed else None,
            told=result.get("diagnosis"),
            class_names=(result.get("data") or {}).get("classes") or [],
            moving=loss.get("name"),
            moving_formula=LossSpec.from_json(loss["spec"]).formula() if loss else "",
            limits=limits_of(result),
        )
    )


def render_result(result: Mapping[str, Any], out: Path, notes: Sequence[str]) -> str:
    """A result as a notebook shows it: verdict, leaderboard and notes. Text from the data or the user is escaped."""
    rows = leaderboard(result)
    return (
        _environment()
        .get_template("notebook.html.jinja")
        .render(
            result=result,
            out=out,
            notes=notes,
            rows=rows,
            constraints=next((row.constraints for row in rows if row.constraints), ()),
            higher=higher_is_better(result["metric"]),
            judged_by=judged_by(result),
            spoken=spoken(result),
            facts=_claimed(result.get("verdict") or {}),
            seconds=_seconds((result.get("timing") or {}).get("total_s")),
        )
    )


def render_verdict(verdict: Mapping[str, Any]) -> str:
    """A verdict as a notebook shows it."""
    said = spoken({"verdict": verdict, "best": {}})
    return _environment().get_template("notebook.html.jinja").render(result=None, spoken=said, facts=_claimed(verdict))


def _claimed(verdict: Mapping[str, Any]) -> dict[str, Any]:
    """Grade and probability of a verdict, and a mid-tone for its side, readable on light and dark pages."""
    probability = verdict.get("probability_better")
    return {
        "grade": verdict.get("grade"),
        "probability": None if probability is None else f"{min(max(probability, 0.01), 0.99):.2f}",
        "colour": "#3a9d5d" if verdict.get("recommended") == "searched" else "#3b82c4",
    }


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("losssearch.report", "."),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(number=_number, brief=_brief, signed=_signed, seconds=_seconds)
    return environment


def _script() -> dict[str, str]:
    """What sorts the table of trials, and the digest by which the page allows it and nothing else."""
    text = resources.files("losssearch.report").joinpath("sorting.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return {"text": text, "hash": f"sha256-{digest}"}


def _figures_of(result: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """The figures of the verdict: what it is, its value, and on which rows."""
    verdict, metric = result.get("verdict") or {}, result["metric"]
    found = list[tuple[str, str, str]]()
    part = "test" if (result["best"].get("test") or {}).get("mean") is not None else "validation"
    where = f"{metric['name']} on {part}, mean ± standard deviation over seeds"
    entries = [("searched loss", searched_entry(result))]
    named = {str(entry["name"]): entry for entry in result.get("baselines") or []}
    plain = (verdict.get("plain") or {}).get("name")
    against = verdict.get("against")
    entries += [(f"best baseline, {str(against).replace('_', ' ')}", named.get(str(against)))] if against else []
    if plain and plain != against:
        entries.append((f"plain loss, {str(plain).replace('_', ' ')}", named.get(str(plain))))
    for name, entry in entries:
        held = (entry or {}).get(part) or {}
        if held.get("mean") is not None:
            found.append((name, f"{_number(held['mean'])} ± {_number(held.get('std'))}", where))
    if verdict.get("interval") and any(verdict["interval"]):
        low, high = (_signed(one) for one in verdict["interval"])
        value = f"{_signed(verdict.get('difference'))} [{low}, {high}]"
        found.append(
            ("difference", value, "searched less best baseline on test; above zero, the searched loss is better")
        )
    held = verdict.get("confirmation") or {}
    if held.get("standard_error"):
        value = f"{_signed(held.get('difference'))} ± {_number(held['standard_error'])}"
        found.append(("on confirmation", value, "the same on other rows, with its standard error"))
    return found


def _marks(rows: Sequence[Row], *, higher: bool) -> list[tuple[float, float, float] | None]:
    """Of each row where its test value lies among all, in percent: the low end, the mean, and the width of ± std."""
    ends = [(row.test - (row.std or 0), row.test, row.test + (row.std or 0)) for row in rows if row.test is not None]
    if len(ends) < 2:
        return [None] * len(rows)
    low, high = min(one[0] for one in ends), max(one[2] for one in ends)
    middles = sorted((one[1] for one in ends), reverse=higher)  # the best first
    reach = 2.5 * abs(middles[0] - middles[3 * (len(middles) - 1) // 4])
    if reach > 0:  # a row that is far behind lies on the edge
        low, high = (max(low, middles[0] - reach), high) if higher else (low, min(high, middles[0] + reach))
    size = (high - low) or 1.0

    def percent(value: float) -> float:
        return round(100 * min(max((value - low) / size, 0.0), 1.0), 1)

    found: list[tuple[float, float, float] | None] = []
    for row in rows:
        if row.test is None:
            found.append(None)
            continue
        std = row.std or 0.0
        first = percent(row.test - std)
        found.append((first, percent(row.test), round(percent(row.test + std) - first, 1)))
    return found


def _fair(result: Mapping[str, Any]) -> dict[str, Any] | None:
    """The report's section on groups; None for a study without a sensitive attribute."""
    rows, held = group_rows(result), standings(result["best"])
    thresholds = group_thresholds(result)
    if not rows and not held and not result.get("front"):
        return None
    columns = columns_of(rows) if rows else ()
    shown, not_shown = promise(result)
    return {
        "constraints": [(one, meaning(one.name)) for one in held],
        "columns": [(column.title, MEANINGS.get(column.title, "")) for column in columns],
        "groups": [(row["group"], row["rows"], [estimate(row, column) for column in columns]) for row in rows],
        "pull": (result["best"].get("groups") or {}).get("pull") or [],
        "price": price(result),
        "warnings": warnings(result),
        "shown": shown if held or result.get("front") else [],
        "not_shown": not_shown if held or result.get("front") else [],
        "references": references(result),
        "front": shown_front(result),
        "front_length": len(result.get("front") or []),
        "thresholds": thresholds,
        "own_threshold": standings({"constraints": (thresholds.get("test") or {}).get("constraints") or ()}),
    }


def _untuned(result: Mapping[str, Any]) -> list[str]:
    """The losses whose decisions are left as they come, in a study that tunes those of the others."""
    entries = [entry for entry in (searched_entry(result), *(result.get("baselines") or [])) if entry]
    tuned = {str(entry["name"]): (entry.get("spec") or {}).get("decision") == "tuned" for entry in entries}
    return [name.replace("_", " ") for name, is_tuned in tuned.items() if not is_tuned] if any(tuned.values()) else []


def _counts(result: Mapping[str, Any], trials: Sequence[TrialRecord]) -> dict[str, int]:
    stated = result.get("trials") or {}
    return {
        state: int(stated.get(state, sum(trial.state == TrialState(state) for trial in trials))) for state in _STATES
    }


def _failures(trials: Sequence[TrialRecord]) -> list[tuple[str, str]]:
    failed = [trial for trial in trials if trial.state is TrialState.FAILED]
    return [(trial.name, trial.reason or "no reason known") for trial in failed[:_SHOWN_FAILURES]]


def _number(value: Any) -> str:
    if not isinstance(value, int | float) or not math.isfinite(value):
        return "–"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4f}" if value == 0 or 0.001 <= abs(value) < 100 else f"{value:.5g}"


def _brief(value: Any) -> str:
    """Three digits after the point, as wide tables have room for."""
    if not isinstance(value, int | float) or not math.isfinite(value):
        return "–"
    if value and not 0.001 <= abs(value) < 1e9:
        return f"{value:.3g}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.3f}"


def _signed(value: Any) -> str:
    if not isinstance(value, int | float) or not math.isfinite(value):
        return "–"
    return f"{value:+.4f}" if value == 0 or 0.001 <= abs(value) < 100 else f"{value:+.3g}"


def _seconds(value: Any) -> str:
    if not isinstance(value, int | float):
        return "–"
    minutes, seconds = divmod(float(value), 60)
    hours, minutes = divmod(int(minutes), 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {seconds:.0f} s" if minutes else f"{seconds:.1f} s"

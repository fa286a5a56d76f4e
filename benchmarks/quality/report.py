"""The report: figures of all stored lines, as JSON, as a printed table, and as Markdown with a diagram."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.quality import comparison, diagram, verdicts
from benchmarks.quality import families as names
from benchmarks.quality import ranks as rankings
from benchmarks.quality.results import Results
from benchmarks.quality.scenarios import read_scenarios

Rows = list[list[str]]
TASKS = {"classification": ("binary", "multiclass"), "regression": ("regression",)}
HARM = 1.0
"""A scenario is harmed where ours is worse by more than a point, or a percent of the error."""


def known_losses(task: str) -> list[str]:
    """The rivals that are one loss each, without the plain one."""
    return [names.PLAIN_TUNED, *names.FAMILIES[task], *names.FAIR]


def rivals_of(results: Results) -> list[str]:
    """Every ranked method but ours, in the order of the tables."""
    everyone = dict.fromkeys(m for task in names.FAMILIES for m in names.methods_for(task, fair=True))
    seen = {method for _, method in results.tests}
    return [name for name in everyone if name in seen and name not in names.OUTSIDE and name != names.OURS]


def figures(results: Results) -> dict[str, Any]:
    """Every figure of the report."""
    rivals = rivals_of(results)
    everywhere = [m for m in names.EVERYWHERE if m in {method for _, method in results.tests}]
    groups = {"all": (everywhere, results.scenarios)}
    for name, kinds in TASKS.items():
        own = [s for s in results.scenarios if results.facts[s]["task"] in kinds]
        families = dict.fromkeys(f for kind in kinds for f in names.FAMILIES[kind])
        there = [f for f in families if own and all(math.isfinite(results.mean(s, f)) for s in own)]
        groups[name] = ([*everywhere, *there], own)
    sources = {scenario.name: scenario.dataset for scenario in read_scenarios()}
    stated = verdicts.statements(results)
    found = {
        "scenarios": len(results.scenarios),
        "repeats": {s: results.repeats(s) for s in results.scenarios},
        "skipped": results.skipped,
        "still_rising": results.rising,
        "failed": [f"{line['scenario']} repeat {line['repeat']}" for line in results.failed],
        "mean_ranks": {name: comparison.mean_ranks(results, *group) for name, group in groups.items()},
        "ranks": {name: rankings.ranked(results, *group, sources, names.OURS) for name, group in groups.items()},
        "ranked_scenarios": {n: len(comparison.utilities(results, *group)) for n, group in groups.items()},
        "against": {
            rival: tested | comparison.tally(results, names.OURS, rival)
            for rival, tested in comparison.wilcoxon_all(results, names.OURS, rivals).items()
        },
        "searched_against": {
            rival: tested | comparison.tally(results, names.SEARCHED, rival)
            for rival, tested in comparison.wilcoxon_all(results, names.SEARCHED, rivals).items()
        },
        "kinds": _kinds(results, rivals),
        "harmed": _share(
            gain < -HARM for gain in _finite(results.gain(s, names.OURS, names.PLAIN_TUNED) for s in results.scenarios)
        ),
        "verdicts": verdicts.calibration(stated),
        "grades": verdicts.grades(stated),
        "reliability": verdicts.reliability(stated, sources),
        "statements": verdicts.records(stated),
        "cost": _cost(results),
    }
    return found | {"goals": goals(found)}


def goals(found: dict[str, Any]) -> dict[str, Any]:
    """How the figures stand to what is aimed at; None where there is nothing to judge by."""
    against, ranks = found["against"], found["mean_ranks"]["all"]
    kept = {rival: _share([True] * (e["win"] + e["tie"]) + [False] * e["loss"]) for rival, e in against.items()}
    plain = against.get(names.PLAIN_TUNED)
    return {
        "best mean rank": min(ranks, key=ranks.__getitem__) if ranks else None,
        "ranks not told apart from ours": ", ".join(
            name for name, one in found["ranks"]["all"].items() if rankings.told_apart(one) is False
        )
        or None,
        "least share of wins or ties against a rival (0.8)": min(
            (v for v in kept.values() if v is not None), default=None
        ),
        "losses to plain tuned (0)": plain["loss"] if plain else None,
        "largest p against a rival (0.01)": max((entry["p"] for entry in against.values()), default=None),
        "claims above zero on test (0.93)": found["verdicts"]["claims_above_zero"],
    }


def _kinds(results: Results, rivals: Sequence[str]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for kind in dict.fromkeys(results.facts[s]["kind"] for s in results.scenarios):
        own = [s for s in results.scenarios if results.facts[s]["kind"] == kind]
        best = {s: comparison.best_rival(results, s, known_losses(results.facts[s]["task"])) for s in own}
        ranked = [*rivals, names.OURS]
        entry = {
            "over_plain": [results.gain(s, names.OURS, names.PLAIN) for s in own],
            "over_plain_tuned": [results.gain(s, names.OURS, names.PLAIN_TUNED) for s in own],
            "over_menu": [results.gain(s, names.OURS, names.MENU) for s in own],
            "searched_over_menu": [results.gain(s, names.SEARCHED, names.MENU) for s in own],
            "over_best_known_in_hindsight": [results.gain(s, names.OURS, best[s] or "") for s in own],
            "over_trees": [results.gain(s, names.OURS, names.TREES) for s in own],
            "regret": [comparison.regret(results, s, names.OURS, ranked) for s in own],
            "regret_of_menu": [comparison.regret(results, s, names.MENU, ranked) for s in own],
        }
        found[kind] = {"scenarios": len(own)} | {name: _median(values) for name, values in entry.items()}
    return found


def _cost(results: Results) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    for method in (names.MENU, names.OPTUNA, names.OURS):
        lines = [line for (_, m), own in results.choices.items() if m == method for line in own.values()]
        if lines:
            found[method] = {
                key: statistics.fmean(line[key] for line in lines) for key in ("seconds", "cpu_seconds", "trials")
            }
    return found


def scenario_rows(results: Results) -> Rows:
    """One row per scenario: the metric's mean on test by method, and ours compared with the menu."""
    rows = []
    for name in results.scenarios:
        facts = results.facts[name]
        best = comparison.best_rival(results, name, known_losses(facts["task"]))
        one = comparison.contest(results, name, names.OURS, names.MENU)
        two = comparison.contest(results, name, names.OURS, names.PLAIN_TUNED)
        values = [
            number(results.shown(name, m))
            for m in (names.PLAIN, names.PLAIN_TUNED, names.MENU, names.OPTUNA, names.OURS, names.SEARCHED, names.TREES)
        ]
        hindsight = f"{number(results.shown(name, best))} {best}" if best else "–"
        standing = [f"{results.gain(name, names.OURS, m):+.2f} {c.outcome}" if c else "–" for m, c in (
            (names.PLAIN_TUNED, two), (names.MENU, one))]  # fmt: skip
        arrow = "↑" if facts["direction"] == "maximize" else "↓"
        rows.append([name, facts["kind"], f"{facts['metric']} {arrow}", *values[:2], hindsight, *values[2:], *standing])
    return rows


HEADINGS = (
    "scenario", "kind", "metric", "plain", "plain tuned", "best known (hindsight)", "menu", "optuna", "losssearch",
    "searched", "trees", "over plain tuned", "over menu",
)  # fmt: skip


RIVAL_HEADINGS = ("rival", "scenarios", "win / tie / loss", "median gain", "p", "p (Holm)")


def rival_rows(found: dict[str, Any], key: str = "against") -> Rows:
    """A row a rival."""
    return [
        [
            rival,
            str(entry["scenarios"]),
            f"{entry['win']} / {entry['tie']} / {entry['loss']}",
            f"{entry['median_gain']:+.2f}",
            f"{entry['p']:.3g}",
            f"{entry['p_holm']:.3g}",
        ]
        for rival, entry in found[key].items()
    ]


LIMIT_HEADINGS = ("scenario", "method", "score", "metric without the limit", "gap", "share kept")


def limit_rows(results: Results) -> Rows:
    """A row for each method of each scenario in which groups have a limit; means over seeds and repeats."""
    rows = []
    for (scenario, method), found in results.limits.items():
        means = [
            statistics.fmean(float(value) for line in found.values() for value in line[key])
            for key in ("unlimited", "gaps", "kept")
        ]
        rows.append([scenario, method, *map(number, (results.shown(scenario, method), *means))])
    return rows


def markdown(results: Results, found: dict[str, Any], image: str | None) -> str:
    """The report as Markdown, for the documentation."""
    verdict, kinds = found["verdicts"], found["kinds"]
    repeats = sorted(set(found["repeats"].values()))
    span = " to ".join(map(str, dict.fromkeys((*repeats[:1], *repeats[-1:]))))
    lines = [f"Scenarios: {found['scenarios']}; repeats: {span or 'none'}.", "", "## Mean ranks", ""]
    for group, ranks in found["ranks"].items():
        lines.append(f"- {group} ({found['ranked_scenarios'][group]} scenarios): {rankings.listed(ranks) or 'none'}")
    lines += ["", rankings.NOTE]
    lines += ["", f"![Critical differences]({image})", ""] if image else [""]
    for title, key in (
        ("## losssearch against every rival", "against"),
        ("## The best searched loss", "searched_against"),
    ):
        head = ("rival", "scenarios", "win / tie / loss", "median gain", "p", "p (Holm)")
        lines += [title, "", *table(head, rival_rows(found, key)), ""]
    columns = list(next(iter(kinds.values()), {"scenarios": 0}))
    rows = [[kind, *(number(entry[column]) for column in columns)] for kind, entry in kinds.items()]
    lines += ["## Median gain by kind of scenario", ""]
    lines += [*table(("kind", *(c.replace("_", " ") for c in columns)), rows), ""]
    reached = [[name, number(value)] for name, value in found["goals"].items()]
    lines += ["## Goals", "", *table(("goal", "found"), reached), ""]
    lines += [
        "## The verdict",
        "",
        *table(("verdicts", "number or share"), [[k.replace("_", " "), number(v)] for k, v in verdict.items()]),
        "",
    ]
    if found["reliability"]:
        rows = [[grade, *(number(v) for v in entry.values())] for grade, entry in found["grades"].items()]
        lines += [*table(("grade", "verdicts", "better on the outer test", "outer difference, errors"), rows), ""]
        lines += [*table(verdicts.RELIABILITY_HEADINGS, verdicts.reliability_rows(found["reliability"])), ""]
    cost = [[m, *(number(v) for v in entry.values())] for m, entry in found["cost"].items()]
    lines += ["## Cost of a choice", "", *table(("method", "wall seconds", "processor seconds", "trials"), cost), ""]
    lines += ["## Every scenario", "", *table(HEADINGS, scenario_rows(results)), ""]
    if limited := limit_rows(results):
        lines += ["## Limits between groups", "", *table(LIMIT_HEADINGS, limited), ""]
    if found["still_rising"]:
        told = [f"- {name}: {why}" for name, why in found["still_rising"].items()]
        lines += [f"## Not counted, as trainings were too short: {len(told)}", "", *told, ""]
    if found["skipped"]:
        lines += ["## Left out", "", *(f"- {name}: {why}" for name, why in found["skipped"].items()), ""]
    return "\n".join(lines)


def write_report(results: Results, folder: Path) -> dict[str, Any]:
    """Write ``report.md`` and the diagram into the folder; the figures."""
    found = figures(results)
    ranks, count, image = found["mean_ranks"]["all"], found["ranked_scenarios"]["all"], None
    if len(ranks) > 1 and count > 1:
        image = "critical-difference.png"
        diagram.draw(folder / image, ranks, comparison.critical_difference(len(ranks), count), count)
    (folder / "report.md").write_text(markdown(results, found, image), encoding="utf-8")
    return found


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Lines of a Markdown table."""
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    aligned = [
        [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        for row in (headings, *rows)
    ]
    return ["| " + " | ".join(row) + " |" for row in (aligned[0], rule, *aligned[1:])]


def number(value: float | str | None) -> str:
    """Four digits; a dash for what there is none of."""
    if isinstance(value, str):
        return value
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "–"
    return f"{value:.4g}"


def _finite(values: Iterable[float]) -> list[float]:
    return [value for value in values if math.isfinite(value)]


def _median(values: Iterable[float]) -> float | None:
    there = _finite(values)
    return statistics.median(there) if there else None


def _share(hits: Iterable[bool]) -> float | None:
    there = list(hits)
    return statistics.fmean(there) if there else None

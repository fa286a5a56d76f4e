"""The plots of a study: the leaderboard, the course of the search, and the shape of the best loss.

Each ``*_figure`` function returns a PNG file as bytes; `write_figures` puts them into a directory.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import quantiles
from typing import TYPE_CHECKING, Any

from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from losssearch.export.writing import write_whole
from losssearch.report.canvas import BLUE, GREY, INK, ORANGE, RED, blank, drawable, headline, legend, number, png
from losssearch.report.fairness import judged_by
from losssearch.report.fairness_figures import fairness_figures
from losssearch.report.leaderboard import SEARCHED, Row, higher_is_better, leaderboard, spoken
from losssearch.report.shape import shape_figure
from losssearch.storage.records import TrialRecord, TrialState
from losssearch.tasks import get_kind

if TYPE_CHECKING:
    from torch import Tensor

    from losssearch.losses.spec import LossSpec

_UNTRAINED = {TrialState.REJECTED, TrialState.DUPLICATE, TrialState.EQUIVALENT}


def write_figures(
    directory: Path | str,
    result: Mapping[str, Any],
    trials: Sequence[TrialRecord],
    spec: LossSpec,
    *,
    facts: Mapping[str, float | Sequence[float]] | None = None,
    learned: Mapping[str, float | Tensor] | None = None,
) -> list[Path]:
    """Write ``leaderboard.png``, ``history.png`` and ``loss_shape.png`` into ``directory``; return their paths.

    A study with groups has those of `losssearch.report.fairness_figures.fairness_figures` too.

    ``spec`` is the searched loss, ``facts`` what it reads of the searched data (even shares of classes and raw targets
    where None) and ``learned`` the learned scalars by the names of its state; they matter only to the loss's shape.
    """
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    drawn = draw_figures(result, trials, spec, facts=facts, learned=learned)
    paths = {directory / f"{name}.png": content for name, content in drawn.items()}
    for path, content in paths.items():
        write_whole(path, content)
    return list(paths)


def draw_figures(
    result: Mapping[str, Any],
    trials: Sequence[TrialRecord],
    spec: LossSpec,
    *,
    facts: Mapping[str, float | Sequence[float]] | None = None,
    learned: Mapping[str, float | Tensor] | None = None,
) -> dict[str, bytes]:
    """The figures that `write_figures` writes, as PNG files by name."""
    shapes = {}
    if get_kind(str(result["task"])).picture is not None:
        shapes["loss_shape"] = shape_figure(result, spec, facts=facts, learned=learned)
    return {
        "leaderboard": leaderboard_figure(result),
        "history": history_figure(result, trials),
        **shapes,
        **fairness_figures(result, trials),
    }


def metric_label(result: Mapping[str, Any], part: str) -> str:
    """``"f1 on test (higher is better)"``, with the unit where the metric has one."""
    metric = result["metric"]
    unit = f" [{metric['unit']}]" if metric.get("unit") else ""
    sense = "higher" if higher_is_better(metric) else "lower"
    return drawable(f"{judged_by(result)} on {part}{unit}, {sense} is better")


def leaderboard_figure(result: Mapping[str, Any]) -> bytes:
    """Test metric of the searched loss and every baseline: mean, one standard deviation, each replica.

    Of a study without a test part, the metric on its fresh seeds.
    """
    rows, part = leaderboard(result), "test"
    if all(row.test is None for row in rows):  # a user's training function keeps none for us
        rows, part = [replace(row, test=row.validation) for row in rows], "fresh seeds"
    rows = [row for row in rows if row.test is not None]
    labels = ["\n".join(textwrap.wrap(drawable(row.name.replace("_", " ")), 26)[:2]) for row in rows]
    count = max((len(row.values) for row in rows), default=0)
    height = 1.75 + 0.36 * max(len(rows), 2)
    figure, (axis,) = blank(9.0, height)
    title = f"Searched loss against {len(rows) - 1} baselines: {result['metric']['name']} on {result['data']['name']}"
    top = headline(figure, title, spoken(result)[0])
    low, high = _span(rows)
    axis.set_xlim(low, high)
    for place, row in enumerate(rows):
        _draw_row(axis, place, row, low, high)
    axis.set_ylim(len(rows) - 0.4, -0.6)
    axis.set_yticks(range(len(rows)), labels, parse_math=False)
    for tick, row in zip(axis.get_yticklabels(), rows, strict=True):
        tick.set_fontweight("bold" if row.recommended or row.name == SEARCHED else "normal")
        tick.set_color(BLUE if row.name == SEARCHED else INK)
    axis.tick_params(axis="y", length=0)
    axis.grid(False, axis="y")
    axis.spines["left"].set_visible(False)
    spread = f"; mean and one standard deviation over {count} replicas" if count > 1 else ""
    axis.set_xlabel(metric_label(result, part) + spread, color=INK, size=9, parse_math=False)
    figure.subplots_adjust(left=0.235, right=0.80, top=top, bottom=0.55 / height)
    return png(figure)


def _draw_row(axis: Any, place: int, row: Row, low: float, high: float) -> None:
    mean = row.test
    if mean is None:
        return
    colour = BLUE if row.name == SEARCHED else GREY
    if row.recommended:
        axis.axhspan(place - 0.44, place + 0.44, color="#EAF3FA", zorder=0, linewidth=0)
    margin = axis.get_yaxis_transform()
    look = {"transform": margin, "va": "center", "color": INK, "weight": "bold" if row.recommended else "normal"}
    axis.text(1.02, place - 0.17 * row.recommended, number(mean, row.std), size=9, **look)
    if row.recommended:
        axis.text(1.02, place + 0.22, "recommended", size=7.5, **{**look, "color": BLUE})
    elif any(not held.met for held in row.constraints):
        axis.text(1.02, place + 0.3, "beyond a limit", size=7.5, **{**look, "color": RED})
    if not low <= mean <= high:
        end, marker = (low + 0.012 * (high - low), "<") if mean < low else (high - 0.012 * (high - low), ">")
        axis.plot([end], [place], marker=marker, color=colour, markersize=8)
        return
    axis.plot(row.values, [place] * len(row.values), "o", color=colour, alpha=0.35, markersize=3.5, linewidth=0)
    if row.std is not None:
        axis.plot([mean - row.std, mean + row.std], [place, place], color=colour, linewidth=2.2, solid_capstyle="butt")
    axis.plot([mean], [place], marker="D" if row.name == SEARCHED else "o", color=colour, markersize=8)


def _span(rows: Sequence[Row]) -> tuple[float, float]:
    """The axis: all rows, less those last ones that would push all others onto a fifth of it."""
    shown = list(rows)
    while len(shown) > 2 and not (shown[-1].recommended or shown[-1].name == SEARCHED):
        whole, rest = _extent(shown), _extent(shown[:-1])
        if rest[1] - rest[0] > 0.2 * (whole[1] - whole[0]):
            break
        shown.pop()
    low, high = _extent(shown) if shown else (0.0, 1.0)
    pad = 0.05 * (high - low) or 0.01 * abs(low) or 0.01
    return low - pad, high + pad


def _extent(rows: Sequence[Row]) -> tuple[float, float]:
    ends = [end for row in rows for end in _ends(row)]
    return min(ends), max(ends)


def _ends(row: Row) -> list[float]:
    mean, std = row.test or 0.0, row.std or 0.0
    return [mean - std, mean + std, *row.values]


def history_figure(result: Mapping[str, Any], trials: Sequence[TrialRecord]) -> bytes:
    """Value of each trial on validation by number, with the best so far; pruned and failed trials marked."""
    figure, (axis,) = blank(9.0, 4.6)
    higher = higher_is_better(result["metric"])
    ordered = sorted(trials, key=lambda trial: trial.number)
    done = [trial for trial in ordered if trial.state is TrialState.COMPLETED and trial.value is not None]
    low, high = window([trial.value for trial in done if trial.value is not None], higher)

    def at(trial: TrialRecord, value: float) -> tuple[float, float]:
        return trial.number, min(max(value, low), high)

    pruned = [at(t, t.rungs[-1][1]) for t in ordered if t.state is TrialState.PRUNED and t.rungs]
    handles = []

    def scatter(points: Sequence[tuple[float, float]], label: str, **look: Any) -> None:
        if points:
            x, y = zip(*points, strict=True)
            (line,) = axis.plot(x, y, linestyle="none", label=f"{label} ({len(points)})", clip_on=False, **look)
            handles.append(line)

    scatter(pruned, "pruned", marker="v", color="none", markeredgecolor=GREY, markersize=4.5, markeredgewidth=0.8)
    for origin, colour, marker in (("searched", BLUE, "o"), ("baseline", ORANGE, "s")):
        points = [at(trial, trial.value) for trial in done if trial.origin == origin and trial.value is not None]
        scatter(points, origin, marker=marker, color=colour, markersize=5.5, markeredgecolor="white")
    strip = 0.09 * (high - low)
    edge = low - strip if higher else high + strip
    axis.axhline(low if higher else high, color=GREY, linewidth=0.6, linestyle=":")
    failed = [(trial.number, edge) for trial in ordered if trial.state is TrialState.FAILED]
    scatter(failed, "failed", marker="x", color=RED, markersize=6, markeredgewidth=1.6)
    untrained = [(trial.number, edge) for trial in ordered if trial.state in _UNTRAINED]
    scatter(untrained, "screened out", marker="|", color=GREY, markersize=8)
    handles.extend(_running_best(axis, done, ordered, higher))
    axis.set_ylim(*((low - 2 * strip, high) if higher else (low, high + 2 * strip)))
    axis.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
    axis.set_xlabel("trial", color=INK, size=10)
    label = "\n".join(textwrap.wrap(metric_label(result, "validation"), 44)[:2])
    axis.set_ylabel(label, color=INK, size=9, parse_math=False)
    subtitle = "Values on validation rows; the verdict is reached on rows that the search never saw."
    if any(trial.value is not None and not low <= trial.value <= high for trial in done):
        subtitle += " Marks on the dotted line lie beyond it."
    top = headline(figure, f"{len(ordered)} trials of study {result['study']}", subtitle)
    figure.subplots_adjust(left=0.1, right=0.975, top=top, bottom=0.2)
    legend(figure, handles, loc="lower center", ncols=len(handles) or 1, columnspacing=1.2, handletextpad=0.3)
    return png(figure)


def _running_best(axis: Any, done: Sequence[TrialRecord], ordered: Sequence[TrialRecord], higher: bool) -> list[Line2D]:
    best: float | None = None
    x: list[float] = []
    y: list[float] = []
    for trial in done:
        value = trial.value
        if value is not None and (best is None or (value > best if higher else value < best)):
            best = value
            x.append(trial.number)
            y.append(value)
    if best is None:
        return []
    label = f"best so far: {number(best)}"
    (line,) = axis.step([*x, ordered[-1].number], [*y, best], where="post", color=INK, linewidth=1.4, label=label)
    return [line]


def window(values: Sequence[float], higher: bool) -> tuple[float, float]:
    """From the best value to somewhat beyond the quartile of the poor ones; the rest sits on the edge."""
    if not values:
        return 0.0, 1.0
    best, worst = (max(values), min(values)) if higher else (min(values), max(values))
    if len(values) >= 8:
        quartile = quantiles(values, n=4)[0 if higher else 2]
        limit = quartile - 1.5 * (best - quartile)
        near = [value for value in values if (value >= limit if higher else value <= limit)]
        worst = min(near) if higher else max(near)
    pad = 0.06 * abs(best - worst) or 0.01 * abs(best) or 0.01
    low, high = (worst - pad, best + pad) if higher else (best - pad, worst + pad)
    return low, high

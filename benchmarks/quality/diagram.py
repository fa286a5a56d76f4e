"""The critical-difference diagram (Demšar 2006): mean ranks on a line, bars over methods that do not differ."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


def cliques(ranks: Mapping[str, float], difference: float) -> list[tuple[float, float]]:
    """The longest stretches of mean ranks no longer than the critical difference, of two methods or more."""
    ordered = sorted(ranks.values())
    spans: list[tuple[float, float]] = []
    for first in ordered:
        last = max(rank for rank in ordered if rank - first <= difference)
        if last > first and not any(low <= first and last <= high for low, high in spans):
            spans.append((first, last))
    return spans


def draw(file: Path, ranks: Mapping[str, float], difference: float, scenarios: int) -> None:
    """Write the diagram as PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    ordered = sorted(ranks, key=ranks.__getitem__)
    half = -(-len(ordered) // 2)
    spans = cliques(ranks, difference)
    top = 0.5 + 0.22 * len(spans)
    figure = Figure(figsize=(8, 1.6 + 0.28 * half), dpi=150)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0.02, 0.02, 0.96, 0.96))
    low, high = 1, max(2, len(ordered))
    width = high - low
    axes.set_xlim(low - 0.35 * width, high + 0.35 * width)
    axes.set_ylim(-(top + 0.5 * half + 0.3), 1.4)
    axes.axis("off")
    axes.plot([low, high], [0, 0], color="black", lw=1)
    for rank in range(low, high + 1):
        axes.plot([rank, rank], [0, 0.12], color="black", lw=1)
        axes.text(rank, 0.2, str(rank), ha="center", va="bottom", fontsize=9)
    for place, name in enumerate(ordered):
        left = place < half
        depth = -(top + 0.5 * (place if left else len(ordered) - 1 - place))
        edge = low - 0.05 * width if left else high + 0.05 * width
        axes.plot([ranks[name], ranks[name], edge], [0, depth, depth], color="0.4", lw=0.8)
        label = f"{name}  {ranks[name]:.2f}" if left else f"{ranks[name]:.2f}  {name}"
        axes.text(edge, depth, f" {label} ", ha="right" if left else "left", va="center", fontsize=9)
    for row, (first, last) in enumerate(spans):
        axes.plot([first - 0.03, last + 0.03], [-0.3 - 0.22 * row] * 2, color="black", lw=3, solid_capstyle="butt")
    axes.plot([low, low + min(difference, width)], [0.85, 0.85], color="black", lw=1.2)
    axes.text(
        low, 1.0, f"critical difference {difference:.2f} (95 %, {scenarios} scenarios); left is better", fontsize=8
    )
    figure.savefig(file)

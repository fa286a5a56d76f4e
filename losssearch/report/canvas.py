"""Drawing without global state: figures made by hand, the Agg canvas, one palette.

No pyplot and no rcParams, so that a study in a notebook or a service thread leaves the user's settings alone.
"""

from __future__ import annotations

import io
import math
import textwrap
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, get_font

# Okabe and Ito 2008: told apart with any kind of colour blindness, and by lightness in print.
BLUE, ORANGE, RED, GREEN = "#0072B2", "#E69F00", "#D55E00", "#009E73"
INK, GREY, FAINT = "#1F2933", "#6B7785", "#D9DEE4"
DPI = 150
_LEFT = 0.015


def blank(width: float, height: float, panels: int = 1) -> tuple[Figure, list[Axes]]:
    """A figure of ``width`` × ``height`` inches with ``panels`` axes side by side, and an Agg canvas."""
    figure = Figure(figsize=(width, height), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    axes = [figure.add_subplot(1, panels, index + 1) for index in range(panels)]
    for axis in axes:
        for side in ("top", "right"):
            axis.spines[side].set_visible(False)
        for side in ("left", "bottom"):
            axis.spines[side].set_color(GREY)
        axis.tick_params(colors=INK, labelsize=9)
        axis.grid(True, color=FAINT, linewidth=0.6)
        axis.set_axisbelow(True)
    return figure, axes


def headline(figure: Figure, title: str, subtitle: str = "") -> float:
    """Write title and subtitle at the top left; return the share of the height left below them."""
    height = figure.get_figheight()
    top = 1 - 0.12 / height
    for text, lines, step, look in (
        (title, 2, 0.24, {"size": 13, "weight": "bold", "color": INK, "linespacing": 1.2}),
        (subtitle, 3, 0.17, {"size": 9, "color": GREY, "linespacing": 1.3}),
    ):
        if text:
            top -= (step * _write(figure, top, drawable(text), lines, look) + 0.04) / height
    return top - 0.1 / height


def _write(figure: Figure, top: float, text: str, most: int, look: dict[str, Any]) -> int:
    """Break ``text`` into lines that fit the figure, at most ``most``; return how many they are."""
    written = figure.text(_LEFT, top, "", va="top", parse_math=False, **look)
    lines: list[str] = []
    for width in range(160, 20, -4):
        lines = textwrap.wrap(text, width)
        if len(lines) > most:
            lines = [*lines[: most - 1], lines[most - 1][: width - 2] + " …"]
        written.set_text("\n".join(lines))
        if written.get_window_extent().x1 <= (1 - _LEFT) * figure.bbox.x1:
            break
    return len(lines)


def drawable(text: object) -> str:
    """``text`` with what the font cannot draw replaced by ``?``: a missing glyph would be a warning."""
    known = get_font(findfont("DejaVu Sans")).get_charmap()
    return "".join(c if ord(c) in known else " " if c.isspace() else "?" for c in str(text))


def png(figure: Figure) -> bytes:
    """The figure as a PNG file; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    return buffer.getvalue()


def legend(target: Axes | Figure, handles: Sequence[Any], **placement: Any) -> None:
    """A legend without a frame, in the palette's ink."""
    target.legend(handles=list(handles), frameon=False, fontsize=9, labelcolor=INK, **placement)


def number(value: float, spread: float | None = None) -> str:
    """Four significant digits; with a ``spread``, as ``mean ± spread``, both to the spread's second digit."""
    if not spread or not math.isfinite(spread):
        return f"{value:.4f}" if 0.001 <= abs(value) < 10 else f"{value:.4g}"
    if not 1e-5 <= spread < 1e5:
        return f"{value:.4g} ± {spread:.1g}"
    digits = max(0, 1 - math.floor(math.log10(spread)))
    return f"{value:.{digits}f} ± {spread:.{digits}f}"

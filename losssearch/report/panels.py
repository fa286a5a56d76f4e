"""Small figures for the page: vector graphics in its own colours, legible on a telephone and next to one another."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from losssearch.report.canvas import BLUE, FAINT, GREEN, GREY, INK, ORANGE, RED, drawable

_COLOURS = {INK: "ink", GREY: "soft", FAINT: "line", BLUE: "blue", ORANGE: "orange", RED: "red", GREEN: "green"}
"""What the page calls each colour, so that it can have another one in the dark."""

PURPLE = "#CC79A7"
_COLOURS[PURPLE] = "purple"
COURSE = (BLUE, ORANGE, GREEN, RED, PURPLE, INK)

_SIZE = 5.0, 3.3
_FONT = 10.5


@dataclass(frozen=True)
class Key:
    """An entry of the legend, which the page writes: ``colour`` by its name there, ``dashed`` as in the figure."""

    label: str
    colour: str
    style: str = "-"


@dataclass(frozen=True)
class Picture:
    """A figure: its SVG, what it shows in a sentence, and its legend."""

    svg: str
    title: str
    caption: str = ""
    keys: tuple[Key, ...] = field(default=())


def panel(x: str, y: str, *, whole: bool = False) -> tuple[Figure, Axes]:
    """A figure with one pair of axes and their names; ``whole``: the x axis counts something."""
    figure = Figure(figsize=_SIZE, facecolor="none")
    FigureCanvasSVG(figure)
    axis = figure.add_axes((0.15, 0.16, 0.82, 0.8), facecolor="none")
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axis.spines[side].set_color(GREY)
    axis.tick_params(colors=INK, labelsize=_FONT)
    axis.grid(True, color=FAINT, linewidth=0.7)
    axis.set_axisbelow(True)
    axis.set_xlabel(drawable(x), color=INK, size=_FONT, parse_math=False)
    axis.set_ylabel(drawable(y), color=INK, size=_FONT, parse_math=False)
    axis.xaxis.set_major_locator(MaxNLocator(6, integer=whole))
    axis.yaxis.set_major_locator(MaxNLocator(6))
    return figure, axis


def key(label: str, colour: str, style: str = "-") -> Key:
    """The entry of a legend for a line of this colour and style."""
    return Key(label, _COLOURS[colour], style)


def picture(figure: Figure, title: str, caption: str = "", keys: Sequence[Key] = ()) -> Picture:
    """The figure as the page shows it."""
    return Picture(svg(figure, title), title, caption, tuple(keys))


def svg(figure: Figure, title: str) -> str:
    """An ``<svg>`` element whose colours are the page's variables; the same figure gives the same text."""
    file = io.StringIO()
    figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = file.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    # Hundredths of a point are enough; of the small numbers, which scale glyphs, a few digits more.
    text = re.sub(r"\d+\.\d{3,}", lambda m: f"{float(m[0]):.{2 if float(m[0]) >= 1 else 4}f}", text)
    for colour, name in _COLOURS.items():
        text = re.sub(re.escape(colour), f"var(--{name})", text, flags=re.IGNORECASE)
    mark = re.sub(r"\W+", "-", title.lower())[:24]
    names: dict[str, str] = {}
    for found in re.findall(r'\bid="([^"]+)"', text):  # made at random, and the same in several figures of a page
        names.setdefault(found, f"{mark}-{len(names)}")
    text = re.sub(r'\bid="([^"]+)"', lambda m: f'id="{names[m[1]]}"', text)
    text = re.sub(r'(href="#)([^"]+)"', lambda m: f'{m[1]}{names.get(m[2], m[2])}"', text)
    text = re.sub(r"url\(#([^)]+)\)", lambda m: f"url(#{names.get(m[1], m[1])})", text)
    box = re.search(r'viewBox="[^"]*"', text)
    assert box is not None  # noqa: S101  (matplotlib writes one)
    head = f'<svg role="img" aria-label="{_attribute(title)}" {box[0]}'
    return head + ' xmlns:xlink="http://www.w3.org/1999/xlink">' + text[text.index(">") + 1 :].strip()


def _attribute(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")

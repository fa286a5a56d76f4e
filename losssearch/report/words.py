"""A loss in words, its formula as a picture, and what a report must say of its own limits."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.path import Path as Outline
from matplotlib.textpath import TextPath

from losssearch.losses.schedule import Scheduled
from losssearch.losses.spec import LossSpec, Part

_GREEK = {
    "alpha", "beta", "gamma", "delta", "epsilon", "kappa", "lambda", "mu", "nu", "rho", "sigma", "tau", "theta",
}  # fmt: skip
_SIZE = 17.0
_LETTERS = {Outline.MOVETO: "M", Outline.LINETO: "L", Outline.CURVE3: "Q", Outline.CURVE4: "C"}


@dataclass(frozen=True)
class InWords:
    """A part of a loss: its name, what it does, its formula in the catalogue's words, and how it counts."""

    name: str
    does: str
    formula: str
    counts: str


def in_words(spec: LossSpec) -> list[InWords]:
    """Each part of a loss in words."""
    return [_part(part, len(spec.parts) == 1) for part in spec.parts]


def _part(part: Part, alone: bool) -> InWords:
    text = inspect.cleandoc(part.term.function.__doc__ or "")
    paragraphs = [" ".join(one.split()) for one in text.split("\n\n")]
    body = " ".join(paragraphs[1:]).partition("Shapes:")[0]
    found = re.search(r"``([^`]+)``(.*?)(?:\.\s|\.?$)", body)
    formula = re.sub(r"`+", "", found[0]).rstrip(". ") if found else ""
    settings = [f"{name} {_number(value)}" for name, value in part.hyperparameters.items() if len(str(value)) < 60]
    counts = [] if alone else [_weight(part)]
    if settings:
        counts.append("with " + ", ".join(settings))
    if not part.reduction.is_mean:
        counts.append(f"as {part.reduction.record.meaning or part.reduction.kind}")
    does = re.sub(r"`+", "", paragraphs[0]).rstrip(".") if paragraphs else ""
    return InWords(part.name.replace("_", " "), does, formula, "; ".join(counts))


def _weight(part: Part) -> str:
    fixed = part.weighting.fixed
    if fixed is not None:
        return f"weight {fixed:.3g}"
    moving = [value for value in part.weighting.values.values() if isinstance(value, Scheduled)]
    return f"weight {_number(moving[0])}" if moving else part.weighting.record.meaning or part.weighting.kind


def _number(value: object) -> str:
    if not isinstance(value, Scheduled):
        return f"{value:.3g}" if isinstance(value, float) else str(value).replace("_", " ")
    levels = [f"{one:.3g}" for one in value.levels]
    return f"from {levels[0]} to {levels[-1]} over training" if len(levels) > 1 else f"on a {value.kind} schedule"


def typeset(spec: LossSpec) -> list[str]:
    """The formula as ``<svg>`` elements, one per summand, so that lines break between them; empty if it has no form."""
    pieces = re.split(r" (?=\+ )", _readable(spec.formula(latex=True))) if spec.balance.is_sum else []
    pieces = pieces or [_readable(spec.formula(latex=True))]
    plain = re.split(r" (?=\+ )", spec.formula()) if len(pieces) > 1 else [spec.formula()]
    if len(plain) != len(pieces):
        pieces, plain = [_readable(spec.formula(latex=True))], [spec.formula()]
    try:
        return [_svg(piece, text) for piece, text in zip(pieces, plain, strict=True)]
    except ValueError:  # what mathtext does not know
        return []


def _readable(latex: str) -> str:
    """Names with spaces, Greek letters for hyperparameters that are called so."""

    def named(match: re.Match[str]) -> str:
        name = match[1].replace(r"\_", "_")
        letter = rf"\{name}" if name in _GREEK else r"\mathrm{" + name.replace("_", r"\ ") + "}"
        return f"{letter}="

    latex = re.sub(r"\\mathrm\{([^{}]*)\}", lambda m: r"\mathrm{" + m[1].replace(r"\_", r"\ ") + "}", latex)
    return re.sub(r"((?:[A-Za-z]|\\_)+)=", named, latex)


def _svg(latex: str, text: str) -> str:
    outline = TextPath((0, 0), f"${latex}$", size=_SIZE)
    box = outline.get_extents()
    pieces = []
    for points, code in outline.iter_segments(simplify=False):
        if code == Outline.CLOSEPOLY:
            pieces.append("Z")
        else:
            pairs = " ".join(f"{x - box.x0:.2f} {box.y1 - y:.2f}" for x, y in points.reshape(-1, 2))
            pieces.append(f"{_LETTERS[code]}{pairs}")
    below = max(0.0, -box.y0)
    shown = text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
    return (
        f'<svg role="img" aria-label="{shown}" viewBox="0 0 {box.width:.1f} {box.height:.1f}" '
        f'style="width:{box.width / 16:.2f}em;vertical-align:{-below / 16:.2f}em">'
        f'<path fill="currentColor" d="{"".join(pieces)}"/></svg>'
    )


def limits_of(result: Mapping[str, Any]) -> list[str]:
    """What the result does not say, in sentences with its own figures."""
    verdict, metric = result.get("verdict") or {}, result["metric"]["name"]
    rows = ((result.get("data") or {}).get("rows") or {}).get("test")
    said = []
    low, high = verdict.get("interval") or (math.nan, math.nan)
    if rows and math.isfinite(high - low):
        said.append(
            f"A difference in {metric} of less than about {(high - low) / 2:.2g} cannot be told from chance on "
            f"{rows:,} test rows."
        )
    if result.get("model"):
        said.append(
            f"All losses trained the model {result['model']} in the same way. Another model, or many more epochs, may "
            "rank them otherwise."
        )
    said.append(
        "Intervals take the rows as drawn from one source, at random or in their groups. After a shift of the data "
        "they do not hold."
    )
    said.append(
        "Test was read once for this verdict. Whoever picks the best of several reports reads it more than once."
    )
    late = [entry["name"] for entry in _entries(result) if (entry.get("epochs") or {}).get("late")]
    if late:
        said.append(f"Still improving when training ended: {', '.join(late).replace('_', ' ')}.")
    return said


def _entries(result: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    return [one for one in (result.get("searched"), *(result.get("baselines") or [])) if one]

"""What a loss amounts to in the curves of the catalogue: least squares over their slopes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from losssearch.data.batch import Batch
from losssearch.errors import LossSearchError
from losssearch.losses import terms
from losssearch.losses.domains import Tree
from losssearch.losses.part import part_states
from losssearch.losses.spec import LossSpec, Part
from losssearch.report.stages import Stage, stage_curves
from losssearch.tasks import get_task
from losssearch.tasks.task import GROUPED

MOST = 3
"""Curves that a loss is explained by at the most."""

_GAIN = 0.005
"""How much more of the variance a further curve must explain."""

_LEAST = 0.02
"""Share of the slope below which a curve is not named."""


@dataclass(frozen=True)
class Explained:
    """The loss as a sum of curves of the catalogue: (share of the slopes' sizes, name), and R² of its slope."""

    shares: tuple[tuple[float, str], ...]
    r2: float

    @property
    def text(self) -> str:
        """``0.71 cross entropy + 0.29 brier (R² 0.99)``."""
        told = " + ".join(f"{share:.2f} {name.replace('_', ' ')}" for share, name in self.shares)
        return f"{told} (R² {self.r2:.3f})"


def explained(spec: LossSpec, task: str, facts: Batch, stage: Stage, class_: int) -> Explained | None:
    """Explain a loss at a stage of its training by the catalogue; None for one that is a curve of it, or has no curve.

    Curves are those of the terms that are means over samples and keep nothing, at their defaults, for a sample of the
    class ``class_``. Sizes of slopes are made equal, so that shares compare.
    """
    if len(spec.parts) == 1 and _is_of_catalogue(spec.parts[0]):
        return None
    drawn = stage_curves(spec, task, facts, [stage], class_)
    if not drawn:
        return None
    wanted = np.array(drawn[0].curve.slope)
    known = _catalogue(task, class_, facts)
    own = {part.name for part in spec.parts} if len(spec.parts) == 1 else set()
    names = [name for name in known if name not in own]
    return fitted(wanted, {name: known[name] for name in names})


def _is_of_catalogue(part: Part) -> bool:
    """Whether a part is a curve of the catalogue itself: it keeps nothing, and no formula is written in it."""
    written = any(isinstance(domain, Tree) for domain in part.term.domains.values())
    return not written and not part_states(part) and not part.scheduled


def fitted(wanted: NDArray[np.float64], known: Mapping[str, NDArray[np.float64]]) -> Explained | None:
    """Least squares with weights that are not negative, one curve more at a time; None for a curve that is flat.

    Example:
        >>> import numpy as np
        >>> x = np.linspace(-1, 1, 9)
        >>> fitted(3 * x, {"line": x, "square": x**2}).text
        '1.00 line (R² 1.000)'
    """
    total = float(((wanted - wanted.mean()) ** 2).sum())
    if not np.isfinite(wanted).all() or total <= 1e-12 * max(1.0, float((wanted**2).sum())):
        return None
    size = {name: float(np.sqrt((own**2).mean())) for name, own in known.items()}
    curves = {name: own / size[name] for name, own in known.items() if np.isfinite(own).all() and size[name] > 0}
    chosen, r2, weights = list[str](), 0.0, np.zeros(0)
    while len(chosen) < min(MOST, len(curves)):
        tried = []
        for name in curves:
            if name not in chosen:
                found, rest = nnls(np.stack([curves[one] for one in (*chosen, name)], axis=1), wanted)
                tried.append((rest**2, name, found))
        error, name, found = min(tried, key=lambda one: one[0])
        if chosen and 1 - error / total < r2 + _GAIN:
            break
        chosen, r2, weights = [*chosen, name], 1 - error / total, found
    if not weights.sum() > 0:
        return None
    shares = [(float(one / weights.sum()), name) for one, name in zip(weights, chosen, strict=True)]
    return Explained(tuple(sorted((s for s in shares if s[0] >= _LEAST), reverse=True)), float(r2))


def _catalogue(task: str, class_: int, facts: Batch) -> dict[str, NDArray[np.float64]]:
    """The slopes of the catalogue's curves, by term."""
    offers, found = get_task(task).offers, dict[str, NDArray[np.float64]]()
    for name, term in terms.items():
        if not term.per_sample or term.states or not set(term.reads) <= offers or GROUPED & set(term.reads):
            continue
        if any(isinstance(domain, Tree) for domain in term.domains.values()):
            continue
        try:
            drawn = stage_curves(LossSpec((Part(name),)), task, facts, [Stage("", 1.0)], class_)
        except LossSearchError:  # a term that needs settings of its own
            continue
        found[name] = np.array(drawn[0].curve.slope)
    return found

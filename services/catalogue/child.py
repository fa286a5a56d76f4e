"""``python -m services.catalogue.child``: answers questions on terms, spaces and metrics, a line of JSON each.

A question is ``{"ask": NAME, …}``; the answer ``{"found": …}``, or ``{"problem": …, "missing": BOOL}``.
"""

from __future__ import annotations

import base64
import json
import os
import resource
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from losssearch.errors import LossSearchError, UnknownNameError

MEMORY = 6_000_000_000
"""Bytes of address space: torch alone maps more than it uses."""

MOST_SAMPLES = 50


def main() -> int:
    """Answer until stdin ends."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for line in sys.stdin:
        sys.stdout.write(json.dumps(_answer(json.loads(line)), allow_nan=False) + "\n")
        sys.stdout.flush()
    return 0


def _answer(question: dict[str, Any]) -> dict[str, Any]:
    try:
        return {"found": _QUESTIONS[question.pop("ask")](**question)}
    except LossSearchError as error:
        return {"problem": str(error), "missing": isinstance(error, UnknownNameError)}
    except (MemoryError, RecursionError) as error:
        return {"problem": f"this takes too much to be looked at ({type(error).__name__})", "missing": False}


def _terms() -> list[dict[str, Any]]:
    from losssearch.cli.terms import record
    from losssearch.losses import terms

    return [record(term) for term in sorted(terms.values(), key=lambda one: (one.family, one.name))]


def _plot(name: str) -> str:
    from losssearch.cli.term_plot import draw
    from losssearch.losses import terms

    if name not in terms:
        raise UnknownNameError("term", name, terms)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "plot.svg"
        draw(terms[name], file)
        return base64.b64encode(file.read_bytes()).decode()


def _metrics() -> list[dict[str, Any]]:
    from losssearch.cli.metrics import catalogue

    return catalogue()


def _spaces() -> list[dict[str, Any]]:
    from losssearch.space import bundled_spaces, load_space

    return [_space(load_space(name)) for name in bundled_spaces()]


def _check(text: str) -> list[str]:
    from losssearch.space import check_space_text

    return check_space_text(text)


def _sample(count: int, seed: int, name: str | None = None, text: str | None = None) -> list[dict[str, Any]]:
    """Draw losses from a space as a random search would."""
    import numpy as np

    from losssearch.space import RandomTrial, load_space, load_space_text

    space = load_space(name) if name is not None else load_space_text(text or "")
    drawn = []
    for place in range(min(count, MOST_SAMPLES)):
        spec = space.sample(RandomTrial(np.random.default_rng([seed, place])))
        drawn.append({"formula": spec.formula(), "spec": spec.to_json()})
    return drawn


def _maximizes(metric: str, task: str) -> bool:
    from losssearch.evaluation import get_metric

    return get_metric(metric, task).direction == "maximize"


def _tasks() -> dict[str, Any]:
    """Of each kind of task: its own metric, and the gaps that a constraint may limit."""
    from losssearch.evaluation.fairness.gaps import gaps_for, get_gap, meaning
    from losssearch.tasks import TASKS

    def gap(name: str, task: str) -> dict[str, Any]:
        found = get_gap(name, task)
        return {"name": name, "operator": found.operator, "meaning": meaning(name)}

    return {
        name: {"metric": kind.metric, "gaps": [gap(one, name) for one in gaps_for(name)]}
        for name, kind in TASKS.items()
    }


def _floor(gap: str, limit: float, rows: list[int], share: float) -> dict[str, Any] | None:
    """The noise floor of a binary gap of decisions, before there is a model: one that finds 80 % of the positives."""
    import torch

    from losssearch.evaluation.fairness import Constraint
    from losssearch.evaluation.fairness.counts import Counts
    from losssearch.evaluation.fairness.gaps import get_gap
    from losssearch.evaluation.fairness.noise_floor import floor_of_rates
    from losssearch.evaluation.fairness.rates import rates_of_counts

    found = get_gap(gap, "binary")
    if found.shares is None:
        return None
    sizes = torch.tensor(rows, dtype=torch.float64)[:, None]
    positives = (sizes * share).round()[None]
    hits = (positives * 0.8).round()
    floor = floor_of_rates(found, rates_of_counts(found, Counts(sizes, positives, positives, hits)))
    hides = floor.hides(Constraint(gap, found.operator, limit, "binary", found))
    return {"mean": floor.mean, "quantile": floor.quantile, "hides": hides}


def _formulas(specs: list[dict[str, Any]]) -> list[str]:
    from losssearch.losses.spec import LossSpec

    return [_formula(LossSpec, spec) for spec in specs]


def _formula(kind: Any, spec: dict[str, Any]) -> str:
    try:
        return str(kind.from_json(spec).formula())
    except LossSearchError:  # of a term that came from outside
        return ""


def _space(space: Any) -> dict[str, Any]:
    return {"name": space.name, "question": space.question, **space.to_json()}


_QUESTIONS: Mapping[str, Callable[..., Any]] = {
    "terms": _terms,
    "plot": _plot,
    "metrics": _metrics,
    "spaces": _spaces,
    "check": _check,
    "sample": _sample,
    "tasks": _tasks,
    "floor": _floor,
    "formulas": _formulas,
    "maximizes": _maximizes,
}


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)

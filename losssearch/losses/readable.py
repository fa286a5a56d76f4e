"""The names of the tensors that terms may read, so that a misspelt one is found where a term is declared."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from losssearch.errors import SpecError

STANDARD = frozenset(
    {
        "class_prior", "distance", "goal", "group", "input_gradient", "labels", "logit", "logits", "mixed", "mixture",
        "parameters", "plain_loss", "predicted", "prediction", "progress", "scores", "target", "zero",
    }
)  # fmt: skip
"""Those of the built-in kinds of task, and what a training loop gives; `losssearch.losses.inputs` makes them."""

_offered: set[str] = set(STANDARD)
_likened: set[str] = set(STANDARD)


def offer_names(names: Iterable[str], *, common: bool = False) -> None:
    """Add the tensors that a kind of task offers; ``common``: words that other kinds may well have something like."""
    _offered.update(names)
    if not common:
        _likened.update(names)


def check_spelling(term: str, reads: Iterable[str]) -> None:
    """Raise `SpecError` where a term reads what looks like a misspelt name.

    A name that is like no other may be that of a head, whose kind of task is declared after the terms of its menu.
    """
    for name in reads:
        if name not in _offered and (near := _nearest(name)):
            raise SpecError(
                f"the term {term} reads {name}, which no kind of task offers; did you mean {near}? A tensor of a kind "
                "of your own needs a name that is less like it, or a kind that is declared before the term"
            )


def _nearest(name: str) -> str:
    near = difflib.get_close_matches(name.casefold(), sorted(_likened), n=1, cutoff=0.8)
    own = not near or any(character.isdigit() for character in name) or name.count("_") > near[0].count("_")
    return "" if own else near[0]

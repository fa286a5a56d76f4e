"""What a function must satisfy to be declared as a loss term."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from losssearch.errors import SpecError, shown
from losssearch.losses.domains import Choice, Float, Int, Tree
from losssearch.losses.readable import check_spelling
from losssearch.losses.record import signature_of
from losssearch.losses.state import State, check_updates

SAMPLE_WEIGHT = "sample_weight"
"""One weight per sample [batch], or None: what a batch-level term that can weigh samples takes after what it reads."""

RESERVED = frozenset({"term", "weight", "reduction", "scale"})
"""Keys of a part in a spec's JSON, so no hyperparameter may have these names."""


def declared_signature(function: Callable[..., Any], declared: Mapping[str, object]) -> tuple[tuple[str, ...], bool]:
    """What a term's function reads, and whether it takes sample weights after that."""
    positional, _ = signature_of(function, declared)
    weighs = positional[-1:] == (SAMPLE_WEIGHT,)
    return (positional[:-1] if weighs else positional), weighs


def require_rules(
    function: Callable[..., Any],
    declared: Mapping[str, object],
    reference: str,
    *,
    weighs_group: bool,
    restart_at: str,
) -> None:
    """Raise `SpecError` where a function, or what is declared of it, breaks a rule."""
    name = function.__name__
    positional, keywords = signature_of(function, declared)
    reads, _ = declared_signature(function, declared)
    if reserved := RESERVED & set(declared):
        raise SpecError(f"{name} may not name a hyperparameter {', '.join(sorted(reserved))}")
    if wrong := [k for k, v in declared.items() if not isinstance(v, Float | Int | Choice | Tree | State)]:
        raise SpecError(f"{name} must declare each of {', '.join(wrong)} as Float, Int, Choice or State")
    if not (function.__doc__ and reference):
        raise SpecError(f"{name} needs a docstring and a reference")
    if weighs_group and ("group" not in reads or positional != reads):
        raise SpecError(f"{name} may weigh the group only where it reads group, and no {SAMPLE_WEIGHT}")
    share = declared.get(restart_at)
    if restart_at and not (isinstance(share, Float) and share.low > 0 and share.high < 1):
        raise SpecError(
            f"restart_at of {name} must name a Float of its own within (0, 1), a share of the training; got "
            f"{shown(restart_at)}"
        )
    check_updates(name, declared, [*positional, *keywords])
    if function.__module__.partition(".")[0] != "losssearch":
        check_spelling(name, reads)

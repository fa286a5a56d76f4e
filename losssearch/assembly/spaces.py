"""The search space of a study: a bundled one, a file, text, or the one that fits task and data."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from typing import Any

from losssearch.assembly.place import Place
from losssearch.data import Dataset
from losssearch.data.quality.looking import Seen
from losssearch.errors import DataError, OptionError
from losssearch.losses.balance import SUM
from losssearch.losses.kept import by_validation
from losssearch.losses.spec import LossSpec, Part
from losssearch.losses.term import registry
from losssearch.models import is_boosted
from losssearch.option_names import option
from losssearch.request import Request
from losssearch.request.bundled import AUTO, bundled_spaces
from losssearch.space import SearchSpace, load_space, load_space_text
from losssearch.space.joining import join
from losssearch.storage.sql import SqlStore
from losssearch.tasks import Task, get_task

NOISY = "{}_noisy"
"""The space, for a kind of task, whose terms join where labels look wrong in one direction."""


def space_of(options: Request, task: Task, *, grouped: bool = False) -> SearchSpace:
    """The space that was asked for, else the one of the task; ``grouped`` as for `losssearch.space.load_space`.

    Raises:
        OptionError: it was asked for twice.
        SpaceError: it breaks a rule.
        UnknownNameError: there is none of this name.
    """
    if options.space_text is None:
        named = None if options.space == AUTO else options.space
        return load_space(named or task.space, task.kind, grouped=grouped)
    if options.space is not None:
        raise OptionError(f"a study has one search space: give {option('space')} or {option('space_text')}, not both")
    return load_space_text(options.space_text, task.kind, grouped=grouped)


def refuse_validation(space: SearchSpace, why: str) -> None:
    """Raise `OptionError` where a term of the space is learned by the validation loss, which ``why`` rules out."""
    specs = [*(LossSpec((Part(term),)) for term in sorted(space.terms)), *space.portfolio]
    if moved := [spec for spec in specs if by_validation(spec)]:
        raise OptionError(
            f"{moved[0].parts[0].name} of the space {space.name} is learned by the validation loss, and {why}: give "
            f"another {option('space')}"
        )


def refuse_restarts(space: SearchSpace, why: str) -> None:
    """Raise `OptionError` where a term of the space lets the model start anew, which ``why`` rules out."""
    if anew := [name for name in sorted(space.terms) if registry[name].restart_at]:
        raise OptionError(
            f"{anew[0]} of the space {space.name} lets the model start anew in mid-training, and {why}: give another "
            f"{option('space')}"
        )


def refuse_balances(space: SearchSpace, why: str) -> None:
    """Raise `OptionError` where a loss of the space is not the sum of its parts, which ``why`` rules out."""
    if others := [name for name in space.balances if name != SUM]:
        raise OptionError(
            f"the balance {others[0]} of the space {space.name} weighs parts against each other, and {why}: "
            f"give another {option('space')}, whose losses are sums of their parts"
        )


def refuse_unweighted(space: SearchSpace, task: Task) -> None:
    """Raise `OptionError` where a loss of the space or of the menu cannot weigh rows."""
    names = sorted(space.terms | {baseline.term for baseline in task.menu})
    if unable := [name for name in names if not registry[name].takes_weights]:
        raise OptionError(
            f"{unable[0]} gives one value per batch and cannot weigh rows: leave out {option('weight')}, or let a "
            "term of your own take sample_weight"
        )


def fitted_space(space: SearchSpace, seen: Seen, dataset: Dataset, task: Task, place: Place) -> SearchSpace:
    """The task's space, with the terms of `NOISY`, where labels look wrong in one direction; others stay as they are.

    A study that is resumed keeps the space that it was started with: an estimate near its threshold may come out
    otherwise on another machine. Rows on disk have no numbers that a term could remember them by, trees are grown on
    all rows at once, and a private model must remember no row.
    """
    options = place.options
    asked = options.space not in (None, AUTO) or options.space_text is not None or options.private_epsilon is not None
    name = NOISY.format(task.kind)
    own = task.space == get_task(task.kind).space and name in bundled_spaces()
    if asked or not own or seen.labels is None or dataset.stored is not None or is_boosted(options.model):
        return space
    more = load_space(name, task.kind)
    kept = kept_space(place)
    joins = seen.labels.pairwise if kept is None else bool((more.terms - space.terms) & _terms(kept))
    return join(space, more) if joins else space


def _terms(space: Mapping[str, Any]) -> set[str]:
    return {term for slot in space["slots"].values() for term in slot["terms"]}


def kept_space(place: Place) -> Mapping[str, Any] | None:
    """The space, as JSON, of the study in its store, where it was entered before."""
    if not place.options.resume or place.out is None:
        return None
    own = place.out / "study.db"
    if place.options.storage is None and not own.exists():
        return None
    try:
        with closing(SqlStore(place.options.storage or f"sqlite:///{own}", create=False)) as store:
            if place.study not in store.studies():
                return None
            space: Mapping[str, Any] = store.study(place.study).config["space"]
    except DataError:
        if place.may_be_new:  # its store was never finished, as on a full disk: it is made next, or said to be damaged
            return None
        raise
    return space

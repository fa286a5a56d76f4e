"""Loading a `SearchSpace` by name or from a file, or listing the problems of the file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from losssearch.errors import SpaceError, UnknownNameError
from losssearch.losses.term import registry
from losssearch.option_names import option
from losssearch.request.bundled import bundled_folder, bundled_spaces
from losssearch.space.checking import build
from losssearch.space.source import Node, RuleError, read_nodes, read_question, read_text
from losssearch.space.space import SearchSpace
from losssearch.tasks import KINDS
from losssearch.tasks.task import GROUPED

MAX_TEXT = 64 * 1024
"""Bytes of a space that is given as text."""

TEXT = "<space>"
"""What a space is called that is given as text."""

_SUFFIXES = (".yaml", ".yml")


def load_space(name_or_path: str | Path, task: str | None = None, *, grouped: bool = False) -> SearchSpace:
    """Load a bundled space by name, or a space file by path.

    With ``task``, a name may be what follows the kind of task, as ``noisy`` for ``binary_noisy``; the space must be for
    that kind of task, and have fairness terms only if the study is ``grouped``, that is, names a sensitive attribute.
    Raises `UnknownNameError` for a name that is not bundled, and `SpaceError`, beginning ``FILE:LINE:``, with the first
    rule that the file breaks and the number of others.
    """
    return _whole(*_load(name_or_path, task, grouped))


def check_space(name_or_path: str | Path, task: str | None = None, *, grouped: bool = False) -> list[str]:
    """Every rule that the file breaks, each beginning ``FILE:LINE:``, in the order of lines; empty for a good file.

    Raises `UnknownNameError` for a name that is not bundled.
    """
    return _load(name_or_path, task, grouped)[1]


def load_space_text(text: str, task: str | None = None, *, grouped: bool = False) -> SearchSpace:
    """Load a space from YAML text, without opening a file.

    Args:
        text: what a space file would hold, of at most `MAX_TEXT` bytes.
        task: the kind of task that it must be for; any if left out.
        grouped: whether the study has groups; if not, and with a ``task``, the space must have no fairness terms.

    Raises:
        SpaceError: the text breaks a rule; the message names the first, beginning ``<space>:LINE:``, and the number of
            others. `check_space_text` lists all.

    Example:
        >>> from losssearch.space import load_space_text
        >>> load_space_text("{task: binary, slots: {base: {terms: {focal: {gamma: [1, 2]}}}}}").task
        'binary'
        >>> load_space_text("{task: binary, slots: {base: {terms: {fokal: {}}}}}")
        Traceback (most recent call last):
        ...
        losssearch.errors.SpaceError: <space>:1: unknown term 'fokal'; did you mean focal?
    """
    return _whole(*_loaded_text(text, task, grouped))


def check_space_text(text: str, task: str | None = None, *, grouped: bool = False) -> list[str]:
    """Every rule that YAML text breaks, one line each, beginning ``<space>:LINE:``; empty for a good space."""
    return _loaded_text(text, task, grouped)[1]


def _whole(space: SearchSpace | None, problems: list[str]) -> SearchSpace:
    if space is None:
        first, *others = problems
        more = f" (and {len(others)} more)" if others else ""
        raise SpaceError(first + more)
    return space


def _loaded_text(text: str, task: str | None, grouped: bool) -> tuple[SearchSpace | None, list[str]]:
    def small() -> str:
        size = len(text.encode(errors="replace"))
        if size > MAX_TEXT:
            raise RuleError(0, f"the text of a space has at most {MAX_TEXT} bytes, got {size}")
        return text

    return _loaded(small, TEXT, TEXT, task, grouped)


def _load(name_or_path: str | Path, task: str | None, grouped: bool) -> tuple[SearchSpace | None, list[str]]:
    own = _of_kind(str(name_or_path))
    path, shown = (Path(name_or_path), f"the space of task {name_or_path}") if own else _locate(name_or_path, task)
    return _loaded(lambda: own or read_text(path), path.stem, shown, task, grouped)


def _loaded(
    read: Callable[[], str], name: str, shown: str, task: str | None, grouped: bool
) -> tuple[SearchSpace | None, list[str]]:
    """The space of the text that ``read`` gives, or the rules that it breaks, each beginning with ``shown``."""
    space: SearchSpace | None = None
    problems: list[RuleError] = []
    try:
        text = read()
        root, found = read_nodes(text)
        problems.extend(found)
        space = build(root, problems, name=name, question=read_question(text))
        if task is not None and space is not None and space.task != task:
            problems.append(_other_task(root, space.task, task))
        if task is not None and space is not None and not grouped and space.reads & GROUPED:
            fair = sorted(term for term in space.terms if GROUPED.intersection(registry[term].reads))
            needs = (
                f"{', '.join(fair)} need a sensitive attribute, and the study names none; give {option('sensitive')}"
            )
            problems.append(RuleError(0, needs))
    except RuleError as problem:
        problems.append(problem)
    ordered = sorted(problems, key=lambda problem: problem.line)
    lines = [f"{shown}:{p.line}: {p.text}" if p.line else f"{shown}: {p.text}" for p in ordered]
    return (None if lines else space), lines


def _other_task(root: Node, found: str, wanted: str) -> RuleError:
    line = root.value["task"].line if isinstance(root.value, dict) else 0
    return RuleError(line, f"the space must be for the study's task {wanted!r}, got one for {found!r}")


def _of_kind(name: str) -> str | None:
    """The text of the space that a kind of task brings with it."""
    return next((kind.space for kind in KINDS.values() if kind.space and kind.task.space == name), None)


def _locate(name_or_path: str | Path, task: str | None) -> tuple[Path, str]:
    """The file, and how messages name it."""
    text = str(name_or_path)
    if isinstance(name_or_path, Path) or "/" in text or text.endswith(_SUFFIXES):
        return Path(name_or_path), text
    if task is not None and text not in bundled_spaces() and f"{task}_{text}" in bundled_spaces():
        text = f"{task}_{text}"
    if text not in bundled_spaces():
        raise UnknownNameError("search space", text, bundled_spaces())
    return bundled_folder() / f"{text}.yaml", f"{text}.yaml"

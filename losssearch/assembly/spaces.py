"""The search space of a study: a bundled one, a file, or text."""

from __future__ import annotations

from losssearch.errors import OptionError
from losssearch.losses.kept import by_validation
from losssearch.losses.spec import LossSpec, Part
from losssearch.option_names import option
from losssearch.request import Request
from losssearch.space import SearchSpace, load_space, load_space_text
from losssearch.tasks import Task


def space_of(options: Request, task: Task, *, grouped: bool = False) -> SearchSpace:
    """The space that was asked for, else the one of the task; ``grouped`` as for `losssearch.space.load_space`.

    Raises:
        OptionError: it was asked for twice.
        SpaceError: it breaks a rule.
        UnknownNameError: there is none of this name.
    """
    if options.space_text is None:
        return load_space(options.space or task.space, task.kind, grouped=grouped)
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

"""The arguments of `losssearch.search`: every option by its own name, or several of them as a group."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from losssearch.arguments import Accepted, check_call
from losssearch.errors import OptionError
from losssearch.request import kinds
from losssearch.request.description import AllOptions, Request
from losssearch.request.groups import GROUPS, Budget, Compute, Fairness, Output, Privacy, Splits
from losssearch.request.option import asked, defaults_of, documented, options_of

if TYPE_CHECKING:
    from losssearch.study.observer import Observer

Given = ParamSpec("Given")
Found = TypeVar("Found")


def _group(made: type[Any], what: str) -> Any:
    kind = kinds.Kind(f"an ls.{made.__name__}(…)", lambda value: isinstance(value, made), schema=None)
    names = ", ".join(f"``{name}``" for name in options_of(made))
    return asked(None, f"{what}, as an `losssearch.{made.__name__}`: {names}.", kind, local_only=True, python_only=True)


@dataclass(frozen=True, kw_only=True)
class Call(AllOptions):
    """The parameters of `losssearch.search`, with their types and defaults."""

    splits: Splits | None = _group(Splits, "How the rows are split")
    budget: Budget | None = _group(Budget, "How long the search takes")
    fairness: Fairness | None = _group(Fairness, "What must hold between groups")
    privacy: Privacy | None = _group(Privacy, "A model with differential privacy")
    compute: Compute | None = _group(Compute, "Who trains")
    output: Output | None = _group(Output, "Where the study is kept")
    observer: Observer | None = asked(
        None,
        "Is told of the progress in place of a display; see `losssearch.study.observer.Observer`.",
        kinds.ANYTHING,
        local_only=True,
        python_only=True,
    )
    verbose: bool | int = asked(
        1,
        "1 shows progress and notes, in the notebook or on stderr; 0 does not. ``result.notes`` has all notes.",
        kinds.VERBOSITY,
        local_only=True,
        python_only=True,
    )


PARAMETERS = options_of(Call)


def check_argument(name: str, value: Any) -> None:
    """Raise `OptionError` for an argument that is of the wrong type or out of its range."""
    PARAMETERS[name].check(name, value, defaults_of(Call)[name])


def request_of(given: dict[str, Any]) -> Request:
    """The request of a call with the arguments ``given``, all of them checked.

    Raises `OptionError` for an argument that cannot be used, and for an option that is given twice.
    """
    for name, value in given.items():
        check_argument(name, value)
    options = {name: value for name, value in given.items() if name in options_of(Request)}
    for group in GROUPS:
        if (found := given.get(group)) is None:
            continue
        defaults = defaults_of(found)
        for name in options_of(found):
            value = getattr(found, name)
            if value is defaults[name]:
                continue
            if name in options:
                raise OptionError(f"{name} must be given once, got it both as {name}= and in {group}=")
            check_argument(name, value)
            options[name] = value
    return Request(**options).plain()


def takes_options(
    parameters: Callable[Given, Call],
) -> Callable[[Callable[[dict[str, Any]], Found]], Callable[Given, Found]]:
    """Give a function of a dictionary the parameters of ``parameters``, and their documentation.

    ``{arguments}`` in its docstring stands for theirs. A call with others raises `ArgumentError`, with the nearest.
    """

    def decorate(function: Callable[[dict[str, Any]], Found]) -> Callable[Given, Found]:
        signature, accepted = inspect.signature(parameters), Accepted.by(parameters)

        @wraps(function)
        def called(*args: Given.args, **kwargs: Given.kwargs) -> Found:
            check_call(f"{function.__name__}()", accepted, args, kwargs, values=False)
            return function(dict(signature.bind(*args, **kwargs).arguments))

        returned = inspect.signature(function).return_annotation
        vars(called)["__signature__"] = signature.replace(return_annotation=returned)
        called.__annotations__ = {name: one.annotation for name, one in signature.parameters.items()}
        called.__annotations__["return"] = returned
        called.__doc__ = (function.__doc__ or "").replace("{arguments}", documented(PARAMETERS, 8))
        return called

    return decorate

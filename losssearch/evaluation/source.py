"""Where a user's function was defined, with a hash of its text, so that a resume can tell whether it changed."""

from __future__ import annotations

import functools
import hashlib
import inspect
from collections.abc import Callable
from typing import Any


def source_of(function: Callable[..., Any]) -> str:
    """``hash module:qualified.name`` of a function.

    The hash is that of its source text; of its bytecode and constants where there is no text, as in an interactive
    session; of the name alone for what has neither, such as a callable of a compiled module.
    """
    while isinstance(function, functools.partial):
        function = function.func
    owner = function if hasattr(function, "__qualname__") else type(function)
    name = f"{owner.__module__}:{owner.__qualname__}"
    try:
        text = inspect.getsource(owner)
    except (OSError, TypeError):
        code = getattr(function, "__code__", None)
        text = name if code is None else repr((code.co_code, code.co_names, [str(one) for one in code.co_consts]))
    return f"{hashlib.sha256(text.encode()).hexdigest()[:12]} {name}"

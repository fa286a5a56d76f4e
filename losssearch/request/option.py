"""One option of a study: everything that is known of it, in one place."""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from losssearch.errors import OptionError, shown
from losssearch.option_names import in_python, option, spelled
from losssearch.request.kinds import Kind

Resumed = Literal["same", "content", "may change", "not kept"]


@dataclass(frozen=True)
class Range:
    """Where a number must lie, ``low`` included; ``open_low`` and ``open_high`` exclude the ends.

    ``why`` completes the message: "must be at least 2 …".
    """

    low: float = float("-inf")
    high: float = float("inf")
    open_low: bool = False
    open_high: bool = False
    why: str = ""

    def __contains__(self, value: float) -> bool:
        above = value > self.low if self.open_low else value >= self.low
        return above and (value < self.high if self.open_high else value <= self.high)

    def __str__(self) -> str:
        if self.high == float("inf"):
            return f"be {'above' if self.open_low else 'at least'} {self.low:g}{self.why}"
        left, right = "(" if self.open_low else "[", ")" if self.open_high else "]"
        return f"lie in {left}{self.low:g}, {_number(self.high)}{right}"

    def schema(self) -> dict[str, float]:
        """The same as keywords of JSON Schema."""
        found: dict[str, float] = {}
        if self.low != float("-inf"):
            found["exclusiveMinimum" if self.open_low else "minimum"] = self.low
        if self.high != float("inf"):
            found["exclusiveMaximum" if self.open_high else "maximum"] = self.high
        return found


@dataclass(frozen=True)
class Option:
    """What is known of an option, apart from its name, type and default, which are those of its field.

    Args:
        help: what it is for, in a sentence or two, for the command line and the docstring alike.
        kind: what it may be.
        local_only: whether it is for whoever runs the study to say, as it names files, code or addresses, or says
            something of the machine: a service does not take it from a client. Every option must decide.
        more: what only Python's users can do with it.
        range: where a number must lie.
        metavar: what stands for the value in the help of the command line.
        flag: its name on the command line, if it is not the name in Python; one with ``no-`` says False.
        panel: the heading of the command line's help; that of the group if left out.
        python_only: whether the command line does not have it.
        resumed: whether a resumed study must have it as it was (``same``), compares what it holds (``content``), may
            have another (``may change``), or keeps no record of it (``not kept``).
        inferred: whether the data decide where it is left out, so that a resumed study may be told.
        names_file: whether a text may be a path, which is kept as an absolute one.
        may_hold_rows: whether it may hold rows of the data, which are kept nowhere.
    """

    help: str
    kind: Kind
    local_only: bool
    more: str = ""
    range: Range | None = None
    metavar: str = ""
    flag: str = ""
    panel: str = ""
    python_only: bool = False
    resumed: Resumed = "same"
    inferred: bool = False
    names_file: bool = False
    may_hold_rows: bool = False

    def check(self, name: str, value: Any, default: Any) -> None:
        """Raise `OptionError` for a value that is not of the option's kind, or a number out of its range."""
        if value is None and default is None:
            return
        if not self.kind.fits(value):
            found = "None" if value is None else f"{' '.join(shown(value).split())}, which is a {type(value).__name__}"
            raise OptionError(f"{option(name)} must be {self.kind.words}, got {found}")
        if self.range is not None and value not in self.range:
            raise OptionError(f"{option(name)} must {self.range}, got {shown(value)}")


def asked(
    default: Any,
    help: str,  # noqa: A002
    kind: Kind,
    *,
    local_only: bool,
    positional: bool = False,
    **facts: Any,
) -> Any:
    """A field of a dataclass with its `Option`."""
    return field(default=default, kw_only=not positional, metadata={"option": Option(help, kind, local_only, **facts)})


def options_of(record: Any) -> dict[str, Option]:
    """The options of a dataclass by name, in their order; fields that are none are left out."""
    return {one.name: one.metadata["option"] for one in dataclasses.fields(record) if "option" in one.metadata}


def defaults_of(record: Any) -> Mapping[str, Any]:
    """The defaults of those options."""
    return {one.name: one.default for one in dataclasses.fields(record) if "option" in one.metadata}


def _number(value: float) -> str:
    return "2^32" if value == 2**32 else f"{value:g}"


def documented(options: Mapping[str, Option], indent: int) -> str:
    """The section on arguments of a docstring, indented except for its first line."""
    entries = [
        textwrap.fill(
            f"{name}: {spelled(f'{one.help} {one.more}'.strip(), in_python)}",
            width=112,
            subsequent_indent="    ",
            break_long_words=False,
            break_on_hyphens=False,
        )
        for name, one in options.items()
    ]
    return textwrap.indent("\n".join(entries), " " * indent).strip()

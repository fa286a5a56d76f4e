"""A space file's YAML as a tree of plain values that know their lines.

Only what a space needs is read: maps, lists, strings, numbers, booleans and nothing. Tags, anchors and aliases are
refused, and so are files too large, too long or too deep to be a space: no file can run code or grow in memory.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode

MAX_BYTES = 1 << 20
MAX_DEPTH = 12
MAX_NODES = 20_000
_TAG = "tag:yaml.org,2002:"
_Yaml: TypeAlias = MappingNode | SequenceNode | ScalarNode


class RuleError(Exception):
    """A rule that a file breaks, and the line (from 1) where it does; line 0 is the file as a whole."""

    def __init__(self, line: int, text: str) -> None:
        super().__init__(line, text)
        self.line, self.text = line, text


@dataclass(frozen=True)
class Node:
    """A value and its line; the value of a map's entry has the line of its key."""

    line: int
    value: dict[str, Node] | list[Node] | str | int | float | bool | None

    def plain(self) -> object:
        """The value without lines."""
        if isinstance(self.value, dict):
            return {key: node.plain() for key, node in self.value.items()}
        return [node.plain() for node in self.value] if isinstance(self.value, list) else self.value


def read_text(path: Path) -> str:
    """The text of a space file; raises `RuleError` if there is none, or it is too large or not UTF-8."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise RuleError(0, f"a space is a file that can be read, got: {error.strerror}") from None
    if len(data) > MAX_BYTES:
        raise RuleError(0, f"a space file has at most {MAX_BYTES} bytes, got more")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RuleError(data.count(b"\n", 0, error.start) + 1, "a space file is UTF-8 text, got other bytes") from None


def read_question(text: str) -> str:
    """The first comment line, which says what question the space answers; empty without one."""
    found = re.search(r"^\s*#+ *(.*?) *$", text, re.MULTILINE)
    return found.group(1) if found else ""


def read_nodes(text: str) -> tuple[Node, list[RuleError]]:
    """Parse YAML into nodes, with the problems that leave it readable (keys given twice).

    Raises `RuleError` for text that is no YAML, and for YAML that a space file may not use.
    """
    problems: list[RuleError] = []
    try:
        _screen(text)
        root = _yaml().compose(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 0
        raise RuleError(line, f"a space file is YAML: {error.problem or error.context}") from None
    except YAMLError as error:
        raise RuleError(0, f"a space file is YAML: {str(error).splitlines()[0]}") from None
    if root is None:
        raise RuleError(0, "a space file has the keys task and slots, got an empty file")
    return _node(root, root.start_mark.line + 1, problems), problems


def _yaml() -> YAML:
    return YAML(typ="safe", pure=True)


def _screen(text: str) -> None:
    """Walk the parser's events, which takes no recursion, before anything is built from them."""
    depth = 0
    for count, (line, event) in enumerate(_events(text)):
        kind = type(event).__name__
        depth += kind.endswith("StartEvent") - kind.endswith("EndEvent")
        # Stream and document are two levels above the file's own.
        if depth > MAX_DEPTH + 2 or count > MAX_NODES:
            raise RuleError(line, f"a space file has at most {MAX_DEPTH} levels and {MAX_NODES} values, got more")
        if kind == "AliasEvent" or getattr(event, "anchor", None):
            raise RuleError(line, "a space file has no anchors (&) and no aliases (*); write the value out")
        if tag := getattr(event, "tag", None):
            raise RuleError(line, f"a space file has no tags, got {tag}")


def _events(text: str) -> Iterator[tuple[int, object]]:
    for event in _yaml().parse(text):
        yield event.start_mark.line + 1, event


def _node(yaml: _Yaml, line: int, problems: list[RuleError]) -> Node:
    if isinstance(yaml, SequenceNode):
        return Node(line, [_node(item, item.start_mark.line + 1, problems) for item in yaml.value])
    if isinstance(yaml, MappingNode):
        entries: dict[str, Node] = {}
        for key, value in yaml.value:
            at = key.start_mark.line + 1
            if not isinstance(key, ScalarNode):
                raise RuleError(at, "a key is a name, got a list or map")
            if key.value in entries:
                problems.append(RuleError(at, f"a key may be given once, got {key.value!r} again"))
                continue
            entries[key.value] = _node(value, at, problems)
        return Node(line, entries)
    return Node(line, _scalar(yaml, line))


def _scalar(yaml: ScalarNode, line: int) -> str | int | float | bool | None:
    text: str = yaml.value
    kind = str(yaml.tag).removeprefix(_TAG)
    try:
        if kind == "int":
            return int(text.replace("_", ""), 0)
        if kind == "float":
            return float(text.replace("_", "").replace(".inf", "inf").replace(".nan", "nan").lower())
    except ValueError:
        raise RuleError(line, f"a number is written like 3 or 0.25 or 1e-3, got {text}") from None
    return {"null": None, "bool": text.lower() == "true"}.get(kind, text)

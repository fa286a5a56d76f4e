"""The source of functions and of all that they use, cut out of their modules.

An exported loss is made of the very text that was searched, so that the two cannot drift apart: each
function without its decorator, the module-level functions and constants that it names, and theirs in turn.
"""

from __future__ import annotations

import ast
import builtins
import importlib
import inspect
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import resolve_name

from losssearch.errors import SpecError

_OURS = __name__.partition(".")[0]


@dataclass(frozen=True)
class Import:
    """One name that an import statement binds."""

    module: str
    name: str | None
    bound: str

    @property
    def statement(self) -> str:
        """The statement that binds this name alone."""
        if self.name is None:
            return f"import {self.module}" + ("" if self.bound == self.module else f" as {self.bound}")
        return f"from {self.module} import {self.name}" + ("" if self.bound == self.name else f" as {self.bound}")


@dataclass(frozen=True)
class Sources:
    """Definitions in an order in which each comes after what it uses, and the imports that they need."""

    definitions: tuple[str, ...]
    imports: frozenset[Import]


@dataclass(frozen=True)
class _Module:
    name: str
    lines: tuple[str, ...]
    definitions: dict[str, tuple[ast.stmt, int]]
    """Name to its statement and to the last line of its docstring."""
    imports: dict[str, Import]


def collect(roots: Iterable[tuple[str, str]]) -> Sources:
    """Cut out ``roots``, pairs of module and name, and recursively the module-level names that they use.

    Equal definitions are given once. Of two different ones with the same name the later is renamed after its
    module; ``roots`` keep theirs. Raises `SpecError` if a definition needs a package other than torch
    and the standard library.
    """
    kept = tuple(roots)
    collector = _Collector(kept)
    for path, name in kept:
        collector.visit(_read(path), name)
    return Sources(tuple(dict.fromkeys(collector.texts.values())), frozenset(collector.imports))


class _Collector:
    def __init__(self, roots: tuple[tuple[str, str], ...]) -> None:
        self.roots = frozenset(roots)
        self.taken = {name for _, name in roots}
        self.given: dict[tuple[str, str], str] = {}
        self.texts: dict[str, str] = {}
        """Given name to text, each after what it uses."""
        self.imports: set[Import] = set()

    def visit(self, module: _Module, name: str) -> str:
        """Take a definition in, after all that it uses; return the name it is given."""
        place = (module.name, name)
        if place in self.given:
            return self.given[place]
        self.given[place] = name
        statement, _ = module.definitions[name]
        renamed = {used: self._resolve(module, statement, used) for used in _free_names(statement)}
        text = _cut(module, name, renamed)
        if place not in self.roots and (name in self.taken or self.texts.get(name, text) != text):
            self.given[place] = f"{name}_{module.name.rpartition('.')[2]}"
            text = _cut(module, name, {**renamed, name: self.given[place]})
        self.texts[self.given[place]] = text
        return self.given[place]

    def _resolve(self, module: _Module, statement: ast.stmt, used: str) -> str:
        if used in module.definitions:
            return self.visit(module, used)
        if used in module.imports:
            return self._follow(module.imports[used])
        if hasattr(builtins, used) or used in _local_names(statement):
            return used
        raise SpecError(f"an exported loss needs {used!r} of {module.name}, which does not define it")

    def _follow(self, bound: Import) -> str:
        top = bound.module.partition(".")[0]
        if top == _OURS:
            if bound.name is None or bound.bound != bound.name:
                raise SpecError(f"an exported loss can follow `from module import name` only, got: {bound.statement}")
            return self.visit(_read(bound.module), bound.name)
        if top != "torch" and top not in sys.stdlib_module_names:
            raise SpecError(f"an exported loss may import torch and the standard library only, got: {bound.statement}")
        self.imports.add(bound)
        return bound.bound


@lru_cache(maxsize=256)
def _read(name: str) -> _Module:
    module = importlib.import_module(name)
    source = inspect.getsource(module)
    definitions: dict[str, tuple[ast.stmt, int]] = {}
    imports: dict[str, Import] = {}
    body = ast.parse(source).body
    for place, statement in enumerate(body):
        end = statement.end_lineno or statement.lineno
        if isinstance(statement, ast.Import):
            for alias in statement.names:
                bound = alias.asname or alias.name
                imports[bound.partition(".")[0]] = Import(alias.name, None, bound)
        elif isinstance(statement, ast.ImportFrom):
            path = resolve_name("." * statement.level + (statement.module or ""), module.__package__ or name)
            for alias in statement.names:
                imports[alias.asname or alias.name] = Import(path, alias.name, alias.asname or alias.name)
        elif isinstance(statement, ast.FunctionDef | ast.ClassDef):
            definitions[statement.name] = (statement, end)
        elif isinstance(statement, ast.Assign | ast.AnnAssign):
            after = body[place + 1] if place + 1 < len(body) else None
            if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
                end = after.end_lineno or end
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            for target in targets:
                names = [node.id for node in ast.walk(target) if isinstance(node, ast.Name)]
                definitions.update(dict.fromkeys(names, (statement, end)))
    return _Module(name, tuple(source.splitlines()), definitions, imports)


@lru_cache(maxsize=4096)
def _free_names(statement: ast.stmt) -> tuple[str, ...]:
    """Names read, in order of appearance, without the decorators. A shadowed name only adds a definition."""
    decorators = getattr(statement, "decorator_list", [])
    hidden = {id(node) for decorator in decorators for node in ast.walk(decorator)}
    names = [
        node.id
        for node in ast.walk(statement)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and id(node) not in hidden
    ]
    own = {argument.arg for argument in ast.walk(statement) if isinstance(argument, ast.arg)}
    return tuple(dict.fromkeys(name for name in names if name not in own))


@lru_cache(maxsize=4096)
def _local_names(statement: ast.stmt) -> frozenset[str]:
    stored = {node.id for node in ast.walk(statement) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    return frozenset(stored) | {node.name for node in ast.walk(statement) if isinstance(node, ast.FunctionDef)}


def _cut(module: _Module, name: str, renamed: dict[str, str]) -> str:
    """The text of a definition with its leading comments, names exchanged by their places in the source."""
    statement, end = module.definitions[name]
    start = statement.lineno - 1
    if not getattr(statement, "decorator_list", []):
        while start > 0 and module.lines[start - 1].startswith("#"):
            start -= 1
    lines = list(module.lines[start:end])
    if all(old == new for old, new in renamed.items()):
        return "\n".join(lines)
    places = [
        (node.lineno - 1 - start, node.col_offset, node.id)
        for node in ast.walk(statement)
        if isinstance(node, ast.Name) and renamed.get(node.id, node.id) != node.id and node.lineno - 1 >= start
    ]
    for line, column, old in sorted(places, reverse=True):
        text = lines[line].encode()
        lines[line] = (text[:column] + renamed[old].encode() + text[column + len(old.encode()) :]).decode()
    if isinstance(statement, ast.FunctionDef | ast.ClassDef) and name in renamed:
        at = statement.lineno - 1 - start
        lines[at] = lines[at].replace(f" {name}", f" {renamed[name]}", 1)
    return "\n".join(lines)

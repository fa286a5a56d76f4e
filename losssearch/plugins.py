"""Modules outside this package that add terms, weightings, metrics or kinds of task to it.

Such a module is loaded where it is named (``--import``, ``imports=``) or, once it is installed, where it declares
an entry point of the group ``losssearch.plugins``. What it declares enters the registries as it is imported.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType

from losssearch.errors import OptionError, shown, stops
from losssearch.option_names import option

GROUP = "losssearch.plugins"


@dataclass(frozen=True)
class Plugin:
    """A module in a form that another process can load.

    ``file`` and ``text`` are those of a module that is one file; a process that does not find the file, on another
    machine, runs the text.
    """

    name: str
    file: str = ""
    text: str = ""

    def load(self) -> None:
        """Import the module, where this process has not; raise `OptionError` where that fails."""
        if self.name in sys.modules:
            return
        with _blamed(self.file or self.name):
            if not self.file:
                importlib.import_module(self.name)
            elif os.path.isfile(self.file):
                _from_file(self.name, Path(self.file))
            else:
                module = ModuleType(self.name)
                module.__file__ = self.file
                with _entered(self.name, module):
                    exec(compile(self.text, self.file, "exec"), module.__dict__)  # noqa: S102  (what the user named)


def load_imports(names: str | Path | Iterable[str | Path]) -> tuple[Plugin, ...]:
    """Import the modules that a user named; each by its name, or by the path of a ``.py`` file.

    Args:
        names: such as ``my_terms``, ``package.module`` or ``folder/my_terms.py``. A name is also looked for in the
            working directory.

    Returns:
        The modules, for other processes to load.

    Raises:
        OptionError: a module does not exist, or raised while it was imported.
    """
    given = [names] if isinstance(names, str | Path) else names
    return tuple(_load(str(name)) for name in given)


def module_name(name: str) -> str:
    """The module that `load_imports` makes of a name or path."""
    return Path(name).stem if _is_path(name) else name


def load_installed(note: Callable[[str], object]) -> None:
    """Import the modules of the entry-point group ``losssearch.plugins``; ``note`` is told of one that fails.

    A plugin that cannot be imported does not keep the others, or a study that does not need it, from running.
    """
    for point in _installed():
        problem = _problem(point)
        if problem:
            note(problem)


def installed_plugins() -> tuple[str, ...]:
    """Names of the installed plugins."""
    return tuple(sorted(point.name for point in _installed()))


@cache
def _installed() -> tuple[EntryPoint, ...]:
    return tuple(sorted(entry_points(group=GROUP), key=lambda point: (point.name, point.value)))


@cache
def _problem(point: EntryPoint) -> str:
    """Load an installed plugin; what went wrong in one line, or nothing."""
    try:
        with _blamed(f"{point.name} ({point.value})", "the installed plugin"):
            point.load()
    except OptionError as error:
        return f"{error}; it is left out"
    return ""


def _load(name: str) -> Plugin:
    if not name.strip():
        raise OptionError(f"{option('imports')} must name a module or a .py file, got {shown(name)}")
    named = all(part.isidentifier() for part in name.split(".")) and not os.path.isfile(name)
    if not named and not _is_path(name):
        raise OptionError(f"{option('imports')} must name a module or a .py file, got {shown(name)}")
    if _is_path(name):
        return _load_file(Path(name).expanduser().absolute())
    if "" not in sys.path and os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())  # as with `python -m`; for good, as the module may import more when it runs
    with _blamed(name):
        module = importlib.import_module(name)
    return _plugin(module)


def _is_path(name: str) -> bool:
    return name.endswith(".py") or os.sep in name


def _load_file(file: Path) -> Plugin:
    name = file.stem
    if not name.isidentifier() or file.suffix != ".py":
        raise OptionError(
            f"{option('imports')} must name a module or a .py file whose name is a Python name, got {file}"
        )
    if not file.is_file():
        raise OptionError(f"{option('imports')} must name a module or a .py file, but {file} is missing")
    known = sys.modules.get(name)
    if known is None:
        with _blamed(str(file)):
            known = _from_file(name, file)
    elif not _is_at(known, file):
        raise OptionError(
            f"{option('imports')} must name a file whose module name is free, but {name} is {_place(known)}: "
            f"rename {file}"
        )
    return _plugin(known)


def _from_file(name: str, file: Path) -> ModuleType:
    """Import a file as the module ``name``; modules in the same folder can be imported from then on."""
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} is no Python source")
    module = importlib.util.module_from_spec(spec)
    folder = str(file.parent)
    if folder not in sys.path:
        sys.path.append(folder)
    with _entered(name, module):
        spec.loader.exec_module(module)
    return module


@contextmanager
def _entered(name: str, module: ModuleType) -> Iterator[None]:
    sys.modules[name] = module
    try:
        yield
    except BaseException:
        del sys.modules[name]
        raise


@contextmanager
def _blamed(what: str, source: str = "") -> Iterator[None]:
    """Importing runs the user's code, which may raise anything: told in one line."""
    try:
        yield
    except BaseException as error:
        if stops(error) or isinstance(error, OptionError):
            raise
        said = " ".join(str(error).split())[:200]
        rule = (
            f"{source} must be importable"
            if source
            else (f"{option('imports')} must name a module that can be imported")
        )
        raise OptionError(f"{rule}, but {what} raised {type(error).__name__}: {said}") from error


def _plugin(module: ModuleType) -> Plugin:
    file = getattr(module, "__file__", None) or ""
    if "." in module.__name__ or not file.endswith(".py") or file.endswith("__init__.py"):
        return Plugin(module.__name__)
    return Plugin(module.__name__, file, Path(file).read_text(encoding="utf-8"))


def _is_at(module: ModuleType, file: Path) -> bool:
    found = getattr(module, "__file__", None) or ""
    return os.path.exists(found) and os.path.samefile(found, file)


def _place(module: ModuleType) -> str:
    return str(getattr(module, "__file__", None) or "built in")

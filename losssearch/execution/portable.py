"""A user's function, or what it declared, in a form for processes that cannot import its module."""

from __future__ import annotations

import functools
import inspect
import sys
import sysconfig
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import Tensor

from losssearch.execution.job import Job
from losssearch.losses.arrays import enter_array, own_arrays
from losssearch.losses.balance import balance, balances
from losssearch.losses.record import Record
from losssearch.losses.record import adopt as adopt_record
from losssearch.losses.reduction import reduction, reductions
from losssearch.losses.schedule import LEVEL, Schedule, schedule, schedules
from losssearch.losses.spec import LossSpec
from losssearch.losses.term import LossTerm, adopt_term, loss_term, registry
from losssearch.losses.weighting import weighting, weightings
from losssearch.tasks import TaskKind, affine, get_kind
from losssearch.tasks.kind import adopt

INSTALLED = tuple({Path(path).resolve() for path in sysconfig.get_paths().values()})
"""Where the standard library and installed packages lie."""


@dataclass(frozen=True)
class PortableTerm:
    """What ``@loss_term`` was given for a term; a `LossTerm` itself is pickled as its name."""

    function: Callable[..., Tensor]
    declared: Mapping[str, Any]

    @classmethod
    def of(cls, term: LossTerm) -> PortableTerm:
        """The declaration of ``term``."""
        parameters = inspect.signature(loss_term).parameters.values()
        facts = {p.name: getattr(term, p.name) for p in parameters if p.kind is p.KEYWORD_ONLY}
        return cls(term.function, {**facts, **term.domains, **term.states})

    def enter(self) -> None:
        """Declare the term in this process, where it has none of the name."""
        adopt_term(self.function, self.declared)


@dataclass(frozen=True)
class PortableRecord:
    """What a weighting, schedule, reduction or balance was declared with; in a loss each is pickled as its name."""

    what: str
    function: Callable[..., Tensor]
    declared: Mapping[str, Any]

    @classmethod
    def of(cls, record: Record) -> PortableRecord:
        """The declaration of ``record``."""
        what = next(what for what, (_, known) in _DECLARED.items() if known.get(record.name) is record)
        parameters = inspect.signature(_DECLARED[what][0]).parameters.values()
        facts = {p.name: getattr(record, p.name) for p in parameters if p.kind is p.KEYWORD_ONLY}
        levels = record.levels if isinstance(record, Schedule) else frozenset()
        domains = {name: LEVEL if name in levels else domain for name, domain in record.domains.items()}
        return cls(what, record.function, {**facts, **domains, **record.states})

    def enter(self) -> None:
        """Declare the record in this process, where it has none of the name."""
        declare, known = _DECLARED[self.what]
        if self.function.__name__ not in known:
            adopt_record(declare, self.what, self.function, self.declared)


_DECLARED: Mapping[str, tuple[Callable[..., Any], Mapping[str, Record]]] = {
    "weighting": (weighting, weightings),
    "schedule": (schedule, schedules),
    "reduction": (reduction, reductions),
    "balance": (balance, balances),
}
"""How each is declared, and where its records are."""


def foreign_records(job: Job) -> list[Record]:
    """The weightings, schedules, reductions and balances of the job's candidates that were declared outside."""
    declared = [record for _, known in _DECLARED.values() for record in known.values() if _foreign(record.function)]
    if not declared:
        return []
    used = [record for spec, _, _ in job.candidates for record in LossSpec.from_json(spec).records]
    return [record for record in declared if record in used]


def _foreign(function: Callable[..., Any]) -> bool:
    return function.__module__.partition(".")[0] != "losssearch"


def foreign_terms(job: Job) -> list[LossTerm]:
    """The terms of the job's candidates that were declared outside this package, by name."""
    names = {part["term"] for spec, _, _ in job.candidates for part in spec["parts"]}
    terms = [registry[name] for name in sorted(names)]
    return [term for term in terms if _foreign(term.function)]


@dataclass(frozen=True)
class PortableArray:
    """An array of a user's own that a loss names."""

    array: Tensor

    def enter(self) -> None:
        """Let this process know it."""
        enter_array(self.array)


def foreign_arrays(job: Job) -> dict[str, PortableArray]:
    """The arrays that the job's candidates name and that did not come with losssearch, by name."""
    known = own_arrays()
    named = {part.get("array") for spec, _, _ in job.candidates for part in spec["parts"]} if known else set()
    return {name: PortableArray(array) for name, array in known.items() if name in named}


@dataclass(frozen=True)
class PortableKind:
    """A kind of task of a user's own."""

    kind: TaskKind

    def enter(self) -> None:
        """Declare the kind in this process, where it has none of the name."""
        adopt(self.kind)

    @property
    def function(self) -> Callable[..., Any]:
        """One of the user's functions that it holds, if it has any; they are in one module as a rule."""
        makes = (provider.make for provider in self.kind.task.providers.values())
        found = (one for one in (self.kind.own_unit, self.kind.view.decide, *makes) if one is not None)
        return next((one for one in found if home(one) is not None), affine)


def foreign_kind(job: Job) -> TaskKind | None:
    """The kind of task of a job, where it was declared outside this package."""
    kind = get_kind(job.task)
    return None if kind.module.partition(".")[0] == "losssearch" else kind


def home(function: Any) -> Path | None:
    """The folder from which the module of ``function`` was imported; ``None`` for an installed or unknown one."""
    while isinstance(function, functools.partial):
        function = function.func
    owner = function if inspect.isroutine(function) or inspect.isclass(function) else type(function)
    module = sys.modules.get(getattr(owner, "__module__", None) or "")
    file = _local_file(module) if module else None
    if module is None or file is None:
        return None
    depth = 0 if module.__name__ == "__main__" else module.__name__.count(".") + (file.name == "__init__.py")
    return file.parents[depth] if depth < len(file.parents) else None


@contextmanager
def by_value(function: Any) -> Iterator[Path | None]:
    """While it is open, Ray pickles modules from the folder of ``function`` with their code; gives that folder.

    What is defined in ``__main__`` is pickled with its code in any case; the modules in the same folder are not.
    """
    cloudpickle: Any = import_module("ray.cloudpickle")

    folder = home(function)
    modules = [] if folder is None else [module for module in list(sys.modules.values()) if _beside(module, folder)]
    registered = cloudpickle.list_registry_pickle_by_value()
    fresh = [module for module in modules if module.__name__ not in registered]
    for module in fresh:
        cloudpickle.register_pickle_by_value(module)
    try:
        yield folder
    finally:
        for module in fresh:
            cloudpickle.unregister_pickle_by_value(module)


def _local_file(module: ModuleType) -> Path | None:
    """The file of a module that is neither installed nor ours."""
    name, file = module.__name__, getattr(module, "__file__", None)
    if not isinstance(file, str) or name.partition(".")[0] == "losssearch":
        return None
    path = Path(file).resolve()
    return None if any(path.is_relative_to(folder) for folder in INSTALLED) else path


def _beside(module: ModuleType, folder: Path) -> bool:
    if not isinstance(module, ModuleType) or module.__name__ == "__main__":
        return False
    if sys.modules.get(module.__name__) is not module:  # an alias; only real names can be registered
        return False
    file = _local_file(module)
    return file is not None and file.is_relative_to(folder)

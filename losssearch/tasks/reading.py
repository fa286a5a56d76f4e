"""Terms from outside the package, whose tensors a kind of task must offer once their modules are imported."""

from __future__ import annotations

from collections.abc import Iterable

from losssearch.errors import SpecError
from losssearch.losses.term import registry
from losssearch.tasks.kind import TASKS


def check_reads(modules: Iterable[str]) -> None:
    """Raise `SpecError` for a term of one of these modules that reads what no kind of task offers."""
    within = tuple(modules)
    offers = [task.with_groups().offers for task in TASKS.values()]
    for term in registry.values():
        module = term.function.__module__
        if not any(module == name or module.startswith(f"{name}.") for name in within):
            continue
        if not any(map(term.fits, offers)):
            missing = sorted(set(term.reads) - frozenset().union(*offers))
            what = f"{', '.join(missing)}, which no" if missing else f"{', '.join(term.reads)}, all of which no"
            known = ", ".join(sorted(frozenset().union(*offers)))
            raise SpecError(f"the term {term.name} reads {what} kind of task offers; there are: {known}")

"""Declaring your own kind of task by one call."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

from torch import Tensor

from losssearch.arguments import named_arguments
from losssearch.data.batch import Batch, field_of
from losssearch.data.target_kind import Numbers, TargetKind, Unit, Units
from losssearch.errors import DataError, SpecError
from losssearch.losses.offer import Provider
from losssearch.losses.term_rules import SAMPLE_WEIGHT
from losssearch.tasks.export_text import of_heads
from losssearch.tasks.heads import Head, ranges
from losssearch.tasks.kind import OwnUnit, TaskKind, affine, enter
from losssearch.tasks.task import GROUPED, SHARED, Baseline, Task
from losssearch.tasks.view import View, unchanged

RESERVED = SHARED | GROUPED | {"scores", "target", SAMPLE_WEIGHT}
"""What no head may be called."""


@named_arguments("ls.task_kind")
def task_kind(
    name: str,
    *,
    heads: Mapping[str, int],
    metric: str,
    menu: Sequence[str | Baseline],
    target: TargetKind = Numbers(),  # noqa: B008  (a frozen value)
    tensors: Mapping[str, Provider] | None = None,
    own_unit: OwnUnit | None = None,
    view: View | None = None,
    space: str | None = None,
    model: str = "mlp",
    unit: Unit = "given",
    bootstrap_unit: Unit | None = None,
) -> TaskKind:
    """Declare a kind of task, which ``--task NAME`` then asks for.

    A loss may read each head by its name, ``[batch]`` where its width is 1 and otherwise ``[batch, width]``; all of the
    outputs as ``scores`` ``[batch, columns]``; the standardised ``target``, ``[batch]`` or ``[batch, columns]``;
    ``progress``; and ``tensors``.

    Args:
        name: An identifier that no other kind has.
        heads: How many output columns each head has, in the order of the columns. A model puts out one tensor with the
            columns of all heads, or the heads in a mapping or a tuple.
        metric: The default metric, such as one that `losssearch.metric` declares for this task.
        menu: Terms, or baselines with settings, that a good practitioner would try; the first is the plain loss.
        target: What the target is: ``Numbers(columns=2)`` or ``Classes()``.
        tensors: Further tensors that a loss may read, by name. A field or fact that one needs and that losssearch does
            not know is declared first, with `losssearch.declare_field`.
        own_unit: ``own_unit(outputs, mean, scale)`` turns outputs ``[..., N, columns]`` of a model that was trained on
            standardised targets into the target's own unit, in which metrics are told both; ``mean`` and ``scale``
            broadcast to outputs with the target's columns. Not needed if there are as many outputs as target
            columns, which are then scaled like the target.
        view: How metrics read outputs; by default as they are.
        space: A search space as the text of a YAML file, or the name or path of one. By default, one part of the terms
            of the menu, each over all of its ranges.
        model: The default model.
        unit: What stays whole when rows are split: ``"row"``; ``"group"``, the groups that the user must then give
            (``--group``); or ``"given"``, groups where the user gives them and otherwise rows.
        bootstrap_unit: What intervals take as independent, and resample; by default as ``unit``.

    Returns:
        The record of the kind.

    Raises:
        SpecError: The name is taken, there is no head, a unit is unknown, a term of the menu reads what is not offered,
            or a tensor needs a field that is not declared.

    Example:
        Two target columns, with a mean for each and one common spread:

        >>> import losssearch as ls
        >>> @ls.loss_term(reference="an example")
        ... def pair_error(means, spread, target):
        ...     '''Squared error. Shapes: means and target [batch, 2], spread [batch] → [batch].'''
        ...     return (means - target).square().sum(-1) + spread.square()
        >>> pair = ls.task_kind(
        ...     "pair",
        ...     target=ls.Numbers(columns=2),
        ...     heads={"means": 2, "spread": 1},
        ...     menu=["pair_error"],
        ...     metric="rmse",
        ...     own_unit=lambda outputs, mean, scale: outputs[..., :2].double() * scale + mean,
        ... )
        >>> [head.name for head in pair.heads(0)]
        ['means', 'spread']
    """
    units = Units(unit, bootstrap_unit or unit)
    found = tuple(Head(head, width) for head, width in heads.items())
    if not found:
        raise SpecError(f"task {name} must have a head")
    if taken := sorted(heads.keys() & RESERVED):
        raise SpecError(f"a head may not be called {', '.join(taken)}: losses read something else by that name")
    provided = _providers(found, target) | dict(tensors or {})
    _check_fields(name, tensors or {})
    baselines = [one if isinstance(one, Baseline) else Baseline(one, one) for one in menu]
    if not baselines:
        raise SpecError(f"the menu of {name} must have a term: the plain loss")
    plain = baselines[0]
    columns = sum(head.width for head in found)
    if own_unit is None and not target.nominal:
        if columns != target.columns:
            raise SpecError(
                f"task {name} must say what its {columns} outputs are in the unit of its {target.columns} target "
                "columns: give own_unit=, a function of outputs, mean and scale"
            )
        own_unit = affine
    task = Task(
        kind=name,
        heads=partial(_fixed, found),
        offers=SHARED | set(provided),
        providers=provided,
        metric=metric,
        space=name if space is None or "\n" in space else space,
        view=view
        or View(
            name,
            decide=unchanged,
            reads={"scores": unchanged},
            columns=columns > 1,
            target_columns=target.columns > 1,
            labels=target.nominal,
        ),
        menu=(replace(plain, decision="fixed"), replace(plain, name=f"{plain.name}_tuned"), *baselines[1:]),
        model=model,
    )
    _check_menu(task)
    text = space if space is not None and "\n" in space else None
    return enter(
        TaskKind(
            name=name,
            target=target,
            task=task,
            own_unit=own_unit,
            export=of_heads(found, target.columns),
            space=text or (None if space else _space(task)),
            units=units,
            module=str(sys._getframe(2).f_globals.get("__name__", "")),  # noqa: SLF001  (as `collections.namedtuple` does; 1 checks the call)
        )
    )


def _fixed(heads: tuple[Head, ...], classes: int) -> tuple[Head, ...]:
    return heads


def _providers(heads: Sequence[Head], target: TargetKind) -> dict[str, Provider]:
    """Each head, all outputs, and the target."""
    found = {}
    for head, columns in ranges(heads):
        shape = "[batch]" if head.width == 1 else f"[batch, {head.width}]"
        found[head.name] = Provider(partial(_head, columns=columns), f"the output {head.name} {shape}")
    width = sum(head.width for head in heads)
    found["scores"] = Provider(_scores, f"all outputs [batch, {width}]")
    if not target.nominal:
        shape = "[batch]" if target.columns == 1 else f"[batch, {target.columns}]"
        made = partial(_target, columns=target.columns)
        found["target"] = Provider(made, f"the standardised target {shape}", fields=("target",))
    return found


def _scores(output: Tensor, batch: Batch, facts: Batch) -> Tensor:
    return output if output.dim() == 2 else output.unsqueeze(-1)


def _head(output: Tensor, batch: Batch, facts: Batch, *, columns: slice) -> Tensor:
    scores = _scores(output, batch, facts)[:, columns]
    return scores.squeeze(-1) if columns.stop - columns.start == 1 else scores


def _target(output: Tensor, batch: Batch, facts: Batch, *, columns: int) -> Tensor:
    target, rows = batch["target"], output.shape[0]
    shape = (rows,) if columns == 1 else (rows, columns)
    if target.numel() != rows * columns:
        raise SpecError(f"targets must be {list(shape)} for outputs {list(output.shape)}, got {list(target.shape)}")
    return target.reshape(shape).to(output.dtype)


def _check_fields(task: str, tensors: Mapping[str, Provider]) -> None:
    for tensor, provider in tensors.items():
        for read, facts in ((provider.fields, False), (provider.facts, True)):
            for name in read:
                try:
                    declared = field_of(name)
                except DataError:
                    known = "a fact" if facts else "a field"
                    raise SpecError(
                        f"task {task}: {tensor} needs {known} named {name}, which is not declared: declare it first, "
                        f"with losssearch.declare_field"
                    ) from None
                if (declared.axis is None) is not facts:
                    found = "a fact" if declared.axis is None else "a field"
                    raise SpecError(f"task {task}: {tensor} needs {name}, which is declared as {found}")


def _check_menu(task: Task) -> None:
    for baseline in task.menu:
        if missing := sorted(baseline.spec().reads - task.offers):
            raise SpecError(
                f"task {task.kind} offers {', '.join(sorted(task.offers))}; {baseline.name} of its menu reads "
                f"{', '.join(missing)}"
            )


def _space(task: Task) -> str:
    """A space of one part: each term of the menu, over all of its ranges."""
    terms = "\n".join(f"      {term}:" for term in dict.fromkeys(baseline.term for baseline in task.menu))
    question = f"# Which loss of the menu, with which settings, is best for task {task.kind}?"
    return f"{question}\ntask: {task.kind}\n\nslots:\n  base:\n    terms:\n{terms}\n"

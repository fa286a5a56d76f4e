"""The user's own metric, terms and other functions of losses, tried on a few rows before anything is written.

A fault of theirs would otherwise end a study after its folder was made, or pass for one of the model. What comes with
losssearch is not tried: its contracts are tests.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor

from losssearch.data import Dataset, draws, make_replicas
from losssearch.data.probing import probe_order
from losssearch.data.replicas import Replicas
from losssearch.data.splits import Draw, Partition, Rows
from losssearch.errors import LossSearchError, OptionError, SpecError, stops
from losssearch.evaluation import Metric
from losssearch.judging.metric import MetricJudge
from losssearch.losses.balance import Balance, balances
from losssearch.losses.domains import Choice, Domain, Tree
from losssearch.losses.population import PopulationLoss
from losssearch.losses.reduction import Reduction, reductions
from losssearch.losses.spec import LossSpec, Part
from losssearch.losses.term import LossTerm, registry
from losssearch.losses.weighting import Weighting, weightings
from losssearch.space import SearchSpace
from losssearch.tasks import Predicting, Task

ROWS = 256
"""Rows that are tried at most."""
SETS = 4
"""Sets of outputs that a metric is tried on, the last near the target."""


def try_own(dataset: Dataset, parts: Partition, task: Task, metric: Metric, space: SearchSpace) -> None:
    """Try what is the user's own.

    Raises:
        OptionError: the metric raised, or gave no finite number for any outputs.
        ModelError: a term raised, or gave a tensor of another shape than it declares.
        SpecError: a term, weighting, reduction or balance raised, or gave no finite number at any of its settings.
    """
    tried = list(_tried(task, space))
    if not (metric.source or tried):
        return
    replicas = _few(dataset, parts)
    widths = sum(task.widths(replicas.classes).values())
    generator = torch.Generator().manual_seed(0)
    if metric.source:
        _try_metric(metric, task, replicas, widths, generator)
    for what, specs in tried:
        _try_losses(what, specs, task, replicas, widths, generator)


def _terms(task: Task, space: SearchSpace) -> list[LossTerm]:
    """Every term that a study may try."""
    specs = (*space.portfolio, *(baseline.spec() for baseline in (*task.menu, *task.further)))
    names = {part.name for spec in specs for part in spec.parts} | {name for slot in space.slots for name in slot.terms}
    return [registry[name] for name in sorted(names)]


def _tried(task: Task, space: SearchSpace) -> Iterator[tuple[str, list[LossSpec]]]:
    """What is the user's own in the losses that a study may try, in words, with losses of it at several settings."""
    for term in _terms(task, space):
        if _own(term.function):
            slots = [slot.terms[term.name] for slot in space.slots if term.name in slot.terms]
            domains = dict(slots[0]) if slots else dict(term.domains)
            yield f"the term {term.name}", [LossSpec((Part(term.name, one),), "fixed") for one in _settings(domains)]
    plain = Part(task.plain.term, task.plain.fixed)
    records = {record for spec in space.portfolio for record in spec.records if _own(record.function)}
    named = {record.name for record in records}
    for slot in space.slots:
        named |= {*slot.weightings, *slot.reductions}
    for name in sorted(named & weightings.keys()):
        if _own(weightings[name].function):
            made = [Weighting(name, **own) for own in _settings(weightings[name].domains)]
            yield f"the weighting {name}", [LossSpec((replace(plain, weighting=one),), "fixed") for one in made]
    for name in sorted(named & reductions.keys()):
        if _own(reductions[name].function) and plain.term.per_sample:
            reduced = [Reduction(name, **own) for own in _settings(reductions[name].domains)]
            yield f"the reduction {name}", [LossSpec((replace(plain, reduction=one),), "fixed") for one in reduced]
    others = (Part(one.term, one.fixed) for one in task.menu if one.term != task.plain.term)
    both = (plain, *islice(others, 1))
    for name in sorted((named | set(space.balances)) & balances.keys()):
        if _own(balances[name].function):
            kinds = [Balance(name, **own) for own in _settings(balances[name].domains)]
            yield f"the balance {name}", [LossSpec(both, "fixed", balance=one) for one in kinds]


def _settings(domains: Mapping[str, Domain]) -> list[dict[str, Any]]:
    """The defaults, and all numbers at either end of their ranges."""
    found = [{name: domain.default for name, domain in domains.items()}]
    for end in ("low", "high"):
        own = {name: d.default if isinstance(d, Choice | Tree) else getattr(d, end) for name, d in domains.items()}
        if own not in found:
            found.append(own)
    return found


def _own(function: Callable[..., Any]) -> bool:
    return function.__module__.partition(".")[0] != "losssearch"


def _few(dataset: Dataset, parts: Partition) -> Replicas:
    """One replica of `ROWS` training and validation rows at most, with every class and group among them."""
    draw = draws(dataset, parts.search, seed=0, count=1, purpose="preflight")[0]
    small = Draw(_chosen(dataset, draw.train), _chosen(dataset, draw.validation), draw.seed)
    if dataset.stored is None:
        return make_replicas(dataset, [small])
    made = make_replicas(dataset, [draw])
    few = {name: value[:, :ROWS] for name, value in made.train.items()}
    return replace(made, train=few, validation={name: value[:, :ROWS] for name, value in made.validation.items()})


def _chosen(dataset: Dataset, rows: Rows) -> Rows:
    strata = [dataset.target[rows]] if dataset.classes else [np.zeros(len(rows), dtype=np.int64)]
    if dataset.group is not None:
        strata.append(dataset.group[rows])
    return rows[probe_order(strata, [min(ROWS, len(rows))])]


def _outputs(count: int, rows: int, width: int, generator: torch.Generator) -> Tensor:
    """Outputs [1, count, rows] or [1, count, rows, width] as an untrained model's may be."""
    drawn = torch.randn((1, count, rows, width), generator=generator)
    return drawn.squeeze(-1) if width == 1 else drawn


def _try_metric(metric: Metric, task: Task, replicas: Replicas, width: int, generator: torch.Generator) -> None:
    batch = replicas.validation
    target, rows = batch["target"], batch["target"].shape[1]
    outputs = _outputs(SETS, rows, width, generator)
    near = _near(target[0], replicas.classes, task)
    if near is not None and near.shape == outputs[0, -1].shape:
        outputs[0, -1] = near + 0.1 * outputs[0, -1]
    judge = MetricJudge(metric, task.kind, replicas)
    if (predicting := Predicting.of(task, replicas.classes)) is not None:
        outputs = predicting(outputs, [predicting.head(task.plain.spec())] * SETS, replicas.facts)
    weight = batch["weight"][:, None] if "weight" in batch and metric.weighs else None
    found = metric(judge.own_unit(outputs), judge.target_unit(target[:, None]), weight)
    if not bool(torch.isfinite(found).any()):
        given = ", ".join(f"{value:g}" for value in found[0].tolist())
        raise OptionError(
            f"metric {metric.name} must return a finite number, got {given} for {SETS} sets of outputs on {rows} rows, "
            "the last near the target"
        )


def _near(target: Tensor, classes: int, task: Task) -> Tensor | None:
    """Outputs that are right, where it is plain what these are."""
    if not task.view.labels:
        return target.float()
    labels = target % classes  # a cell is label + classes · group
    return 8.0 * torch.nn.functional.one_hot(labels, classes) - 4 if task.view.columns else 8.0 * labels - 4


def _try_losses(
    what: str, specs: Iterable[LossSpec], task: Task, replicas: Replicas, width: int, generator: torch.Generator
) -> None:
    rows = replicas.train["target"].shape[1]
    batch = {**replicas.train, "index": torch.arange(rows)[None]}
    outputs = _outputs(1, rows, width, generator)
    told = []
    for spec in specs:
        found = _slope(what, spec, outputs, batch, replicas, task)
        if found is None:
            return
        told.append(found)
    settings = ", at its defaults and at the ends of its ranges" * (len(told) > 1)
    raise SpecError(f"{what} must give finite numbers, got {told[0]} on {rows} rows{settings}")


def _slope(
    what: str, spec: LossSpec, outputs: Tensor, batch: Mapping[str, Tensor], replicas: Replicas, task: Task
) -> str | None:
    """What is not finite of a loss and its gradient; None if all is."""
    leaf = outputs.clone().requires_grad_()
    try:
        loss = PopulationLoss([spec], sizes=replace(replicas.sizes, rows=len(batch["index"][0])), offer=task.offer)
        value = loss(leaf, batch, replicas.facts, loss.initial[None], 0.5)
        loss.next_states(outputs, batch, replicas.facts, loss.initial[None], 0.5, loss.start([0]))
    except BaseException as error:
        if stops(error) or isinstance(error, LossSearchError | MemoryError):
            raise
        said = " ".join(str(error).split())[:200]
        raise SpecError(f"{what} raised {type(error).__name__}: {said}") from error
    if not bool(torch.isfinite(value).all()):
        return f"the value {float(value.detach()):g}"
    if not value.requires_grad:
        raise SpecError(f"{what} must depend on what the model puts out: its value has no gradient")
    (gradient,) = torch.autograd.grad(value.sum(), leaf, materialize_grads=True)
    if bool(torch.isfinite(gradient).any()):
        return None
    return f"the gradient {float(gradient.flatten()[0]):g}"

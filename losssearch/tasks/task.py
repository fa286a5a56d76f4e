"""A task says which tensors a loss may read, and the defaults of a study of its kind."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from losssearch.arguments import named_fields
from losssearch.losses.domains import Domain, Float
from losssearch.losses.inputs import STANDARD
from losssearch.losses.offer import Offer, Provider
from losssearch.losses.spec import DecisionKind, LossSpec, Part
from losssearch.losses.term import registry
from losssearch.losses.weighting import Weighting
from losssearch.tasks.heads import Head, Heads, narrowest
from losssearch.tasks.view import View

SHARED = frozenset({"progress"})
NEUTRAL = frozenset({"scores", "predicted", "plain_loss", "goal"})
"""What the built-in kinds all offer, whatever the target is."""
GROUPED = frozenset({"group", "distance"})
"""What a study with a sensitive attribute offers in addition to the rest."""


WEIGHT = Float(0.1, 5.0, default=0.7, log=True)
"""The weight of a penalty relative to a term whose gradient has unit size at the start."""


@named_fields
@dataclass(frozen=True)
class Baseline:
    """An entry of the menu: a loss that a good practitioner would try, tuned over ``tunable``.

    ``penalties`` are added to the term; their common ``weight`` may be tuned too. ``aims``: hyperparameters that are
    set to a number of the study's metric, and the number's name.
    """

    name: str
    term: str
    decision: DecisionKind = "tuned"
    fixed: Mapping[str, float | int | str] = field(default_factory=dict)
    tunable: tuple[str, ...] = ()
    penalties: tuple[Part, ...] = ()
    weight: Float = WEIGHT
    aims: Mapping[str, str] = field(default_factory=dict)

    def aimed(self, numbers: Mapping[str, float]) -> Baseline:
        """The baseline at the metric's ``numbers``, each clipped to the term's range; unchanged without them."""
        found: dict[str, float] = {}
        for name, number in self.aims.items():
            domain = registry[self.term].domains[name]
            if number in numbers and isinstance(domain, Float):
                found[name] = domain.nearest(numbers[number])
        return replace(self, fixed={**self.fixed, **found}) if found else self

    def spec(self, hyperparameters: Mapping[str, float | int | str] | None = None) -> LossSpec:
        """The baseline as a spec, with ``hyperparameters`` in place of its defaults."""
        values = {**self.fixed, **(hyperparameters or {})}
        weight = float(values.pop("weight", self.weight.default))
        added = tuple(replace(part, weighting=Weighting(weight=weight)) for part in self.penalties)
        return LossSpec((Part(self.term, values), *added), self.decision)

    def domain(self, name: str) -> Domain:
        """The range of one of ``tunable``."""
        return self.weight if name == "weight" else registry[self.term].domains[name]


@dataclass(frozen=True)
class Task:
    """One kind of task. ``plain`` is the first entry of ``menu``: the loss that everybody starts with.

    ``further`` entries join the menu of a study whose metric has the numbers that they are aimed at. ``view``: how
    whoever judges a model reads its outputs. ``offers``: the names of what a loss may read.
    """

    kind: str
    heads: Heads
    offers: frozenset[str]
    metric: str
    space: str
    menu: tuple[Baseline, ...]
    view: View
    further: tuple[Baseline, ...] = ()
    model: str = "mlp"
    providers: Mapping[str, Provider] = field(default_factory=dict)
    """How tensors with names of its own are made, that terms of this kind of task read."""
    least_batch: int = 0
    """Rows of a batch at the least, where a term compares rows with each other."""
    shared: bool = False
    """Whether its heads are alternatives that share the columns from the first on, and no neighbours."""
    by_size: bool = False
    """Whether heads are made from the size of a row of the data, and not from the number of classes: the documents of
    the longest query, or the columns of the target."""
    size: int = 0
    """That size, once the data are known."""
    used: frozenset[str] | None = None
    """Of heads that share columns, the names of those that a study uses; None: all."""

    @property
    def offer(self) -> Offer:
        """How what terms read is made of outputs, batch and facts: the standard tensors and those of its own."""
        return STANDARD | self.providers

    @property
    def plain(self) -> Baseline:
        """The default loss of the field, with nothing tuned after training."""
        return self.menu[0]

    @property
    def numbers(self) -> frozenset[str]:
        """The numbers of metrics that losses of this task can be aimed at, by name."""
        return frozenset(number for baseline in (*self.menu, *self.further) for number in baseline.aims.values())

    def with_groups(self) -> Task:
        """The task of a study with a sensitive attribute: fairness terms fit as well."""
        return replace(self, offers=self.offers | GROUPED)

    def aimed(self, numbers: Mapping[str, float]) -> Task:
        """The task of a study whose metric has these ``numbers``: some of the menu is set to them, some joins it."""
        joining = (baseline for baseline in self.further if set(baseline.aims.values()) <= set(numbers))
        plain, tuned, *others = (baseline.aimed(numbers) for baseline in self.menu)
        menu = (plain, tuned, *(baseline.aimed(numbers) for baseline in joining), *others)
        return replace(self, menu=menu, further=())

    def head(self, reads: frozenset[str], classes: int) -> Head:
        """Of heads that share columns, the narrowest that gives all that a loss reads; raises `SpecError` for none."""
        return narrowest(self._own_heads(classes), reads)

    def using(self, losses: Iterable[frozenset[str]], classes: int) -> Task:
        """The task of a study whose losses read these tensors: a model is as wide as the widest head of theirs."""
        if not self.shared:
            return self
        return replace(self, used=frozenset(self.head(reads, classes).name for reads in losses))

    def of_size(self, size: int) -> Task:
        """The task of a study on data whose rows have this size."""
        return replace(self, size=size) if self.by_size else self

    def _own_heads(self, classes: int) -> tuple[Head, ...]:
        return self.heads(self.size if self.by_size else classes)

    def widths(self, classes: int) -> dict[str, int]:
        """How many columns each head of a model's output has, by its name and in order.

        Where heads share columns there is one entry: the columns of the widest head that is used.
        """
        heads = self._own_heads(classes)
        if self.shared:
            return {"outputs": max(head.width for head in heads if self.used is None or head.name in self.used)}
        return {head.name: head.width for head in heads}

    def width(self, classes: int) -> int:
        """How many numbers a model puts out for one sample: the columns of all heads."""
        return sum(self.widths(classes).values())

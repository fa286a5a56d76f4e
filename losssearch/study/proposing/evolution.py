"""How trees are bred: a generation from the best losses of the history, as a pure function of these and a generator.

Of a generation, a tenth is random, a fifth are the best eight with their constants moved (what tunes constants without
a gradient), and all others have parents that won a tournament of four: seven in ten are a crossover, the rest a
mutation of a subtree or of constants, a hoist or a shrink. The history keeps the best for ever, so no generation can
lose them. Only formulas that are sound as a loss (`losssearch.study.proposing.soundness`) are proposed, as far as
enough are found.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from losssearch.losses.spec import LossSpec
from losssearch.losses.trees.variation import crossed, mutated, tuned
from losssearch.space import RandomTrial, SearchSpace
from losssearch.study.proposing.soundness import spec_faults
from losssearch.tasks import get_task

POOL = 64
"""The best losses, of different values, from which parents are drawn."""
TOURNAMENT = 4
"""Losses drawn from the pool, of which the best is a parent."""
CROSSOVER = 0.7
"""Share of crossovers among the offspring of tournaments; all others are mutations."""
TUNED = 8
"""The best losses whose constants are tuned."""
LITTER = 4
"""Candidates drawn for each place that is left in a generation, as most are unsound."""
LITTERS = 12
"""Times that candidates are drawn before unsound ones are proposed, too."""

Params = Mapping[str, Any]


def bred(
    space: SearchSpace, ranked: Sequence[Params], count: int, random: np.random.Generator, seen: Collection[str]
) -> list[LossSpec]:
    """A generation of ``count`` losses whose keys are not ``seen``, as far as there are enough.

    ``ranked``: the parameters of the best losses, best first; those of the portfolio as long as there are none.
    """
    parents = list(ranked[:POOL]) or [params for spec in space.portfolio if (params := space.encode(spec)) is not None]
    known, good, poor = set(seen), list[LossSpec](), list[LossSpec]()
    place = 0
    for _ in range(LITTERS):
        if len(good) == count:
            break
        litter: list[LossSpec] = []
        for _ in range(LITTER * (count - len(good))):
            spec = space.sample(_offspring(parents, bool(ranked), place, random))
            place += 1
            if spec.key not in known:
                known.add(spec.key)
                litter.append(spec)
        faults = spec_faults(litter, columns_of(space))
        good += [spec for spec, fault in zip(litter, faults, strict=True) if not fault][: count - len(good)]
        poor += [spec for spec, fault in zip(litter, faults, strict=True) if fault]
    return [*good, *poor[: count - len(good)]]


def columns_of(space: SearchSpace) -> int:
    """What trees see of a model: 1 a number, 2 a logit, 3 the probability of the label; see `faults_of`."""
    task = get_task(space.task)
    return task.offer.providers["scores"].columns or (2 if "logit" in task.offers else 3)


def _offspring(parents: Sequence[Params], measured: bool, place: int, random: np.random.Generator) -> Offspring:
    kind = place % 10
    if kind == 0 or not parents:
        return Offspring({}, random)
    if kind <= 2 and measured:
        return Offspring(parents[place // 10 % min(TUNED, len(parents))], random, tuning=True)
    mother, father = (parents[_winner(len(parents), random)] for _ in range(2))
    return Offspring(mother, random, father if random.uniform() < CROSSOVER else None)


def _winner(count: int, random: np.random.Generator) -> int:
    return int(random.integers(count, size=TOURNAMENT).min())


class Offspring(RandomTrial):
    """A trial with its mother's answers, but for trees: crossed with the father's, tuned, or mutated."""

    def __init__(
        self, mother: Params, random: np.random.Generator, father: Params | None = None, *, tuning: bool = False
    ) -> None:
        super().__init__(random)
        self.mother, self.father, self.tuning = mother, father, tuning

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        """The mother's number, within the range."""
        if name not in self.mother:
            return super().suggest_float(name, low, high, log=log)
        return min(max(float(self.mother[name]), low), high)

    def suggest_int(self, name: str, low: int, high: int) -> int:
        """The mother's whole number."""
        return int(self.mother[name]) if name in self.mother else super().suggest_int(name, low, high)

    def suggest_categorical(self, name: str, choices: Sequence[str]) -> str:
        """The mother's choice."""
        return str(self.mother[name]) if name in self.mother else super().suggest_categorical(name, choices)

    def suggest_tree(self, name: str, nodes: int) -> str:
        """A new tree."""
        if name not in self.mother:
            return super().suggest_tree(name, nodes)
        tree = str(self.mother[name])
        if self.tuning:
            return tuned(tree, self.random, nodes)
        if self.father is not None and name in self.father:
            return crossed(tree, str(self.father[name]), self.random, nodes)
        return mutated(tree, self.random, nodes)

"""Whether formulas can be losses at all: cheap questions about many trees at once, before any other screening.

Each is asked on a fixed grid of outputs and targets, of all trees together, with their derivatives by the output:

1. Is it finite, with a finite slope, for scores up to 10⁴?
2. Does it push every confidently wrong output towards its target?
3. Is it least at the target, within 2 %? A loss that is least at 0.7 of the target shrinks what a model says. Losses
   that aim at a quantile or an expectile pass: of one sample, they are least at its target too.

Of two classes the target is a logit of at least 1 on the right side, of more a probability of the label of 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from losssearch.losses.spec import LossSpec
from losssearch.losses.trees.program import Program
from losssearch.losses.trees.tree import read

NOT_FINITE = "its formula is not finite for all scores up to 1e4"
WRONG_WAY = "its formula does not push a confidently wrong output towards the target"
ELSEWHERE = "its formula is least elsewhere than at the target"

WITHIN = 0.02
"""How far the least value may lie from the target, as a share of the target's size, which is at least 1."""
LARGEST, MOST = 1e30, 1e12
"""Size of a value that float32 can still square up in a sum, and of a usable slope."""


@dataclass(frozen=True)
class _Grid:
    """Points [points] of each question; ``sign``: where a slope must point; ``curves``: [targets, outputs]."""

    finite: tuple[Tensor, Tensor]
    wrong: tuple[Tensor, Tensor]
    sign: Tensor
    curves: tuple[Tensor, Tensor]
    allowed: Tensor


def faults_of(trees: Sequence[str], columns: int) -> list[str]:
    """What is wrong with each tree as a loss, empty for a sound one.

    Args:
        trees: canonical texts.
        columns: what a model puts out for one sample: 1 for a number, otherwise the number of classes.
    """
    grid, faults = _grid(min(columns, 3)), [""] * len(trees)

    def ask(reason: str, question: tuple[Tensor, Tensor], sound: object) -> None:
        left = [place for place, fault in enumerate(faults) if not fault]
        if left:
            program = Program([read(trees[place]) for place in left], [0] * len(left))
            output, target = (axis.flatten()[None].double() for axis in question)
            values, slopes = program.with_slopes(output, target)
            passed: Tensor = sound(values, slopes)  # type: ignore[operator]
            for place, good in zip(left, passed.tolist(), strict=True):
                faults[place] = "" if good else reason

    ask(WRONG_WAY, grid.wrong, lambda values, slopes: (slopes * grid.sign > 0).all(-1) & slopes.isfinite().all(-1))
    ask(NOT_FINITE, grid.finite, lambda values, slopes: ((values.abs() < LARGEST) & (slopes.abs() < MOST)).all(-1))
    ask(ELSEWHERE, grid.curves, lambda values, slopes: _least_at_target(values, grid))
    return faults


def spec_faults(specs: Sequence[LossSpec], columns: int) -> list[str]:
    """The same of losses: what is wrong with the first unsound formula of each."""
    own = [[str(p.hyperparameters["tree"]) for p in spec.parts if p.name == "symbolic"] for spec in specs]
    trees = list(dict.fromkeys(tree for one in own for tree in one))
    found = dict(zip(trees, faults_of(trees, columns), strict=True)) if trees else {}
    return [next((found[tree] for tree in one if found[tree]), "") for one in own]


def _least_at_target(values: Tensor, grid: _Grid) -> Tensor:
    curves = values.unflatten(-1, grid.allowed.shape)
    inside = curves.masked_fill(~grid.allowed, torch.inf).amin(-1)
    good: Tensor = (inside <= curves.amin(-1)).all(-1)
    return good


@cache
def _grid(columns: int) -> _Grid:
    far = torch.tensor([1e4, 1e3, 100.0, 10.0, 1.0, 0.0])
    scores = torch.cat((far, -far))
    if columns == 1:
        targets = torch.tensor([-2.0, -1.0, -0.4, 0.0, 0.4, 1.0, 2.0])
        errors = torch.tensor([0.5, 1.0, 2.0, 4.0])
        errors = torch.cat((errors, -errors))
        near = torch.linspace(0.0, 1.0, 17)[1:] ** 2 * 8
        around = torch.cat((torch.tensor([0.0]), near, -near))
        size = targets.abs().clamp_min(1)[:, None]
        return _Grid(
            finite=_crossed(scores, torch.tensor([-3.0, 0.0, 3.0])),
            wrong=_crossed(errors, targets, added=True),
            sign=_crossed(errors.sign(), targets)[0],
            curves=(targets[:, None] + around * size, targets[:, None].expand(-1, len(around))),
            allowed=(around.abs() <= WITHIN).expand(len(targets), -1),
        )
    if columns == 2:
        labels = torch.tensor([-1.0, 1.0])
        margins = torch.tensor([-8.0, -5.0, -3.0, -1.0, -0.3])
        around = torch.cat((torch.linspace(-12.0, 12.0, 49), torch.tensor([1 - WITHIN])))
        return _Grid(
            finite=_crossed(scores, labels),
            wrong=(torch.cat((-margins, margins)), labels.repeat_interleave(len(margins))),
            sign=-labels.repeat_interleave(len(margins)),
            curves=(labels[:, None] * around, labels[:, None].expand(-1, len(around))),
            allowed=(around >= 1 - WITHIN).expand(2, -1),
        )
    shares = torch.sigmoid(torch.tensor([-12.0, -8.0, -5.0, -3.0, -1.0]))
    every = torch.cat((torch.linspace(0.0, 1.0, 51), torch.sigmoid(torch.linspace(-15.0, 15.0, 31))))
    return _Grid(
        finite=(every, torch.ones_like(every)),
        wrong=(shares, torch.ones_like(shares)),
        sign=-torch.ones_like(shares),
        curves=(every[None], torch.ones(1, len(every))),
        allowed=(every >= 1 - WITHIN)[None],
    )


def _crossed(outputs: Tensor, targets: Tensor, *, added: bool = False) -> tuple[Tensor, Tensor]:
    """Every output with every target; outputs are errors that are ``added`` to the target."""
    every = outputs.repeat(len(targets)), targets.repeat_interleave(len(outputs))
    return (every[0] + every[1] if added else every[0]), every[1]

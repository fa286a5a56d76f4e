"""Train many candidates as one population, with rungs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from losssearch.losses.inputs import STANDARD
from losssearch.losses.kept import by_validation
from losssearch.losses.offer import Offer
from losssearch.models import StackedModel
from losssearch.models.allocation import is_out_of_memory, let_go
from losssearch.training.capacity import give_back
from losssearch.training.levels import Objective
from losssearch.training.outcome import HALVED, Course, Judge, Outcome, ended
from losssearch.training.plan import TrainingPlan, without_rungs
from losssearch.training.population_training import Candidate, Found, PopulationTraining
from losssearch.training.products import quick_products
from losssearch.training.repeatable import repeatable
from losssearch.training.trace import Trace, with_moves

if TYPE_CHECKING:
    from losssearch.data.replicas import Replicas
    from losssearch.tasks import Predicting


def train_population(
    model: StackedModel,
    candidates: Sequence[Candidate],
    replicas: Replicas,
    plan: TrainingPlan,
    judge: Judge,
    *,
    device: torch.device | str = "cpu",
    hold: bool = False,
    deadline: float | None = None,
    share: float = 1.0,
    offer: Offer = STANDARD,
    objective: Objective | None = None,
    refit: bool = False,
    predicting: Predicting | None = None,
) -> list[Outcome]:
    """Train every candidate at each of its learning rates in every replica; one outcome per candidate, in order.

    See `population_course`.
    """
    with quick_products(), repeatable(device):
        return ended(
            population_course(
                model,
                candidates,
                replicas,
                plan,
                judge,
                device=device,
                hold=hold,
                deadline=deadline,
                share=share,
                offer=offer,
                objective=objective,
                refit=refit,
                predicting=predicting,
            )
        )


def population_course(
    model: StackedModel,
    candidates: Sequence[Candidate],
    replicas: Replicas,
    plan: TrainingPlan,
    judge: Judge,
    *,
    device: torch.device | str = "cpu",
    hold: bool = False,
    deadline: float | None = None,
    share: float = 1.0,
    offer: Offer = STANDARD,
    objective: Objective | None = None,
    refit: bool = False,
    predicting: Predicting | None = None,
) -> Course:
    """The training of a population, epoch by epoch; who goes through it sets up `quick_products` and `repeatable`.

    With ``hold``, outcomes carry the adjusted outputs on the replicas' held-out parts. Past ``deadline`` (seconds
    since 1970) training ends after the step in progress, all members alike: what was to be pruned later is pruned,
    the rest is completed, and the reason says so.

    ``share`` is the part of the device, or of this machine's memory, that is this training's. Where memory does not
    hold the state of all, one half of the candidates is trained after the other, with rungs of
    its own; the reason says so. ``offer``: how the kind of task makes what terms read of outputs, batch and facts.

    ``objective``: what the hypergradient descends, where losses have states that it moves; such members train on four
    fifths of their rows. With ``refit`` they are trained twice: once to find these states, and then from the start on
    all rows, with the states as they were found in each replica; the second training counts.

    ``predicting``: reads outputs by the head of each member's loss, where heads share columns.
    """

    def train(some: Sequence[Candidate]) -> Course:
        try:
            # Without a name, so that nothing holds the state of all while the halves are trained.
            place = torch.device(device)
            known: Found | None = None
            moves: dict[int, Trace] = {}
            if refit and (numbers := [c for c, one in enumerate(some) if by_validation(one.spec)]):
                moved, whole = [some[c] for c in numbers], without_rungs(plan)
                first = PopulationTraining(
                    model, moved, replicas, whole, judge, place, deadline, share, offer, objective, None, predicting
                )
                firsts = yield from first.run(hold=False, record=hold)
                moves = {numbers[c]: one.trace for c, one in enumerate(firsts) if one.trace is not None}
                known = {(numbers[c], rate): own for (c, rate), own in first.found().items()}
                del first
            made = (model, some, replicas, plan, judge, place, deadline, share, offer, objective, known, predicting)
            outcomes = yield from PopulationTraining(*made).run(hold, record=hold)
            return [replace(one, trace=with_moves(one.trace, moves.get(c))) for c, one in enumerate(outcomes)]
        except (RuntimeError, MemoryError) as error:
            if len(some) == 1 or not is_out_of_memory(error):
                raise
            let_go(error)
        give_back(torch.device(device))
        middle = -(-len(some) // 2)
        found = [*(yield from train(some[:middle])), *(yield from train(some[middle:]))]
        return [replace(outcome, reason=_also(outcome.reason, HALVED)) for outcome in found]

    return train(candidates)


def _also(reason: str, more: str) -> str:
    return reason if more in reason else f"{reason}; {more}" if reason else more

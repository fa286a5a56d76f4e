"""Ablation: what each part of the recommended loss is worth."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from losssearch.losses.balance import Balance
from losssearch.losses.spec import LossSpec, Part
from losssearch.study.selecting.selection import Contender
from losssearch.study.selecting.verdict import Reading, Referee
from losssearch.training.outcome import CUT


def ablate(referee: Referee, winner: Reading, plain: Reading) -> list[dict[str, Any]]:
    """What each part is worth: confirmation difference of the winner to itself without the part.

    A loss of a single part is set against the plain loss.
    """
    spec = winner.contender.spec
    if len(spec.parts) == 1:
        without = [(spec.parts[0], plain)]
    elif referee.context.keeper and not referee.context.keeper.affords_ablation(len(spec.parts)):
        return []
    else:
        contenders = [_without(winner.contender, part) for part in spec.parts]
        without = list(zip(spec.parts, referee.read(contenders), strict=True))
    rows = []
    for part, reading in without:
        # A training that was cut is no fair comparison for one that was not.
        cut = reading.outcome.reason.startswith(CUT) != winner.outcome.reason.startswith(CUT)
        if reading.outcome.state == "failed" or reading is winner or cut:
            continue
        found = referee.difference(winner, reading, "confirmation")
        rows.append(
            {
                "part": LossSpec((part,)).formula(),
                "against": "plain" if len(spec.parts) == 1 else "without the part",
                "difference": found.difference,
                "interval": list(found.interval),
            }
        )
    return rows


def _without(contender: Contender, part: Part) -> Contender:
    spec = contender.spec
    parts = tuple(p for p in spec.parts if p.identity() != part.identity())
    rest = replace(spec, parts=parts, balance=spec.balance if len(parts) > 1 else Balance())
    return Contender(replace(contender.trial, spec=rest.to_json(), key=rest.key))

"""How long a search takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from losssearch.arguments import named_fields
from losssearch.request import kinds
from losssearch.request.groups.panels import SEARCH
from losssearch.request.option import Range, asked


@named_fields
@dataclass(frozen=True)
class Budget:
    """How long a search takes, and how surely it decides."""

    trials: int | None = asked(
        None,
        "Losses to try; half of them are baselines. Default: 128, or what the time budget holds.",
        kinds.WHOLE,
        range=Range(2, why=", one for the plain loss and one for the search"),
        metavar="N",
        panel=SEARCH,
        resumed="may change",
        local_only=False,
    )
    time_budget: str | float | None = asked(
        None,
        "Stop in time to end within this long, such as 10m.",
        kinds.DURATION,
        more="A number is in seconds.",
        metavar="DURATION",
        panel=SEARCH,
        resumed="may change",
        local_only=False,
    )
    epochs: int | None = asked(
        None,
        "Epochs of each training. Default: from the number of rows.",
        kinds.WHOLE,
        more="20 for a training function.",
        range=Range(1),
        metavar="N",
        panel=SEARCH,
        inferred=True,
        local_only=False,
    )
    rates: Sequence[float] | None = asked(
        None,
        "Learning rates above 0 that every loss is trained at; the best counts. Default: 0.0005, 0.002, 0.008 and "
        "0.03; of trees 0.05, 0.1 and 0.3; of a front 0.002 and 0.006.",
        kinds.RATES,
        more="A training function chooses its own.",
        metavar="RATE[,RATE…]",
        panel=SEARCH,
        local_only=False,
    )
    draws: int | None = asked(
        None,
        "Draws of rows and seed on which the search judges each loss, 1 to 1000. Default: 5 below 1,000 rows, "
        "3 below 20,000, 2 below 100,000, else 1.",
        kinds.WHOLE,
        range=Range(1, 1000),
        metavar="N",
        panel=SEARCH,
        local_only=False,
    )
    confirm_seeds: int = asked(
        5,
        "Fresh seeds and splits that the finalists are trained on for the verdict.",
        kinds.WHOLE,
        range=Range(2, why=" to give an interval"),
        metavar="N",
        panel=SEARCH,
        local_only=False,
    )
    prefer_known: bool = asked(
        False,
        "Recommend a baseline unless the searched loss is better by more than one standard error.",
        kinds.FLAG,
        panel=SEARCH,
        local_only=False,
    )
    average: bool = asked(
        False,
        "Judge every model with the running average of its weights as well, and take the better of the two: losses and "
        "baselines alike.",
        kinds.FLAG,
        more="Of a network; not of trees or of a training function.",
        panel=SEARCH,
        local_only=False,
    )

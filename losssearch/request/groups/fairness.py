"""Groups of people, and what must hold between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from losssearch.arguments import named_fields
from losssearch.request import kinds
from losssearch.request.groups.panels import FAIRNESS
from losssearch.request.option import Range, asked

if TYPE_CHECKING:
    from losssearch.data.groups import Sensitive


@named_fields
@dataclass(frozen=True)
class Fairness:
    """Groups of people, and what must hold between them. See docs/fairness.md."""

    sensitive: Sensitive | None = asked(
        None,
        "Columns, or cuts such as age>=25, whose groups are to be treated alike; or one number.",
        kinds.SENSITIVE,
        more="No features, unless ``sensitive_as_feature``. For a pair: one label per row.",
        metavar="COL[,COL…]",
        panel=FAIRNESS,
        local_only=False,
    )
    sensitive_as_feature: bool = asked(
        False,
        "Let the model see the sensitive columns. Default: it does not.",
        kinds.FLAG,
        panel=FAIRNESS,
        local_only=False,
    )
    constraints: str | Sequence[str] = asked(
        (),
        "What must hold between groups, such as 'demographic_parity_difference <= 0.05'.",
        kinds.LIMITS,
        flag="constraint",
        metavar="'GAP <= X'",
        panel=FAIRNESS,
        local_only=False,
    )
    objectives: Sequence[str] = asked(
        (),
        "A metric and, given again, a gap: draws the whole trade-off of the two.",
        kinds.GOALS,
        flag="objective",
        metavar="NAME",
        panel=FAIRNESS,
        local_only=False,
    )
    confidence: float = asked(
        0.95,
        "Confidence with which a constraint is to hold on new data.",
        kinds.NUMBER,
        range=Range(0.5, 1, open_high=True),
        metavar="SHARE",
        panel=FAIRNESS,
        local_only=False,
    )
    group_thresholds: bool = asked(
        False,
        "Tune a threshold for each group too; predictions then need the attribute.",
        kinds.FLAG,
        panel=FAIRNESS,
        local_only=False,
    )
    references: bool = asked(
        True,
        "Compare with fairlearn's mitigations, which need the extra `fairness`.",
        kinds.FLAG,
        flag="no-references",
        panel=FAIRNESS,
        local_only=False,
    )

"""How the rows are split."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from losssearch.arguments import named_fields
from losssearch.option_names import option
from losssearch.request import kinds
from losssearch.request.groups.panels import DATA
from losssearch.request.option import asked

if TYPE_CHECKING:
    from losssearch.data import Data
    from losssearch.data.given_splits import Named


@named_fields
@dataclass(frozen=True)
class Splits:
    """How the rows are split. See docs/splits.md."""

    test: Data | None = asked(
        None,
        "Rows to test on, with the same columns. Default: a fifth of the data.",
        kinds.MORE_DATA,
        more="Given in the form of ``data``; the other rows are split 75 : 25 into search and confirmation.",
        metavar="FILE",
        panel=DATA,
        resumed="content",
        names_file=True,
        may_hold_rows=True,
        local_only=True,
    )
    group: Named | None = asked(
        None,
        "Keep rows of one value together, such as those of a patient; no feature.",
        kinds.NAMED,
        more="A column; for a pair one value per row, those of ``test`` last, and likewise ``time`` and ``split``.",
        metavar="COL",
        panel=DATA,
        may_hold_rows=True,
        local_only=False,
    )
    time: Named | None = asked(
        None,
        "Train on earlier rows, confirm and test on later ones; numbers or dates.",
        kinds.NAMED,
        more="Later rows validate what earlier ones trained. No feature, unless ``time_as_feature``.",
        metavar="COL",
        panel=DATA,
        may_hold_rows=True,
        local_only=False,
    )
    time_as_feature: bool = asked(
        False,
        f"Let the model see the column of {option('time')}. Default: it does not.",
        kinds.FLAG,
        panel=DATA,
        local_only=False,
    )
    split: Named | None = asked(
        None,
        "Column that says train, validation or test of each row; no feature.",
        kinds.NAMED,
        metavar="COL",
        panel=DATA,
        may_hold_rows=True,
        local_only=False,
    )

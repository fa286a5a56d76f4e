"""Entries that the menus of several kinds of task share."""

from __future__ import annotations

from losssearch.tasks.task import Baseline

WRONG_LABELS = (
    Baseline("symmetric_cross_entropy", "symmetric_cross_entropy", tunable=("beta",)),
    Baseline("active_passive", "active_passive", tunable=("beta",)),
)
"""Losses for wrong labels. Only the ratio of their two weights matters, so one of them is tuned. They end the menu: a
study of few trials still tries what it tried without them."""

REWEIGHTED_GROUPS = (
    Baseline("reweighing", "reweighed_cross_entropy", tunable=("power",)),
    Baseline("group_dro", "group_dro", tunable=("step",)),
)
"""Known losses of fairness for classes: groups weighted anew, and the worst group."""

CELLS = (Baseline("group_logit_adjustment", "group_logit_adjustment", tunable=("tau",)), *REWEIGHTED_GROUPS)
"""Known losses for the worst cell of label and group: logits adjusted by the label's share in the group, and those."""

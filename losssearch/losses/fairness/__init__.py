"""The fairness terms: what they read beside outputs and targets is who belongs to which sensitive group.

=================  ==================================================  ==========================================
family             reads                                               aims at
=================  ==================================================  ==========================================
disparity          outputs, targets, group, memory                     statistics that are alike in all groups
dependence         outputs, group (soft or continuous as well)         outputs that do not tell the attribute
adversarial        outputs, labels, group, memory                      the same, against an adversary that learns
worst_group        outputs, targets, group, memory                     the group that is served worst
reweighing         logits, labels, group, memory                       labels that do not tell the group
group_adjustment   logits, labels, group, memory                       outputs that do not use what the group tells
individual         outputs, group, distance                            alike samples that are treated alike
=================  ==================================================  ==========================================

`disparity` is a product of statistics (`statistics`), violations (`violations`) and mechanisms (`mechanisms`), its
rates carried across mini-batches (`window`).
"""

from losssearch.losses.fairness import (
    adversarial,
    dependence,
    disparity,
    group_adjustment,
    individual,
    reweighing,
    worst_group,
)

__all__ = ["adversarial", "dependence", "disparity", "group_adjustment", "individual", "reweighing", "worst_group"]

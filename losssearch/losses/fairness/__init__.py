"""The fairness terms: in addition to outputs and targets, they read the sensitive group of each sample.

=================  ==================================================  ==========================================
family             reads                                               aims at
=================  ==================================================  ==========================================
disparity          outputs, targets, group, memory                     statistics that are equal in all groups
dependence         outputs, group (soft or continuous as well)         outputs that do not reveal the attribute
adversarial        outputs, targets, group, memory                     the same, against an adversary that learns
worst_group        the plain loss of each sample, group, memory        the group that is served worst
reweighing         logits, labels, group, memory                       labels that do not reveal the group
group_adjustment   logits, labels, group, memory                       outputs that ignore what the group reveals
individual         outputs, group, distance                            equal treatment of similar samples
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

"""The primitive terms: fixed formulas, one family per module. A family is defined by what its terms read and aim at.

=================  ================================================  =========================================
family             reads                                             aims at
=================  ================================================  =========================================
classification     logits or logit, labels                           probabilities of single samples
margin             logits, labels                                    a margin between classes
imbalance          logits, labels, class_prior                       classes of unequal size
overlap            logits or logit, labels; one value per batch      counts such as F1
ranking            logits or logit, labels; one value per batch      the order of samples
regression         prediction, target                                single predictions
amounts            prediction, target, zero                          errors relative to the target's size
symbolic           scores, goal                                      whatever its formula says
=================  ================================================  =========================================
"""

from losssearch.losses.primitives import (
    amounts,
    classification,
    imbalance,
    margin,
    overlap,
    ranking,
    regression,
    symbolic,
)

__all__ = ["amounts", "classification", "imbalance", "margin", "overlap", "ranking", "regression", "symbolic"]

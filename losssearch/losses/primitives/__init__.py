"""The primitive terms: fixed formulas, one family per module. A family is defined by what its terms read and aim at.

=================  ================================================  =========================================
family             reads                                             aims at
=================  ================================================  =========================================
classification     logits or logit, labels                           probabilities of single samples
calibration        logits, labels                                    confidence that means what it says
margin             logits, labels                                    a margin between classes
imbalance          logits, labels, class_prior                       classes of unequal size
overlap            logits or logit, labels; one value per batch      counts such as F1
ranking            logits or logit, labels; one value per batch      the order of samples
regression         prediction, target                                single predictions
redescending       prediction, target                                forgetting outliers
skewed             prediction, target; one value per batch           ranges of the target that are rare
amounts            prediction, target, zero                          errors relative to the target's size
counts             rate or log_rate, exposure, target                counts over an exposure
distributions      mean, scale, quantiles or a mixture, target       the distribution of the target
penalties          logits or scores                                  what is put out, whatever the target is
survival           risk or hazards, time, event                      times that may be censored
ordinal            cut_logits, grade, or logits, labels              classes in an order
queries            document_scores, relevance, present               the order of the documents of a query
given              what a training loop gives by name                parameters, gradients, mixtures
symbolic           scores, goal                                      whatever its formula says
=================  ================================================  =========================================
"""

from losssearch.losses.primitives import (
    amounts,
    calibration,
    classification,
    counts,
    distributions,
    given,
    imbalance,
    margin,
    ordinal,
    overlap,
    penalties,
    queries,
    ranking,
    redescending,
    regression,
    skewed,
    survival,
    symbolic,
)

__all__ = [
    "amounts",
    "calibration",
    "classification",
    "counts",
    "distributions",
    "given",
    "imbalance",
    "margin",
    "ordinal",
    "overlap",
    "penalties",
    "queries",
    "ranking",
    "redescending",
    "regression",
    "skewed",
    "survival",
    "symbolic",
]

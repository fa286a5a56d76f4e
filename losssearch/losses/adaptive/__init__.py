"""Terms that change during training: they learn together with the model, or keep what they have seen.

==============  =================================  ==================================================
family          reads                              learns or keeps
==============  =================================  ==================================================
robust          prediction, target                 the shape and scale of the residuals
survival_times  prediction, target, event          the spread of the logarithm of a time
ordinal_cuts    score, grade                       where one grade ends and the next begins
dispersion      log_rate, exposure, target         how far counts spread beyond Poisson
online          logits, labels                     counts of each class
min_max         logit, labels, class_prior         the variables of a min-max problem
attention       plain_loss                         a weight for each training row
hidden_groups   logits, labels, progress           what a first model has made of each training row
==============  =================================  ==================================================
"""

from losssearch.losses.adaptive import (
    attention,
    dispersion,
    hidden_groups,
    min_max,
    online,
    ordinal_cuts,
    robust,
    survival_times,
)

__all__ = ["attention", "dispersion", "hidden_groups", "min_max", "online", "ordinal_cuts", "robust", "survival_times"]

"""Terms for labels that are partly wrong; some remember what the model has said of each training row.

=========  ================================================  =================================================
family     reads                                             aims at
=========  ================================================  =================================================
targets    logits, labels                                    targets made of the model's own predictions
selection  plain_loss or logits and labels, progress         rows whose loss says that their label is wrong
levels     plain_loss, or logits and labels                  a level of noise, given or learned
bounded    logits, labels                                    a bounded effect of each label
tempered   logits, labels                                    the same, by two temperatures
=========  ================================================  =================================================
"""

from losssearch.losses.noise import bounded, levels, selection, targets, tempered

__all__ = ["bounded", "levels", "selection", "targets", "tempered"]

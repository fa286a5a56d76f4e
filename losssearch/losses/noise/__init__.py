"""Terms for labels that are partly wrong; most remember what the model has said of each training row.

=========  ================================================  =================================================
family     reads                                             aims at
=========  ================================================  =================================================
targets    logits, labels                                    targets made of the model's own predictions
selection  plain_loss or logits and labels, progress         rows whose loss says that their label is wrong
levels     plain_loss, or logits and labels                  a level of noise, given or learned
=========  ================================================  =================================================
"""

from losssearch.losses.noise import levels, selection, targets

__all__ = ["levels", "selection", "targets"]

"""Terms for labels that are partly wrong; most remember what the model has said of each training row.

=========  ============================  ====================================================================
family     reads                         aims at
=========  ============================  ====================================================================
targets    logits, labels                targets that the model's own predictions move away from wrong labels
=========  ============================  ====================================================================
"""

from losssearch.losses.noise import targets

__all__ = ["targets"]

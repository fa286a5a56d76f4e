"""Terms that change during training: they have parameters that are learned together with the model.

======  ==================  ======================================
family  reads               learns
======  ==================  ======================================
robust  prediction, target  the shape and scale of the residuals
======  ==================  ======================================
"""

from losssearch.losses.adaptive import robust

__all__ = ["robust"]

"""Terms whose form is learned from rows that the model does not train on, by the hypergradient.

==============  ================  ================================================
family          reads             learns
==============  ================  ================================================
class_balance   logits, labels    a shift, a factor or a focus for classes
curve           margin, residual  a monotone curve; the search may also set it
network         margin, residual  a small network; it may also be frozen
==============  ================  ================================================
"""

from losssearch.losses.learned import class_balance, curve, network

__all__ = ["class_balance", "curve", "network"]

"""A balance: parts over their running size, which it carries from batch to batch."""

from torch import Tensor

import losssearch as ls


def per_part(sizes: ls.Dimensions) -> tuple[int, ...]:
    return (sizes.parts,)


def next_size(values: Tensor, *, decay: Tensor, size: Tensor) -> Tensor:
    return decay * size + (1 - decay) * values.abs()


@ls.balance(
    formula="running[{decay}]({part})",
    decay=ls.Float(0.5, 0.99, default=0.9),
    size=ls.State(per_part, 1.0, "update", next_size),
)
def own_running(values: Tensor, *, decay: Tensor, size: Tensor) -> Tensor:
    """The sum of the parts, each over its running size."""
    return (values / (size + 1e-3)).sum()

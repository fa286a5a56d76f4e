"""How to train with an exported loss, as the lines of an example."""

from __future__ import annotations

from losssearch.losses.part import learned_scalars
from losssearch.losses.spec import LossSpec


def usage_lines(spec: LossSpec) -> list[str]:
    """Python lines; they mention the optimizer or the schedule only where the loss needs it."""
    lines = ["from loss import Loss", "", "loss = Loss()"]
    if any(learned_scalars(part) for part in spec.parts):
        lines.append("optimizer = torch.optim.Adam([*model.parameters(), *loss.parameters()])  # it learns scalars")
    if "progress" in spec.reads:
        lines.append("loss.set_progress(epoch / epochs)  # at the start of every epoch: its weights follow a schedule")
    more = ", group" * ("group" in spec.reads) + ", features" * ("distance" in spec.reads)
    lines.append(f"loss(model(features), target{more}).backward()")
    return lines

"""How to train with an exported loss, as the lines of an example."""

from __future__ import annotations

from losssearch.losses.kept import learns
from losssearch.losses.part import part_states
from losssearch.losses.spec import LossSpec


def usage_lines(spec: LossSpec) -> list[str]:
    """Python lines; they mention the optimizer or the schedule only where the loss needs it."""
    lines = ["from loss import Loss", "", "loss = Loss()"]
    if learns(spec):
        lines.append("optimizer = torch.optim.Adam([*model.parameters(), *loss.parameters()])  # it learns")
    if "progress" in spec.reads:
        lines.append("loss.set_progress(epoch / epochs)  # at the start of every epoch: its weights follow a schedule")
    more = ", group" * ("group" in spec.reads) + ", features" * ("distance" in spec.reads)
    if not any(state.by_row for part in spec.parts for state in part_states(part).values()):
        return [*lines, f"loss(model(features), target{more}).backward()"]
    lines[lines.index("loss = Loss()")] = "loss = Loss(rows=len(dataset))  # it keeps something for each training row"
    for at in spec.restart_at:
        lines += [
            f"if (epoch - 1) / epochs < {at!r} <= epoch / epochs:  # once: the model starts anew, the loss stays",
            "    model.load_state_dict(initial)  # a copy from before the training; averages of its weights as well",
            "    optimizer = torch.optim.Adam(model.parameters())",
        ]
    return [
        *lines,
        f"for features, target{', group' * ('group' in spec.reads)}, index in loader:  # item i of dataset ends with i",
        "    optimizer.zero_grad()",
        f"    loss(model(features), target{more}, index=index).backward()",
        "    optimizer.step()",
    ]

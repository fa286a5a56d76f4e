"""The ``forward`` of an exported loss: what the composed loss computes, written out for one spec."""

from __future__ import annotations

from losssearch.export.facts import LossFacts
from losssearch.losses.direct import DIRECT, PLAIN
from losssearch.losses.domains import Choice
from losssearch.losses.part import UNCERTAINTY
from losssearch.losses.spec import LossSpec, Part

WIDTH = 120
"""Longest line of an exported file."""

_SHAPES = {
    "binary": "``output`` [batch] or [batch, 1]: logits of class 1, or [batch, 2]; ``target`` [batch]: 0 or 1.",
    "multiclass": "``output`` [batch, classes]: logits; ``target`` [batch]: class numbers from 0.",
    "regression": "``output`` [batch] or [batch, 1]: predictions; ``target`` [batch] or [batch, 1].",
}


_BESIDE = {
    "group": "``group``: ids of the sensitive groups [batch], or memberships [batch, groups], float.",
    "features": "``features`` [batch, ...]: what tells how alike two samples are, as the model reads it.",
}


_NUMBER = "``group``: the sensitive attribute, a number a sample [batch]; standardised, as the searched data's was."


def forward_body(facts: LossFacts) -> list[str]:
    """The lines of the method, indented for a class."""
    progress = ", *, progress: float | Tensor | None = None" if facts.scheduled else ""
    body = [
        *_docstring(facts),
        "if output.dtype in (torch.float16, torch.bfloat16):",
        "    output = output.float()",
        *_inputs(facts),
    ]
    if makes_numbers(facts.spec):
        body.append("number = partial(torch.full, (), dtype=output.dtype, device=output.device)")
    attributes = facts.learned_names()
    names = [f"part_{index + 1}" for index in range(len(facts.spec.parts))] if len(facts.spec.parts) > 1 else ["value"]
    for index, (name, part) in enumerate(zip(names, facts.spec.parts, strict=True)):
        own = {key[1]: f"self.{attribute}" for key, attribute in attributes.items() if key[0] == index}
        body += _part(part, name, own, facts.memories().get(index, ("", 0))[0])
    body.append(f"return {' + '.join(names)}")
    beside = "".join(f", {name}: Tensor" for name in facts.beside())
    lines = [f"    def forward(self, output: Tensor, target: Tensor{beside}{progress}) -> Tensor:"]
    return lines + [f"        {line}" if line else "" for line in body]


def _docstring(facts: LossFacts) -> list[str]:
    shapes = _SHAPES[facts.task]
    if not facts.beside():
        return [f'"""{shapes}"""']
    beside = _BESIDE | ({"group": _NUMBER} if facts.groups == 1 else {})
    more = [beside[name] for name in facts.beside()]
    return [f'"""{shapes}', "", *more, '"""']


def _inputs(facts: LossFacts) -> list[str]:
    reads = facts.spec.reads
    lines = []
    if facts.task == "regression":
        lines += [
            "target = target.reshape(output.shape[0])",
            "prediction = output.reshape(output.shape[0])",
            "if (self.target_mean, self.target_scale) != (0.0, 1.0):",
            "    # A mean far larger than the spread leaves few digits to float32; not every device has float64.",
            '    wide = output.dtype if output.device.type == "mps" else torch.float64',
            "    prediction = ((prediction.to(wide) - self.target_mean) / self.target_scale).to(output.dtype)",
            "    target = (target.to(wide) - self.target_mean) / self.target_scale",
            "target = target.to(output.dtype)",
        ]
    elif "labels" in reads:
        lines.append("labels = target.reshape(output.shape[0]).long()")
    if facts.task == "multiclass":
        lines += ["logits = output"] * ("logits" in reads)
        lines += ["logit = output[:, -1] - output[:, 0]"] * ("logit" in reads)
    if facts.task == "binary":
        lines.append("two_scores = output.dim() == 2 and output.shape[1] == 2")
        lines.append("logit = output[:, 1] - output[:, 0] if two_scores else output.reshape(output.shape[0])")
        if "logits" in reads:
            lines.append("logits = output if two_scores else torch.stack((-logit / 2, logit / 2), dim=-1)")
    if facts.reads_prior:
        lines.append("class_prior = self.class_prior.to(output.dtype)")
    if facts.reads_zero:
        lines.append("zero = self.zero.to(output.dtype)")
    if "group" in reads and facts.groups == 1:
        lines.append("group = group.reshape(output.shape[0], 1).to(output.dtype)")
    elif "group" in reads:
        lines += [
            "if not group.is_floating_point():",
            "    group = group.unsqueeze(-1) == torch.arange(self.groups, device=group.device)",
            "group = group.to(output.dtype)",
        ]
    if "distance" in reads:
        lines.append("distance = pairwise_distance(features.flatten(1)).to(output.dtype)")
    if facts.scheduled:
        lines.append("progress = self.progress if progress is None else progress")
        lines.append("progress = torch.as_tensor(progress, dtype=output.dtype, device=output.device)")
    return lines


def makes_numbers(spec: LossSpec) -> bool:
    """Whether ``forward`` turns a number into a tensor: a numeric hyperparameter or a share of the batch."""
    written = [part for part in spec.parts if part.name not in DIRECT and part.name not in PLAIN]
    numeric = any(not isinstance(p.term.domains[name], Choice) for p in written for name in p.hyperparameters)
    return numeric or any(part.reduction.kind == "cvar" for part in spec.parts)


def _part(part: Part, name: str, own: dict[str, str], memory: str) -> list[str]:
    """Evaluate, reduce, scale and weigh one part; ``own`` are its learned scalars, ``memory`` what it carries."""
    term = part.term
    arguments = list(term.reads)
    for key, value in part.hyperparameters.items():
        if isinstance(term.domains[key], Choice):
            text = f'"{value}"'
        else:
            text = f"{float(value)!r}" if part.name in PLAIN else f"number({float(value)!r})"
        arguments.append(f"{key}={text}")
    arguments += [f"{key}={own[key]}" for key in term.learned]
    direct = DIRECT.get(part.name)
    lines = _call("losses", part.name, arguments) if direct is None else [f"losses = {direct.source(part)}"]
    if term.memory:
        update = _call("memory", term.memory.update.__name__, arguments)
        lines = [
            f"memory = self.{memory}.to(output.dtype)",
            *lines,
            "if self.training:",
            "    with torch.no_grad():",
            *(f"        {line}" for line in update),
            f"    self.{memory} = memory.to(self.{memory}.dtype)",
        ]
    reduced = "losses.mean()"
    if direct is not None and part.reduction.kind == "mean":
        lines, reduced = [], direct.source(part)
    elif not term.per_sample:
        reduced = "losses"
    elif part.reduction.kind == "cvar":
        reduced = f"mean_of_worst(losses, number({part.reduction.share!r}))"
    if part.scale != 1.0:
        reduced += f" / {part.scale!r}"
    weighting = part.weighting
    if weighting.kind == "uncertainty":
        lines.append(f"log_variance = {own[UNCERTAINTY]}")
        return [*lines, f"{name} = torch.exp(-log_variance) * {reduced} + log_variance / 2"]
    if weighting.kind == "linear":
        slope = weighting.end - weighting.start
        lines.append(f"weight = {weighting.start!r} {'-' if slope < 0 else '+'} {abs(slope)!r} * progress")
        return [*lines, f"{name} = weight * {reduced}"]
    return [*lines, f"{name} = {reduced}" if weighting.start == 1.0 else f"{name} = {weighting.start!r} * {reduced}"]


def _call(bound: str, function: str, arguments: list[str]) -> list[str]:
    """An assignment of a call, broken as formatters break it where it does not fit on one line."""
    room = WIDTH - 8
    line = ", ".join(arguments)
    if len(f"{bound} = {function}({line})") <= room:
        return [f"{bound} = {function}({line})"]
    inner = [f"    {line}"] if len(line) + 4 <= room else [f"    {argument}," for argument in arguments]
    return [f"{bound} = {function}(", *inner, ")"]

"""The ``forward`` of an exported loss: what the composed loss computes, written out for one spec."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping

from losssearch.export.facts import LossFacts
from losssearch.losses.direct import direct_of, takes_floats
from losssearch.losses.kept import Kept
from losssearch.losses.part import part_choices
from losssearch.losses.record import Record
from losssearch.losses.schedule import Number, Schedule, Scheduled
from losssearch.losses.spec import LossSpec, Part

WIDTH = 120
"""Longest line of an exported file."""

_EXTRA = {
    "group": "``group``: ids of the sensitive groups [batch], or memberships [batch, groups], float.",
    "features": "``features`` [batch, ...]: what tells how alike two samples are, as the model reads it.",
    "index": "``index`` [batch]: the numbers of the samples among the training rows, from 0; each once in a batch.",
}


_NUMBER = "``group``: the sensitive attribute, one number per sample [batch]; standardised like the searched data."


def forward_body(facts: LossFacts) -> list[str]:
    """The lines of the method, indented for a class."""
    body = [
        *_docstring(facts),
        f"reduction = {checked('reduction or self.reduction', facts)}",
        "if output.dtype in (torch.float16, torch.bfloat16):",
        "    output = output.float()",
        *_weights(facts),
        *_inputs(facts),
    ]
    if norms := facts.spec.balance.record.reads_norms:
        at = body.index("if output.dtype in (torch.float16, torch.bfloat16):")
        body[at:at] = ["if not output.requires_grad:", "    output = output.detach().requires_grad_()"]
    if makes_numbers(facts.spec):
        body.append("number = partial(torch.full, (), dtype=output.dtype, device=output.device)")
    each = not facts.spec.batch_level
    body += _at_once(facts)
    alone = "losses" if each else "value"
    names = [f"part_{index + 1}" for index in range(len(facts.spec.parts))] if len(facts.spec.parts) > 1 else [alone]
    for index, (name, part) in enumerate(zip(names, facts.spec.parts, strict=True)):
        body += _part(part, name, Held(facts, index), each)
    if each:
        body += [f"losses = {' + '.join(names)}"] * (len(names) > 1)
        body += [
            'if reduction == "mean":',
            "    return losses.mean() if weight is None else weighted_mean(losses, weight)",
            "losses = losses if weight is None else losses * weight",
            'return losses.sum() if reduction == "sum" else losses',
        ]
    elif facts.spec.balance.is_sum:
        body.append(f"return {' + '.join(names)}")
    else:
        body += _balanced(facts, names)
    given = ["self", "output: Tensor", "target: Tensor", *(_parameter(name) for name in facts.extra()), "*"]
    given += ["weight: Tensor | None = None", "reduction: str | None = None"]
    given += ["progress: float | Tensor | None = None"] * facts.scheduled
    marked = ["    @torch.enable_grad()"] * norms  # gradients at the outputs are asked for in evaluation too
    return marked + broken("forward", given, "Tensor") + [f"        {line}" if line else "" for line in body]


_OPTIONAL = frozenset({"exposure"})
"""Fields of a kind of task that a caller may leave out."""


def _parameter(name: str) -> str:
    optional = name == "index" or name in _OPTIONAL
    return f"{name}: Tensor | None = None" if optional else f"{name}: Tensor"


def _at_once(facts: LossFacts) -> list[str]:
    """Lines that leave the mean of a loss that is one function of PyTorch's to that function."""
    (part, *more) = facts.spec.parts
    direct = direct_of(part)
    if direct is None or more or not part.is_mean or part.weighting.fixed is None:
        return []
    value = direct.source(part, "mean") + (f" / {part.scale!r}" if part.scale != 1.0 else "")
    return ['if weight is None and reduction == "mean":', f"    return {value}"]


def broken(name: str, arguments: list[str], returned: str) -> list[str]:
    """The head of a method, broken as formatters break it where it does not fit on one line."""
    line = ", ".join(arguments)
    if len(whole := f"    def {name}({line}) -> {returned}:") <= WIDTH:
        return [whole]
    inner = [f"        {line}"] if len(line) + 8 <= WIDTH else [f"        {argument}," for argument in arguments]
    return [f"    def {name}(", *inner, f"    ) -> {returned}:"]


def checked(name: str, facts: LossFacts) -> str:
    """The call that checks a reduction."""
    level = facts.spec.batch_level
    return f'checked_reduction({name}, "{level}")' if level else f"checked_reduction({name})"


def _weights(facts: LossFacts) -> list[str]:
    lines = ["if weight is not None:"]
    if unable := [part.name for part in facts.spec.parts if not part.term.takes_weights]:
        return [*lines, f'    raise ValueError("{unable[0]} gives one value per batch and cannot weigh its samples")']
    return [*lines, "    weight = sample_weights(weight, output)"]


def _docstring(facts: LossFacts) -> list[str]:
    extra = _EXTRA | ({"group": _NUMBER} if facts.groups == 1 else {})
    more = [extra[name] for name in facts.extra() if name in extra]
    more += [f"``{name}`` [batch]: {facts.kind.export.fields[name].summary}." for name in facts.own_fields()]
    if facts.reads_labels and not facts.spec.needs_ids:
        soft = facts.kind.export.soft
        more.append(f"``target`` may also hold probabilities: [batch, {max(facts.classes, 2)}]{soft}.")
    more.append(
        "``weight`` [batch]: how often each sample counts. ``reduction``: mean, sum or none; else the loss's own."
    )
    shapes = facts.kind.export.shapes
    told = shapes if isinstance(shapes, str) else shapes(facts)
    return [*_filled(f'"""{told}'), "", *more, '"""']


def _filled(text: str) -> list[str]:
    """A sentence of the docstring, broken where it does not fit on one line."""
    return textwrap.wrap(text, WIDTH - 8, break_on_hyphens=False, break_long_words=False)


def _inputs(facts: LossFacts) -> list[str]:
    reads = facts.spec.reads
    lines = facts.kind.export.inputs(facts)
    if facts.by_class:
        known, hint = f"{facts.classes}", ": it was made for these"
        if facts.counts_classes:
            known, hint = "{self.classes}", ": give classes= where the loss is made"
        lines += [
            f"if logits.shape[-1] != {'self.classes' if facts.counts_classes else facts.classes}:",
            f'    told = f"this loss keeps something of each of {known} classes, got outputs of {{logits.shape[-1]}}"',
            f'    raise ValueError(told + "{hint}")',
        ]
    if facts.reads_prior:
        lines.append("class_prior = self.class_prior.to(output.dtype)")
    if facts.reads_zero:
        lines.append("zero = self.zero.to(output.dtype)")
    lines += _group(facts)
    if "distance" in reads:
        lines.append("distance = pairwise_distance(features.flatten(1)).to(output.dtype)")
    if facts.knows_rows:
        by_row = next(name for (place, own), name in facts.attributes().items() if facts.is_by_row(place, own))
        lines.append(f"index = row_numbers(index, len(self.{by_row}), output)")
    if facts.scheduled:
        lines.append("progress = self.progress if progress is None else progress")
        lines.append(
            "progress = progress.to(output) if isinstance(progress, Tensor) else output.new_full((), progress)"
        )
    return lines


def _group(facts: LossFacts) -> list[str]:
    lines = []
    if "group" in facts.spec.reads and facts.groups == 1:
        lines.append("group = group.reshape(output.shape[0], 1).to(output.dtype)")
    elif "group" in facts.spec.reads:
        lines += [
            "if not group.is_floating_point():",
            "    group = group.unsqueeze(-1) == torch.arange(self.groups, device=group.device)",
            "group = group.to(output.dtype)",
        ]
    if any(part.term.weighs_group for part in facts.spec.parts):
        lines.append("weighted_group = group if weight is None else group * weight.unsqueeze(-1)")
    return lines


def makes_numbers(spec: LossSpec) -> bool:
    """Whether ``forward`` turns a number into a tensor: one of a term, a reduction, a weighting or a balance."""
    return any("number(" in line for line in _all_arguments(spec))


def called_records(spec: LossSpec) -> tuple[Record, ...]:
    """The weightings, reductions and schedules whose functions ``forward`` calls."""
    found: list[Record] = [record for record in spec.records if isinstance(record, Schedule)]
    for part in spec.parts:
        called = [part.reduction.record] if part.term.per_sample and spec.batch_level else []
        called += [part.weighting.record] if part.weighting.fixed is None else []
        found += [record for record in called if record not in found]
    found += [] if spec.balance.is_sum else [spec.balance.record]
    return tuple(found)


def _all_arguments(spec: LossSpec) -> list[str]:
    found: list[str] = []
    for part in spec.parts:
        found += [] if direct_of(part) or part.term.written else _hyperparameters(part)
        found += _settings(part.reduction.values, part.reduction.record)
        found += [] if part.weighting.fixed is not None else _settings(part.weighting.values, part.weighting.record)
    return [*found, *_settings(spec.balance.values, spec.balance.record)]


class Held:
    """What one part keeps, or the balance where ``place`` is None, as the text of ``forward`` reads and moves it."""

    def __init__(self, facts: LossFacts, place: int | None) -> None:
        attributes = facts.attributes()
        self._kept = [(kept, attributes[place, kept.name]) for kept in facts.kept() if kept.place == place]

    def arguments(self, states: Iterable[str]) -> list[str]:
        """The states as keyword arguments."""
        return [f"{kept.name}={self._read(kept, name)}" for kept, name in self._kept if kept.name in states]

    def _read(self, kept: Kept, attribute: str) -> str:
        if kept.state.optimised:
            return f"ascending(self.{attribute})" if kept.state.moved_by == "ascent" else f"self.{attribute}"
        return f"self.{attribute}{'.index_select(0, index)' if kept.state.by_row else ''}.to(output.dtype)"

    def follow(self, states: Iterable[str], arguments: list[str]) -> list[str]:
        """Lines that move those states which an update moves, given what their owner's function takes."""
        moved = [(kept, name) for kept, name in self._kept if kept.name in states and kept.state.update is not None]
        if not moved:
            return []
        lines = ["if self.training:", "    with torch.no_grad():"]
        for kept, name in moved:
            assert kept.state.update is not None  # noqa: S101  (chosen above)
            call = _call(f"next_{name}", kept.state.update.__name__, arguments, 8)
            lines += [f"        {line}" for line in call]
        for kept, name in moved:
            value = f"next_{name}.to(self.{name}.dtype)"
            by_row = kept.state.by_row
            lines.append(f"    self.{name}.index_copy_(0, index, {value})" if by_row else f"    self.{name} = {value}")
        return lines


def _part(part: Part, name: str, held: Held, each: bool) -> list[str]:
    """Evaluate, scale and weigh one part, and reduce it unless losses of ``each`` sample are asked for."""
    direct = direct_of(part)
    arguments = _arguments(part, held)
    call = _call("losses", part.term.function.__name__, arguments)
    lines = call if direct is None else [f"losses = {direct.source(part)}"]
    if part.term.written is not None:
        lines, _ = part.term.written(part_choices(part), "losses")
    lines += held.follow(part.term.states, arguments)
    reduced = "losses"
    if not each and part.term.per_sample:
        record = part.reduction.record
        read = {"losses": "losses", "sample_weight": "weight", "progress": "progress"}
        given = [*(read[name] for name in record.reads), *_settings(part.reduction.values, record)]
        lines += _call("reduced", record.name, given)
        reduced = "reduced"
    if part.scale != 1.0:
        reduced += f" / {part.scale!r}"
    fixed = part.weighting.fixed
    if fixed is not None:
        value = reduced if fixed == 1.0 else f"{fixed!r} * {reduced}"
        return lines if value == name else [*lines, f"{name} = {value}"]
    record = part.weighting.record
    read = {"value": reduced, "scale": repr(part.scale), "progress": "progress"}
    given = [*(read[key] for key in record.reads), *_settings(part.weighting.values, record)]
    given += held.arguments(record.states)
    return [*lines, *_call(name, record.name, given), *held.follow(record.states, given)]


def _balanced(facts: LossFacts, names: list[str]) -> list[str]:
    """The loss from the values of its parts."""
    balance, held = facts.spec.balance, Held(facts, None)
    record = balance.record
    given = [*record.reads, *_settings(balance.values, record), *held.arguments(record.states)]
    lines = [f"values = torch.stack(({', '.join(names)},))"]
    if record.reads_norms:
        lines.append(f"norms = output_norms(({', '.join(names)},), output)")
    lines += [*_call("value", record.name, given), *held.follow(record.states, given)]
    return [*lines, "return total(value, values)"]


def _arguments(part: Part, held: Held) -> list[str]:
    term = part.term
    arguments = ["weighted_group" if name == "group" and term.weighs_group else name for name in term.reads]
    arguments += ["weight"] * term.reads_weight
    return [*arguments, *_hyperparameters(part), *held.arguments(term.states)]


def _hyperparameters(part: Part) -> list[str]:
    return [
        f'{key}="{value}"' if isinstance(value, str) else f"{key}={_number(value, plain=takes_floats(part))}"
        for key, value in {**part.term.fixed, **part.hyperparameters}.items()
    ]


def _settings(numbers: Mapping[str, Number], record: Record) -> list[str]:
    """Numbers of a weighting, reduction or balance, as keyword arguments."""
    return [f"{name}={_number(number, plain=record.plain)}" for name, number in numbers.items()]


def _number(number: Number, *, plain: bool) -> str:
    """A number as source: a tensor, unless whoever takes it takes Python's numbers too; or the call of its schedule."""
    if isinstance(number, Scheduled):
        plain = number.record.plain
        given = [f"{key}={_number(value, plain=plain)}" for key, value in number.numbers]
        ends = ", ".join(_number(end, plain=plain) for end in number.window)
        done = f"within(progress, {ends})" if number.windowed else "progress"
        return f"{number.kind}({', '.join([done, *given])})"
    return f"{float(number)!r}" if plain else f"number({float(number)!r})"


def _call(bound: str, function: str, arguments: list[str], deeper: int = 0) -> list[str]:
    """An assignment of a call, broken as formatters break it where it does not fit on one line."""
    room = WIDTH - 8 - deeper
    line = ", ".join(arguments)
    if len(f"{bound} = {function}({line})") <= room:
        return [f"{bound} = {function}({line})"]
    inner = [f"    {line}"] if len(line) + 4 <= room else [f"    {argument}," for argument in arguments]
    return [f"{bound} = {function}(", *inner, ")"]

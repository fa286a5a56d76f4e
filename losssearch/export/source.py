"""A loss spec as standalone source: one readable file that needs torch and nothing else."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from dataclasses import replace

from torch import Tensor

from losssearch.export.definitions import Import, collect
from losssearch.export.example import example_block
from losssearch.export.facts import ROWS, STATE, LossFacts, plain
from losssearch.export.forward import WIDTH, broken, called_records, checked, forward_body, makes_numbers
from losssearch.export.reading import WEIGHTS_FILE
from losssearch.export.stored import stored
from losssearch.export.usage import usage_lines
from losssearch.losses.arriving import class_labels, row_numbers
from losssearch.losses.balancing import output_norms, total
from losssearch.losses.direct import direct_of
from losssearch.losses.inputs import pairwise_distance
from losssearch.losses.kept import Kept
from losssearch.losses.part import part_choices
from losssearch.losses.schedule import within
from losssearch.losses.spec import LossSpec, Part
from losssearch.losses.state import ascending
from losssearch.losses.weights import checked_reduction, sample_weights, weighted_mean

SHOWN = 64
"""As many numbers that the validation loss has found are written out in the text; more are in the weights file."""

_BASE_IMPORTS = frozenset(
    {Import("sys", None, "sys"), Import("torch", None, "torch"), Import("torch", "Tensor", "Tensor")}
    | {Import("torch", "nn", "nn")}
)


def loss_source(facts: LossFacts) -> str:
    """The text of ``loss.py``: the terms' own source, ``class Loss``, and a self-check with its numbers.

    Deterministic: the same facts give the same text. Raises `SpecError` if a term's source cannot stand alone.
    """
    parts = facts.spec.parts
    functions = [
        (function.__module__, function.__name__)
        for part in parts
        if direct_of(part) is None
        for function in _called(part)
    ]
    functions += [(update.__module__, update.__name__) for update in _updates(facts)]
    functions += [(function.__module__, function.__name__) for function in _of_states(facts)]
    if "distance" in facts.spec.reads:
        functions.append((pairwise_distance.__module__, pairwise_distance.__name__))
    functions += [(record.function.__module__, record.function.__name__) for record in called_records(facts.spec)]
    if not facts.spec.balance.is_sum:
        functions.append((total.__module__, total.__name__))
    if facts.spec.balance.record.reads_norms:
        functions.append((output_norms.__module__, output_norms.__name__))
    if any(number.windowed for number in facts.spec.scheduled):
        functions.append((within.__module__, within.__name__))
    needed = {
        sample_weights: all(part.term.takes_weights for part in parts),
        checked_reduction: True,
        class_labels: facts.reads_labels,
        row_numbers: facts.knows_rows,
        weighted_mean: not facts.spec.batch_level,
    }
    functions += [(function.__module__, function.__name__) for function, taken in needed.items() if taken]
    sources = collect(functions)
    own = {Import("functools", "partial", "partial")} if makes_numbers(facts.spec) else set()
    if _arrays(facts):
        own.add(Import("pathlib", "Path", "Path"))
    if any(direct_of(part) for part in parts):
        own.add(Import("torch.nn.functional", None, "F"))
    blocks = [
        _module_docstring(facts),
        "from __future__ import annotations",
        _import_block(_BASE_IMPORTS | sources.imports | own),
        f"FORMULA = {_text(ascii_formula(facts.spec), 10)}",
    ]
    if facts.reads_prior:
        blocks.append(f"CLASS_PRIOR = {_tuple(facts.class_prior or (), 14)}")
    if facts.reads_zero:
        blocks.append(f"ZERO = {facts.zero!r}")
    for kept in facts.kept():
        value = facts.learned.get(kept.key)
        if _is_written(kept) and isinstance(value, Tensor):
            name = _constant(kept, facts)
            digits = tuple(float(f"{number:.9g}") for number in value.tolist())  # these tell every float32 apart
            blocks.append(f"{name} = {_tuple(digits, len(name) + 3)}")
    definitions = [*sources.definitions, _loss_class(facts), example_block(facts)]
    return "\n\n".join(blocks) + "\n\n\n" + "\n\n\n".join(definitions) + "\n"


def _called(part: Part) -> list[Callable[..., object]]:
    """The functions that evaluate a part's term."""
    term = part.term
    return [term.function] if term.written is None else term.written(part_choices(part), "losses")[1]


def _updates(facts: LossFacts) -> list[Callable[..., Tensor]]:
    return [kept.state.update for kept in facts.kept() if kept.state.update is not None]


def _of_states(facts: LossFacts) -> list[Callable[..., object]]:
    """Functions that states of some kinds need."""
    climbs = any(kept.state.moved_by == "ascent" for kept in facts.kept())
    return [ascending] * climbs + [stored] * bool(_arrays(facts))


def _arrays(facts: LossFacts) -> set[str]:
    """The names of the arrays that the class reads from its weights file; numbers are in its text."""
    written = {f"learned.{kept.key}" for kept in facts.kept() if _is_written(kept)}
    return {name for name, value in facts.arrays().items() if value.dim() or name.startswith(STATE)} - written


def _is_written(kept: Kept) -> bool:
    """Whether the text shows what the validation loss has found, as numbers that tell a reader something."""
    return kept.state.by_validation and len(kept.shape) <= 1 and sum(kept.shape) <= SHOWN


def _constant(kept: Kept, facts: LossFacts) -> str:
    """What the text calls such numbers: ``SHIFT_1``."""
    return facts.attributes()[kept.place, kept.name].upper()


def ascii_formula(spec: LossSpec) -> str:
    """The formula in characters that every terminal prints."""
    return spec.formula().replace("·", " * ").replace("→", " -> ").encode("ascii", "replace").decode()


def _text(text: str, indent: int) -> str:
    """A string as source, in several pieces where it does not fit on one line."""
    if indent + len(_quoted(text)) <= WIDTH:
        return _quoted(text)
    pieces = textwrap.wrap(text, WIDTH - 8, break_long_words=False, break_on_hyphens=False)
    spaced = [*(f"{piece} " for piece in pieces[:-1]), pieces[-1]]
    return "(\n" + "".join(f"    {_quoted(piece)}\n" for piece in spaced) + ")"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _tuple(numbers: tuple[float, ...], indent: int) -> str:
    line = "(" + ", ".join(map(repr, numbers)) + ")"
    if indent + len(line) <= WIDTH:
        return line
    if len(inner := line[1:-1]) <= WIDTH - 4:
        return f"(\n    {inner}\n)"
    return "(\n" + "".join(f"    {value!r},\n" for value in numbers) + ")"


def _import_block(imports: frozenset[Import]) -> str:
    standard = [item for item in imports if item.module.partition(".")[0] != "torch"]
    torch_ = [item for item in imports if item.module.partition(".")[0] == "torch"]
    return "\n\n".join(_sorted_imports(group) for group in (standard, torch_) if group)


def _sorted_imports(group: list[Import]) -> str:
    whole = sorted({item.statement for item in group if item.name is None})
    lines = list(whole)
    modules = sorted({item.module for item in group if item.name is not None})
    for module in modules:
        named = {
            item.name + ("" if item.name == item.bound else f" as {item.bound}")
            for item in group
            if item.module == module and item.name is not None
        }
        plain_ = sorted((name for name in named if " as " not in name), key=_import_order)
        if plain_:
            lines.append(f"from {module} import {', '.join(plain_)}")
        lines.extend(f"from {module} import {name}" for name in sorted(named) if " as " in name)
    return "\n".join(lines)


def _import_order(name: str) -> tuple[int, str]:
    """Constants, then classes, then the rest, as isort orders them."""
    return (0 if name.isupper() and len(name) > 1 else 1 if name[:1].isupper() else 2), name


def _module_docstring(facts: LossFacts) -> str:
    metric = facts.metric
    formula = textwrap.fill(ascii_formula(facts.spec), WIDTH - 8, break_long_words=False, break_on_hyphens=False)
    paragraphs = [f"A training loss for {facts.task} models, chosen by search.", textwrap.indent(formula, "    ")]
    if metric:
        sense = "lower" if str(metric.get("direction", "")).startswith("min") else "higher"
        goal = f"{plain(metric.get('name', ''))} ({sense} is better)"
        named = (("data", facts.data.get("name")), ("study", facts.study))
        origin = ", ".join(f"{kind} {plain(name)}" for kind, name in named if name)
        paragraphs.append(f"Chosen for: {goal}" + (f"; {origin}." if origin else "."))
    if facts.verdict_text:
        paragraphs.append(f"Verdict on data that the search never saw: {plain(facts.verdict_text)}")
    paragraphs.append(f"Use:\n\n{textwrap.indent(chr(10).join(usage_lines(facts.spec)), '    ')}")
    paragraphs.append("`python loss.py` prints the formula and checks value and gradient against the searched loss.")
    if facts.version:
        paragraphs.append(f"Written by losssearch {plain(facts.version)}. Needs torch and nothing else.")
    filled = [
        text if "\n" in text or text.startswith(" ") else textwrap.fill(text, WIDTH - 4, break_on_hyphens=False)
        for text in paragraphs
    ]
    return '"""' + "\n\n".join(filled) + '\n"""'


def _loss_class(facts: LossFacts) -> str:
    arguments, setup, notes = _of_data(facts)
    if facts.counts_groups:
        arguments.append(f"groups: int = {facts.groups}")
        setup.append("self.groups = groups")
        notes.append("``groups``: how many sensitive groups your data has; by default as many as the searched data.")
    if facts.counts_classes:
        arguments.append(f"classes: int = {facts.classes}")
        setup.append("self.classes = classes")
        notes.append("``classes``: how many classes your data has; by default as many as the searched data.")
    _add_states(facts, arguments, setup, notes)
    if facts.scheduled:
        setup.append('self.register_buffer("progress", torch.zeros(()), persistent=False)')
        notes.append("Its weights follow training progress: call `set_progress`, or pass ``progress``; 0 until told.")
    if at := facts.spec.restart_at:
        setup.append(f"self.restart_at = {at!r}")
        told = " and ".join(f"{share!r}" for share in at)
        notes.append(
            f"When the share of training done reaches {told} (``restart_at``), start the model, its optimizer and its "
            "averages anew, and keep this loss: it has learned from the first model how much each training row counts."
        )
    arguments.append('reduction: str = "mean"')
    setup.append(f"self.reduction = {checked('reduction', facts)}")
    summary = "The searched loss: a scalar for a batch, or what ``reduction`` says: mean, sum or none."
    lines = ["class Loss(nn.Module):", f'    """{summary}"""', ""]
    if notes:
        filled = [textwrap.indent(textwrap.fill(note, WIDTH - 8, break_on_hyphens=False), "    ") for note in notes]
        lines[1:] = [f'    """{summary}', "", "\n\n".join(filled), '    """', ""]
    if setup:
        lines += [*broken("__init__", ["self", *arguments], "None"), "        super().__init__()"]
        lines += [f"        {line}" for line in setup] + [""]
    if facts.scheduled:
        lines += [
            "    def set_progress(self, progress: float) -> None:",
            '        """Tell the share of training done, in [0, 1]."""',
            "        self.progress.fill_(progress)",
            "",
        ]
    return "\n".join(lines + forward_body(facts))


def _add_states(facts: LossFacts, arguments: list[str], setup: list[str], notes: list[str]) -> None:
    """What the class keeps: parameters what is learned, buffers all else."""
    if facts.knows_rows:
        arguments.append(f"rows: int = {ROWS}")
        notes.append("``rows``: how many training rows your data has, which ``index`` counts.")
    if arrays := _arrays(facts):
        setup.append(f'arrays = stored(Path(__file__).with_name("{WEIGHTS_FILE}"))')
    attributes = facts.attributes()
    setup += [
        f'self.register_buffer("{attributes[kept.place, kept.name]}", {_start(kept, facts, arrays)})'
        for kept in facts.kept()
        if not kept.state.optimised
    ]
    if any(kept.state.update is not None for kept in facts.kept()):
        notes.append("It carries statistics from batch to batch; `eval` mode leaves them as they are.")
    for kept in facts.kept():
        if kept.state.optimised:
            setup.append(f"self.{attributes[kept.place, kept.name]} = nn.Parameter({_found(kept, facts, arrays)})")
    if any(kept.state.optimised for kept in facts.kept()):
        notes.append("It learns: give ``loss.parameters()`` to the optimizer in addition to the model's.")


def _found(kept: Kept, facts: LossFacts, arrays: set[str]) -> str:
    """The value that a training has found for a state, as source."""
    name = f"learned.{kept.key}"
    if name in arrays:
        return f'arrays["{name}"]'
    value = facts.learned[kept.key]
    return f"torch.tensor({_constant(kept, facts) if isinstance(value, Tensor) else repr(value)})"


def _start(kept: Kept, facts: LossFacts, arrays: set[str]) -> str:
    """The initial value of a state that is no parameter, as source."""
    state, shape = kept.state, kept.shape
    if state.handed_over:
        return _found(kept, facts, arrays)
    if not isinstance(state.init, float):
        value = f'arrays["{STATE}{kept.buffer}"]'
        return f"{value}[0].repeat(rows{', 1' * len(shape)})" if state.by_row else value
    more = replace(kept, dimensions=replace(kept.dimensions, groups=facts.groups + 1)).shape
    wider = replace(kept, dimensions=replace(kept.dimensions, classes=facts.classes + 1)).shape
    sides = [
        "groups"
        if facts.counts_groups and (side, other) == (facts.groups, facts.groups + 1)
        else "classes" + (f" + {side - facts.classes}" if side > facts.classes else "")
        if facts.counts_classes and longer == side + 1 and side >= facts.classes
        else f"{side}"
        for side, other, longer in zip(shape, more, wider, strict=True)
    ]
    text = ", ".join(["rows"] * state.by_row + sides)
    if not text:
        return f"torch.tensor({state.init!r})"
    return f"torch.zeros({text})" if state.init == 0.0 else f"torch.full(({text},), {state.init!r})"


def _of_data(facts: LossFacts) -> tuple[list[str], list[str], list[str]]:
    """Arguments, statements of ``__init__`` and notes on what the loss knows of the data that it is used on."""
    arguments, setup, notes = list[str](), list[str](), list[str]()
    if facts.reads_prior:
        arguments.append("class_prior: tuple[float, ...] | Tensor = CLASS_PRIOR")
        setup.append('self.register_buffer("class_prior", torch.as_tensor(class_prior, dtype=torch.float32))')
        notes.append(
            "``class_prior``: share of each class in your training data [classes]; by default of the searched data."
        )
    if facts.kind.export.unit:
        arguments += ["target_mean: float = 0.0", "target_scale: float = 1.0"]
        setup.append("if not target_scale > 0:")
        setup.append('    raise ValueError(f"`target_scale > 0` must hold, got {target_scale}")')
        setup.append("self.target_mean, self.target_scale = target_mean, target_scale")
        known = (facts.target_mean, facts.target_scale)
        notes.append(
            "The loss was searched on standardised targets. With raw targets and outputs, give ``target_mean`` and "
            "``target_scale``, the mean and the standard deviation of the training targets"
            + (f" (of the searched data: {known[0]!r} and {known[1]!r})." if known != (0.0, 1.0) else ".")
        )
    if facts.reads_zero:
        arguments.append("zero: float | None = None")
        setup.append("if zero is None:")
        setup.append("    zero = ZERO if (target_mean, target_scale) == (0.0, 1.0) else 0.0")
        setup.append("zero = (zero - target_mean) / target_scale")
        setup.append('self.register_buffer("zero", torch.tensor(zero, dtype=torch.float32))')
        notes.append(
            "``zero``: where the target's own zero lies among the targets that you give. For raw ones that is 0, which "
            "is the default where ``target_mean`` and ``target_scale`` are given; for standardised ones it is minus "
            f"mean over scale, by default that of the searched data, {facts.zero:.6g}."
        )
    return arguments, setup, notes

"""A loss as a custom objective for boosted trees: one file that needs numpy, torch and the library of the trees.

The file is made of the very text that the study grew its trees with: the loss's own source, a class for each part,
and `losssearch.training.boosting.objective`.
"""

from __future__ import annotations

import ast
import inspect
import shutil
import textwrap
from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from losssearch.data.batch import Sizes, sensitive
from losssearch.errors import OptionError
from losssearch.export.boosting_text import CHECK, PARAMETERS, USE, WRAPPER
from losssearch.export.facts import ROWS, LossFacts, plain
from losssearch.export.reading import SPEC_FILE, read_bundle
from losssearch.export.source import ascii_formula, loss_source
from losssearch.export.writing import write_whole
from losssearch.models.boosted import BOOSTED
from losssearch.tasks.export_text import SHOWN_CLASSES
from losssearch.training.boosting import ROUNDS, objective
from losssearch.training.boosting.objective import Objective
from losssearch.training.boosting.pieces import pieces_of
from losssearch.training.boosting.plan import BOOSTED_RATES, EPOCHS

OBJECTIVE_FILE = "objective.py"

REQUIREMENTS = "numpy>=1.24\ntorch>=2.2\n{library}\n"

_DROPPED = frozenset({"Loss", "check", "main", "FORMULA", "EXPECTED_VALUE", "EXPECTED_GRADIENT"})
"""What `loss.py` has and an objective has not, or has in another form."""


def write_objective(bundle: Path, place: Path, library: str, *, rate: float | None = None) -> Path:
    """Write the objective of the loss in ``bundle`` for ``library`` into the folder ``place``; the file's path.

    ``rate``: the shrinkage that the study found best, where its trees were boosted. Raises `OptionError` for another
    library, and what `losssearch.export.reading.read_bundle` raises.
    """
    text = objective_source(read_bundle(bundle), library, rate=rate)
    place.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(bundle / SPEC_FILE, place / SPEC_FILE)
    write_whole(place / "requirements.txt", REQUIREMENTS.format(library=library).encode())
    write_whole(place / OBJECTIVE_FILE, text.encode())
    return place / OBJECTIVE_FILE


def objective_source(facts: LossFacts, library: str, *, rate: float | None = None) -> str:
    """The text of ``objective.py`` for ``lightgbm`` or ``xgboost``; the same facts give the same text.

    Scalars that the loss learns start from their initial values, as in the study. Raises `OptionError` for another
    library.
    """
    if library not in BOOSTED:
        raise OptionError(f"an objective is for {' or '.join(BOOSTED)}, got {library!r}")
    facts = replace(facts, learned={})
    classes = facts.classes if facts.kind.nominal else 0
    parts = [_part_class(loss_source(single), place) for place, single in enumerate(_singles(facts), start=1)]
    loss, machine = _Text(loss_source(facts)), _machine()
    parameters = {**PARAMETERS[library], "eta" if library == "xgboost" else "learning_rate": rate or BOOSTED_RATES[1]}
    if classes > 2:
        parameters |= {"num_class": classes} | ({"objective": "multi:softprob"} if library == "xgboost" else {})
    elif classes and library == "xgboost":  # what XGBClassifier sets; there, a margin of 0 is a probability of 1/2
        parameters |= {"objective": "binary:logistic", "base_score": 0.5}
    settings = {"FORMULA": ascii_formula(facts.spec), "CLASSES": classes, "ROUNDS": EPOCHS * ROUNDS}
    settings |= {"GROUPS": facts.groups, "EXTRA": _asked(facts)}
    body = [
        *loss.definitions(),
        *parts,
        *machine.definitions(),
        "\n".join(f"{name} = {value!r}" for name, value in {**settings, "PARAMETERS": parameters}.items()),
        _pieces(facts, classes),
        WRAPPER.rstrip(),
        _check(facts, classes),
    ]
    text = "\n\n\n".join(body)
    imports = _imports([*loss.imports(), *machine.imports(), "from functools import cache"], body)
    return f"{_docstring(facts, library)}\n\nfrom __future__ import annotations\n\n{imports}\n\n\n{text}"


def _asked(facts: LossFacts) -> tuple[str, ...]:
    """What a user must give: the rows of a training are numbered in their order."""
    return tuple(name for name in facts.extra() if name != "index")


def _singles(facts: LossFacts) -> list[LossFacts]:
    """The facts of each part as a loss of its own, worth what it is worth in the whole."""
    return [replace(facts, spec=facts.spec.alone(place), learned={}) for place in range(len(facts.spec.parts))]


def _part_class(source: str, place: int) -> str:
    text = _Text(source)
    found = next(node for node in text.tree.body if isinstance(node, ast.ClassDef) and node.name == "Loss")
    return text.of(found).replace("class Loss(", f"class Part{place}(", 1)


def _pieces(facts: LossFacts, classes: int) -> str:
    """A function that makes the pieces, with what was measured of how each part curves."""
    lines = [
        f"def pieces(target: Tensor, groups: int = 0, zero: float = {facts.zero!r}) -> list[Piece]:",
        '    """The parts of the loss, and how each curves; shares of classes are those of ``target``."""',
    ]
    if facts.reads_prior:
        lines.append("    prior = torch.bincount(target, minlength=CLASSES).double() / len(target)")
    lines.append("    return [")
    found = pieces_of(facts.spec, _facts(facts), _sizes(facts, classes), facts.kind.task.offer)
    for place, (single, piece) in enumerate(zip(_singles(facts), found, strict=True), start=1):
        given = {
            "class_prior=prior": single.reads_prior,
            "groups=groups": single.counts_groups,
            "rows=len(target)": single.knows_rows,
            "zero=zero": single.reads_zero,
        }
        arguments = ", ".join(text for text, taken in given.items() if taken)
        reads = ", ".join(repr(name) for name in sorted(piece.reads))
        frozen = f"frozenset({{{reads}}})" if reads else "frozenset()"
        lines.append(f"        Piece(Part{place}({arguments}).double(), {piece.kind!r}, {frozen}),")
    return "\n".join([*lines, "    ]"])


def _sizes(facts: LossFacts, classes: int) -> Sizes:
    return Sizes(classes, sensitive(facts.groups), rows=ROWS)


def _facts(facts: LossFacts) -> dict[str, torch.Tensor]:
    found = {"zero": torch.tensor(float(facts.zero))}
    if facts.class_prior is not None:
        found["class_prior"] = torch.tensor(facts.class_prior, dtype=torch.float64)
    return found


def _check(facts: LossFacts, classes: int) -> str:
    """The end of the file: an example as source, and the numbers that `_example` gives for it."""
    if classes > SHOWN_CLASSES:
        return 'if __name__ == "__main__":\n    print(FORMULA)\n'
    rows, columns = _size(classes)
    row = f"torch.arange({rows}{'' if classes else ', dtype=torch.float64'})"
    shape = f".reshape({rows}, {columns})" if columns > 1 else ""
    lines = [
        f"    scores = 2 * np.sin(np.arange(1.0, {rows * columns + 1})){shape}",
        f"    target = {row} % {classes}" if classes else f"    target = 1.5 * {row}.cos()",
    ]
    extra = {
        "group": f"torch.eye(GROUPS, dtype=torch.float64)[torch.arange({rows}) // 2 % GROUPS]",
        "features": f"torch.arange({2.0 * rows}).cos().reshape({rows}, 2)",
    }
    lines += [f"    {name} = {extra[name]}" for name in _asked(facts)]
    numbers = " ".join(repr(float(number)) for number in _example(facts, classes, rows, columns))
    return CHECK.format(
        numbers=textwrap.fill(numbers, 112, break_on_hyphens=False, break_long_words=False),
        example="\n".join(lines),
        batch=", ".join(f'"{name}": {name}' for name in ("target", *_asked(facts))),
    )


def _size(classes: int) -> tuple[int, int]:
    return max(24, 3 * classes), classes if classes > 2 else 1


def _example(facts: LossFacts, classes: int, rows: int, columns: int) -> list[float]:
    """Gradient, then Hessian, of the searched objective on the example of `_check`."""
    scores = 2 * np.sin(np.arange(1.0, rows * columns + 1))
    scores = scores.reshape(rows, columns) if columns > 1 else scores
    order = torch.arange(rows)
    target = order % classes if classes else 1.5 * order.double().cos()
    known = _facts(facts)
    if classes:
        known["class_prior"] = torch.bincount(target, minlength=classes).double() / rows
    batch = {"target": target, "features": torch.arange(2.0 * rows).cos().reshape(rows, 2)}
    if facts.groups:
        batch["group"] = torch.eye(facts.groups, dtype=torch.float64)[order // 2 % facts.groups]
    pieces = pieces_of(facts.spec, known, _sizes(facts, classes), facts.kind.task.offer)
    made = Objective(pieces, batch, classes=classes, rounds=10)
    made(scores)  # twice, for what a loss remembers
    return [float(number) for number in np.ravel(made(scores))]


def _docstring(facts: LossFacts, library: str) -> str:
    short = "lgb" if library == "lightgbm" else "xgb"
    asked = ", ".join(f"{name}={name}" for name in _asked(facts))
    own = f"TreeObjective({asked})" if asked else "fobj"
    names = ", ".join(sorted(["PARAMETERS", "ROUNDS", own.partition("(")[0], "initial_scores"]))
    use = textwrap.dedent(USE[library]).replace("fobj", own)
    lines = [
        f'"""An objective for {library}: gradient and Hessian of a loss chosen by search, for {facts.task} tasks.',
        "",
        f"    {ascii_formula(facts.spec)}",
        "",
        "Use:",
        "",
        f"    import {library} as {short}",
        f"    from objective import {names}",
        "",
        *textwrap.indent(use, "    ").splitlines(),
        "",
        "Scores are log-odds, logits [rows, classes], or predictions in the unit of the labels. Classes are 0, 1, ...",
        "`python objective.py` checks the numbers against the searched objective.",
    ]
    if facts.version:
        lines += ["", f"Written by losssearch {plain(facts.version)}. Needs numpy, torch and {library}."]
    return "\n".join([*lines, '"""'])


@lru_cache(maxsize=256)
def _used(text: str) -> frozenset[str]:
    """The names in a text: most of an objective's are the same in every objective."""
    return frozenset(node.id for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Name))


def _imports(found: Iterable[str], texts: Iterable[str]) -> str:
    """The import statements that ``texts`` use, standard library first."""
    used = frozenset[str]().union(*map(_used, texts))
    kept = set()
    for statement in found:
        node = ast.parse(statement).body[0]
        assert isinstance(node, ast.Import | ast.ImportFrom)  # noqa: S101  (`_Text.imports` gives no other)
        for alias in node.names:
            if (alias.asname or alias.name.partition(".")[0]) in used:
                name = alias.name if alias.asname is None else f"{alias.name} as {alias.asname}"
                kept.add(f"import {name}" if isinstance(node, ast.Import) else f"from {node.module} import {name}")
    outside = {line for line in kept if line.split()[1].partition(".")[0] in ("numpy", "torch")}
    return "\n".join(
        [*sorted(kept - outside), "", *sorted(outside, key=lambda line: (line.startswith("from"), line))]
    ).strip("\n")


@lru_cache(maxsize=1)
def _machine() -> _Text:
    return _Text(inspect.getsource(objective))


class _Text:
    """A module's text, cut into its statements."""

    def __init__(self, source: str) -> None:
        self._lines, self.tree = source.splitlines(), ast.parse(source)

    def of(self, node: ast.stmt) -> str:
        """The lines of a statement, decorators included."""
        decorators = getattr(node, "decorator_list", [])
        first = min([node.lineno, *(decorator.lineno for decorator in decorators)])
        return "\n".join(self._lines[first - 1 : node.end_lineno])

    def imports(self) -> list[str]:
        """The import statements, without those that talk to the compiler."""
        nodes = [node for node in self.tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
        return [ast.unparse(n) for n in nodes if not (isinstance(n, ast.ImportFrom) and n.module == "__future__")]

    def definitions(self) -> list[str]:
        """Functions, classes and constants but `_DROPPED`, each constant with the text below that tells of it."""
        texts: list[str] = []
        told = False
        for node in self.tree.body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Assign | ast.AnnAssign):
                told = not _DROPPED & set(_names(node))
                if told:
                    texts.append(self.of(node))
            elif isinstance(node, ast.Expr) and texts and told:
                texts[-1] += "\n" + self.of(node)
        return texts


def _names(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return [target.id for target in targets if isinstance(target, ast.Name)]

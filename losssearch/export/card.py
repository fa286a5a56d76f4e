"""The model card of a bundle: what the loss is, where it comes from, what to expect of it."""

from __future__ import annotations

import re

from torch import Tensor

from losssearch.data.target_columns import per_column
from losssearch.export.facts import LossFacts, plain
from losssearch.export.usage import usage_lines

_LIMITS = """\
- It was chosen for one metric, on one dataset, with one kind of model. On other data it may do no better than the
  plain loss: compare it there before you rely on it.
- The interval of the verdict speaks of the held-out rows of the searched data, not of data that differ from them.
- A loss makes no promise about the fairness, calibration or safety of a model trained with it."""

_TUNED = {
    "tuned": "After training, the decision rule (threshold, temperature or shift) was tuned on outputs for "
    "rows that did not train the model; do the same to reach the stated figures, as `losssearch.tune_decision` does.",
    "fixed": "Nothing was tuned after training: outputs were used as they are.",
}


def model_card(facts: LossFacts) -> str:
    """The card as Markdown; names that users chose are escaped."""
    spec, metric = facts.spec, facts.metric
    lines = ["# Loss card", "", f"A training loss for {facts.task} models, chosen by search.", ""]
    lines += ["$$", spec.formula(latex=True), "$$", "", f"    {spec.formula()}", ""]
    lines += ["| term | reference |", "|---|---|"]
    references = {part.name: part.term.reference for part in spec.parts}
    lines += [f"| `{name}` | {_escape(reference)} |" for name, reference in references.items()]
    lines += [
        f"| `{record.meaning or record.name}` | {_escape(record.reference)} |"
        for record in spec.records
        if record.reference
    ]
    lines += ["", "## Where it comes from", ""]
    rows = facts.data.get("rows") or {}
    if facts.data.get("name"):
        sizes = ", ".join(f"{_escape(part)} {_escape(count)}" for part, count in rows.items())
        lines.append(f"- Data: {_escape(facts.data['name'])}" + (f" (rows: {sizes})" if sizes else ""))
    if facts.data.get("fingerprint"):
        lines.append(f"- Fingerprint of the data: {_escape(facts.data['fingerprint'])}")
    if metric.get("name"):
        sense = "lower" if str(metric.get("direction", "")).startswith("min") else "higher"
        unit = f", in {_escape(metric['unit'])}" if metric.get("unit") else ""
        lines.append(f"- Metric: {_escape(metric['name'])}{unit}; {sense} is better")
    if facts.study:
        lines.append(f"- Study: {_escape(facts.study)}")
    lines.append(f"- {_TUNED[spec.decision]}")
    if facts.version:
        lines.append(f"- Written by losssearch {_escape(facts.version)}")
    if facts.verdict_text:
        lines += ["", "## Verdict", "", _escape(facts.verdict_text)]
    lines += ["", "## Use", "", "```python", *usage_lines(facts.spec), "```", "", *_notes(facts)]
    lines += ["", "`python loss.py` checks value and gradient against the searched loss; it needs torch alone."]
    lines += ["", "## Limits", "", _LIMITS]
    return "\n".join(lines) + "\n"


def _notes(facts: LossFacts) -> list[str]:
    notes = []
    if facts.kind.export.unit:
        notes.append(
            "The loss was searched on standardised targets. For raw units give `Loss(target_mean=…, target_scale=…)`, "
            f"in the searched data {per_column(facts.target_mean)[0]:.6g} and "
            f"{per_column(facts.target_scale)[0]:.6g}."
        )
    elif not facts.kind.nominal:
        moments = zip(per_column(facts.target_mean), per_column(facts.target_scale), strict=True)
        found = ", ".join(f"{mean:.6g} and {scale:.6g}" for mean, scale in moments)
        notes.append(f"It takes targets that are standardised, by mean and scale of each column: {found}.")
    if facts.reads_prior:
        notes.append("It reads the share of each class; for other data than the searched, give `Loss(class_prior=…)`.")
    if facts.reads_zero:
        notes.append(
            f"It reads where the target's own zero lies: at {facts.zero:.6g} among the searched data's standardised "
            "targets. `Loss(target_mean=…, target_scale=…)` sets it for raw targets, `Loss(zero=…)` for targets that "
            "are standardised otherwise."
        )
    if facts.learned:
        found = ", ".join(_value(name.split("_", 1)[1], value) for name, value in facts.learned.items())
        notes.append(f"It carries what it has learned ({found}), which keeps learning if the optimizer has it.")
    return notes


def _value(name: str, value: float | Tensor) -> str:
    return f"{name} {list(value.shape)}" if isinstance(value, Tensor) else f"{name} = {value:.4g}"


def _escape(value: object) -> str:
    return re.sub(r"([`*_{}\[\]<>#|$~])", r"\\\1", plain(value))

"""A loss as HTML, for notebooks: its formula, and what each of its terms does."""

from __future__ import annotations

import html
import re

from losssearch.losses.spec import LossSpec

_NUMBER = re.compile(r"(?<![\w.])(\d+(?:\.\d+)?(?:e[+-]?\d+)?)(?![\w.])")


def loss_html(spec: LossSpec) -> str:
    """The formula with the names of terms in bold, and a line for each term. All text is escaped."""
    formula = html.escape(spec.formula())
    for name in sorted({part.name for part in spec.parts}, key=len, reverse=True):
        formula = re.sub(rf"(?<!\w){re.escape(html.escape(name))}(?!\w)", rf"<b>{html.escape(name)}</b>", formula)
    formula = _NUMBER.sub(r'<span style="color:#3b82c4">\1</span>', formula)
    terms = {part.name: part.term for part in spec.parts}
    lines = "".join(f"<li><b>{html.escape(n)}</b>: {_plain(term.summary)}</li>" for n, term in terms.items())
    return (
        '<div class="losssearch-loss mathjax_ignore tex2jax_ignore">'
        f'<div style="font-family:ui-monospace,monospace;font-size:1.05em;margin:.2em 0">{formula}</div>'
        f'<ul style="margin:.2em 0;padding-left:1.4em;opacity:.75">{lines}</ul></div>'
    )


def _plain(summary: str) -> str:
    """A summary of a docstring without its markup."""
    return html.escape(re.sub(r"`+", "", summary))

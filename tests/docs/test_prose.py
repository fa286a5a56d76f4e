"""Documentation, messages, docstrings and comments avoid a few phrases that are not plain English."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PER = "row|sample|batch|group|class|member|replica|seed|epoch|step|worker|trial|round|study"
INSTEAD = {
    rf"\b(?:one|once|values?|numbers?|labels?|ids?|weights?|logits?) an? (?:{PER})\b": "one value per sample",
    r"\b(?:keep|keeps|kept|keeping) (?:the|a|its|every|their) (?:limit|constraint)s?\b": "satisfies the constraint",
    r"\b(?:goes|go|went) on\b": "continues, resumes",
    r"\bbeside\b": "in addition to, next to, with",
    r"\bparted\b": "split",
    r"\bso many\b": "this number of, n",
    r"\bas far as it may be luck\b": "shrunk toward zero",
    r"\bof one's own\b": "your own",
    r"\bwhere left out\b": "by default",
}
"""What to write in place of each phrase."""

SEARCHED = {
    ".": "*.md",
    "docs": "**/*.*",
    "examples": "*.*",
    "search_spaces": "*.yaml",
    "losssearch": "**/*.*",
    "services": "**/*.*",
    "benchmarks": "**/*.py",
}


FILES = sorted(
    path
    for folder, pattern in SEARCHED.items()
    for path in (ROOT / folder).glob(pattern)
    if path.suffix in (".md", ".rst", ".py", ".ipynb", ".yaml", ".jinja")
)


def found(text: str) -> list[str]:
    """The lines of a text with such a phrase, each with what to write instead."""
    return [
        f"line {number}: {match[0]!r}; write: {instead}"
        for number, line in enumerate(text.splitlines(), 1)
        for phrase, instead in INSTEAD.items()
        for match in re.finditer(phrase, line, re.IGNORECASE)
    ]


def test_plain_english() -> None:
    unclear = {str(path.relative_to(ROOT)): lines for path in FILES if (lines := found(path.read_text("utf-8")))}
    assert unclear == {}


def test_each_phrase_is_found() -> None:
    text = "one value a sample; keeps the limit; goes on; beside it; parted; so many; of one's own; where left out"
    assert len(found(f"{text}; as far as it may be luck")) == len(INSTEAD)
    assert found("one value per sample satisfies the constraint and continues; a value a user gives") == []

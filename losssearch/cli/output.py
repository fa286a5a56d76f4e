"""What the command line writes: results on stdout, notes and one-line errors on stderr."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from losssearch.option_names import spelled
from losssearch.redaction import redact

if TYPE_CHECKING:
    from rich.console import Console

    from losssearch.losses.domains import Domain


def console() -> Console:
    """A console on stdout, as wide as the terminal; colours only where stdout is one."""
    from rich.console import Console

    # No markup: formulas, shapes and file names are full of square brackets.
    return Console(highlight=False, markup=False)


def write_json(data: Any) -> None:
    """Write ``data`` as JSON, alone on stdout; a value that is not finite raises `ValueError`."""
    sys.stdout.write(json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def range_text(domain: Domain) -> str:
    """The range of a hyperparameter for people: ``0 to 5 (default 2)``, or its options."""
    facts = asdict(domain)
    if "options" in facts:
        return f"{' | '.join(facts['options'])} (default {facts['default']})"
    if "nodes" in facts:
        return f"a tree of at most {facts['nodes']} nodes (default {facts['default']})"
    if facts["low"] == facts["high"]:
        return f"{facts['low']:g}"
    kind = "log, " if facts.get("log") else ""
    return f"{facts['low']:g} to {facts['high']:g} ({kind}default {facts['default']:g})"


def note(message: str) -> None:
    """Write one line for people to stderr, without secrets, so that stdout stays for results."""
    sys.stderr.write(_one_line(redact(spelled(message))) + "\n")


def fail(message: str) -> None:
    """Write ``losssearch: message`` as one line to stderr."""
    note(f"losssearch: {message}")


def _one_line(text: str) -> str:
    return " ".join(text.split())

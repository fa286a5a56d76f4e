"""Which terms were compared with another library or a published formula, and which were not.

    python -m benchmarks.oracles.listed

Exits with 1 where a term has no oracle: neither in its record (``traits.oracle``), nor stored numbers under its name in
``tests/oracles``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path

from losssearch.losses import LossTerm, terms

STORED = Path(__file__).parents[2] / "tests" / "oracles"


def stored_names() -> set[str]:
    """The names under which ``tests/oracles`` has numbers, at any depth of its files."""
    found: set[str] = set()
    for file in STORED.glob("*.json"):
        left = [json.loads(file.read_text("utf-8"))]
        while left:
            value = left.pop()
            if isinstance(value, dict):
                found |= set(value)
                left += value.values()
            elif isinstance(value, list):
                found |= {own for own in value if isinstance(own, str)}
                left += [own for own in value if isinstance(own, dict | list)]
            elif isinstance(value, str):
                found.add(value)
    return found


def without(every: Iterable[LossTerm]) -> list[str]:
    """The names of the terms that have no oracle."""
    stored = stored_names()
    return sorted(term.name for term in every if not term.traits.oracle and term.name not in stored)


def main() -> int:
    """Print each term with its oracle, and then those that have none."""
    for term in sorted(terms.values(), key=lambda one: (one.family, one.name)):
        print(f"{term.family:16} {term.name:28} {term.traits.oracle or 'numbers in tests/oracles, or none'}")
    missing = without(terms.values())
    print(
        f"{len(terms) - len(missing)} of {len(terms)} terms have an oracle"
        + f"; none: {', '.join(missing)}" * bool(missing)
    )
    return int(bool(missing))


if __name__ == "__main__":
    sys.exit(main())

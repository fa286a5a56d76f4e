"""How thorough a selection is: the full one, and smaller ones for a time budget that does not hold it."""

from __future__ import annotations

from dataclasses import dataclass

FIELDS = ((8, 3), (2, 6))
"""For each round of re-evaluation: how many of either side are kept for it, and on how many fresh draws."""


@dataclass(frozen=True)
class Effort:
    """``fields`` as in `FIELDS`, seeds and ``baselines`` of the confirmation, and whether there is an ablation."""

    fields: tuple[tuple[int, int], ...]
    seeds: int
    baselines: int
    ablation: bool

    def __str__(self) -> str:
        rounds = ", ".join(f"{2 * places} on {draws} draws" for places, draws in self.fields) or "none"
        ablation = "with" if self.ablation else "without"
        return (
            f"re-evaluation {rounds}; {self.baselines} baselines confirmed on {self.seeds} seeds; {ablation} ablation"
        )


def ladder(seeds: int, menu: int) -> tuple[Effort, ...]:
    """Selections from the full one to the least: the plain and the best baseline against the best searched."""
    some, few = min(seeds, 3), min(menu, 3)
    steps = (
        Effort(FIELDS, seeds, menu, True),
        Effort(((8, 3), (2, 4)), seeds, menu, True),
        Effort(((6, 3), (2, 3)), min(seeds, 4), menu, True),
        Effort(((6, 2), (2, 2)), min(seeds, 4), menu, True),
        Effort(((4, 2), (2, 2)), some, menu, True),
        Effort(((4, 2), (2, 2)), some, few, True),
        Effort(((4, 2),), some, few, False),
        Effort(((2, 2),), 2, few, False),
        Effort((), 2, min(menu, 2), False),
    )
    return tuple(dict.fromkeys(steps))

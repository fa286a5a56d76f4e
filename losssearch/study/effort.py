"""How thorough a selection is: the full one, and smaller ones for a time budget that does not hold it."""

from __future__ import annotations

from dataclasses import dataclass

FIELDS = ((8, 5), (4, 10))
"""For each round of re-evaluation: how many of either side are kept, without the incumbent, and the fresh draws."""

BASELINES, SEARCHED = 4, 2
"""Losses of either side that are confirmed at most: plain, incumbent and the best two others; the best two searched."""


@dataclass(frozen=True)
class Effort:
    """``fields`` as in `FIELDS`, seeds and losses of the confirmation, and whether there is an ablation."""

    fields: tuple[tuple[int, int], ...]
    seeds: int
    baselines: int
    searched: int
    ablation: bool

    def __str__(self) -> str:
        rounds = ", ".join(f"{2 * places + 1} on {draws} draws" for places, draws in self.fields) or "none"
        ablation = "with" if self.ablation else "without"
        return (
            f"re-evaluation {rounds}; {self.baselines} baselines and {self.searched} searched confirmed on "
            f"{self.seeds} seeds; {ablation} ablation"
        )


def ladder(seeds: int, menu: int) -> tuple[Effort, ...]:
    """Selections from the full one to the least: the plain and the best baseline against the best searched."""
    some = min(seeds, 3)
    all_four, three, two = min(menu, BASELINES), min(menu, 3), min(menu, 2)
    steps = (
        Effort(FIELDS, seeds, all_four, SEARCHED, True),
        Effort(((8, 4), (3, 8)), seeds, all_four, SEARCHED, True),
        Effort(((6, 4), (2, 6)), seeds, all_four, SEARCHED, True),
        Effort(((6, 3), (2, 4)), seeds, all_four, SEARCHED, True),
        Effort(((6, 3), (2, 3)), min(seeds, 4), all_four, SEARCHED, True),
        Effort(((5, 3), (2, 3)), min(seeds, 4), three, SEARCHED, True),
        Effort(((4, 2), (2, 3)), some, three, 1, True),
        Effort(((3, 2), (1, 3)), some, three, 1, True),
        Effort(((2, 4),), some, three, 1, False),
        Effort(((2, 2),), some, two, 1, False),
        Effort((), some, two, 1, False),
    )
    return tuple(dict.fromkeys(steps))

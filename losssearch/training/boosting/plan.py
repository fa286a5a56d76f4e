"""The training plan of boosted trees, in the words of the plan that all models share."""

from __future__ import annotations

from losssearch.training.plan import TrainingPlan

BOOSTED_RATES = (0.05, 0.1, 0.3)
"""Learning rates (shrinkage) that each candidate and each baseline is grown with; the best on validation counts."""

ROUNDS = 10
"""Rounds that count as one epoch: after so many the metric is measured on validation."""

EPOCHS = 24
"""Epochs by default: 240 rounds."""


def boosted_plan(rows: int, epochs: int | None = None) -> TrainingPlan:
    """A plan of ``epochs`` times `ROUNDS` rounds on all ``rows`` at once, with two rungs.

    Weight decay and clipping do not apply to trees; their own regularisation is that of the library.
    """
    count = epochs or EPOCHS
    rungs = tuple(sorted({max(1, count // 3), max(1, 2 * count // 3)})) if count >= 6 else ()
    return TrainingPlan(
        epochs=count, batch_size=max(1, rows), rungs=rungs, patience=max(4, count // 6), weight_decay=0.0
    )

"""The training plan of boosted trees, expressed as the plan that all models share."""

from __future__ import annotations

from losssearch.training.plan import TrainingPlan

BOOSTED_RATES = (0.05, 0.1, 0.3)
"""Learning rates (shrinkage) that each candidate and each baseline is grown with; the best on validation counts."""

ROUNDS = 10
"""Rounds that count as one epoch, after which the metric is computed on validation."""

EPOCHS = 32
"""Epochs by default: 320 rounds. Most trainings stop by patience before that, so the last ones cost little."""

JUDGED = 24
"""Epochs that rungs and patience are shares of by default."""


def boosted_plan(rows: int, epochs: int | None = None) -> TrainingPlan:
    """A plan of ``epochs`` times `ROUNDS` rounds on all ``rows`` at once, with two rungs.

    Weight decay and clipping do not apply to trees; their own regularisation is that of the library.
    """
    count, judged = (epochs, epochs) if epochs else (EPOCHS, JUDGED)
    rungs = tuple(sorted({max(1, judged // 3), max(1, 2 * judged // 3)})) if judged >= 6 else ()
    return TrainingPlan(
        epochs=count, batch_size=max(1, rows), rungs=rungs, patience=max(4, judged // 6), weight_decay=0.0
    )

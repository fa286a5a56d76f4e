"""Images with a watermark that goes with the class in training, and says nothing in the outer test part.

The watermark is a bright square in a corner. Who has it is known, and is the group. So each class has a usual group and
an unusual one, and a model that goes by the watermark is wrong in the unusual cell of class and group.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.quality.scenarios import Scenario, SkippedScenarioError
from benchmarks.quality.tables import Table

SIDE = 2
"""Pixels of the square's side, after pooling."""


def marked(table: Table, share: float, seed: int) -> tuple[Table, NDArray[Any]]:
    """The images with their watermarks, and who has one: ``share`` of the rows of the classes of even number, and as
    many of the others have none.

    Raises `SkippedScenarioError` where the features are no square images.
    """
    images = np.array(table.features, dtype=np.float32)
    side = round(images.shape[1] ** 0.5)
    if side * side != images.shape[1]:
        raise SkippedScenarioError(f"a watermark needs square images, got {images.shape[1]} features")
    classes = np.unique(table.target.to_numpy(), return_inverse=True)[1]
    usual = np.random.default_rng([seed, 19]).random(len(images)) < share
    has = usual == (classes % 2 == 0)
    corner = (np.arange(SIDE)[:, None] * side + np.arange(SIDE)).reshape(-1)
    images[np.ix_(has, corner)] = 1.0
    return replace(table, features=images), np.where(has, "marked", "bare")


def mark_parts(scenario: Scenario, given: Table, judged: Table, repeat: int) -> tuple[Table, Table, NDArray[Any]]:
    """The outer training part, where the mark goes with the class, the test part, where it does not, and all groups."""
    given, first = marked(given, scenario.watermark, repeat)
    judged, second = marked(judged, 0.5, repeat)
    return given, judged, np.concatenate([first, second])

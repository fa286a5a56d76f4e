"""Trees grown by LightGBM."""

from __future__ import annotations

from typing import Any

import lightgbm as lgb
import numpy as np

from losssearch.training.boosting.forest import Floats, Slopes

PARAMETERS: dict[str, Any] = {
    "objective": "none",
    "verbosity": -1,
    # One thread and a fixed order of sums: the same trees, whatever else is running.
    "num_threads": 1,
    "deterministic": True,
    "force_row_wise": True,
}
"""All else is as LightGBM has it."""


class LightGBMForest:
    """See `losssearch.training.boosting.forest.Forest`."""

    def __init__(self, booster: lgb.Booster) -> None:
        self._booster = booster

    @property
    def rounds(self) -> int:
        """See `Forest.rounds`."""
        return int(self._booster.current_iteration())

    def grow(self, slopes: Slopes) -> None:
        """See `Forest.grow`."""
        self._booster.update(fobj=lambda scores, _: slopes(scores))

    def predict(self, features: Floats, first: int, last: int) -> Floats:
        """See `Forest.predict`."""
        found = self._booster.predict(features, start_iteration=first, num_iteration=last - first, raw_score=True)
        return np.asarray(found)


class LightGBMSoil:
    """See `losssearch.training.boosting.forest.Soil`."""

    def __init__(self, features: Floats, start: Floats, classes: int, seed: int) -> None:
        self._parameters = PARAMETERS | {"seed": seed % (1 << 31)}
        if classes > 2:
            self._parameters["num_class"] = classes
        scores = np.broadcast_to(start, (len(features), *start.shape)).astype(np.float64)
        data = lgb.Dataset(features, label=np.zeros(len(features)), init_score=scores, params=self._parameters)
        self._data = data.construct()

    def forest(self, rate: float) -> LightGBMForest:
        """See `Soil.forest`."""
        return LightGBMForest(lgb.Booster(self._parameters | {"learning_rate": rate}, self._data))


new_soil = LightGBMSoil

"""Trees grown by XGBoost."""

from __future__ import annotations

from typing import Any

import numpy as np
import xgboost as xgb

from losssearch.training.boosting.forest import Floats, Slopes

PARAMETERS: dict[str, Any] = {
    "tree_method": "hist",
    "verbosity": 0,
    "nthread": 1,
    "base_score": 0.0,
}
"""All else is as XGBoost has it."""


class XGBoostForest:
    """See `losssearch.training.boosting.forest.Forest`."""

    def __init__(self, booster: xgb.Booster, data: xgb.DMatrix) -> None:
        self._booster, self._data = booster, data

    @property
    def rounds(self) -> int:
        """See `Forest.rounds`."""
        return int(self._booster.num_boosted_rounds())

    def grow(self, slopes: Slopes) -> None:
        """See `Forest.grow`."""
        slope, curve = slopes(self._booster.predict(self._data, output_margin=True, training=True))
        self._booster.boost(self._data, iteration=self.rounds, grad=slope, hess=curve)

    def predict(self, features: Floats, first: int, last: int) -> Floats:
        """See `Forest.predict`."""
        if first == last:  # to XGBoost an empty range means all rounds
            return np.zeros(1)
        rows = xgb.DMatrix(features, nthread=1)
        return np.asarray(self._booster.predict(rows, output_margin=True, iteration_range=(first, last)))


class XGBoostSoil:
    """See `losssearch.training.boosting.forest.Soil`."""

    def __init__(self, features: Floats, start: Floats, classes: int, seed: int) -> None:
        self._parameters = PARAMETERS | {"seed": seed % (1 << 31)}
        if classes > 2:
            self._parameters |= {"objective": "multi:softprob", "num_class": classes}
        scores = np.broadcast_to(start, (len(features), *start.shape)).astype(np.float32)
        self._data = xgb.DMatrix(features, base_margin=scores, nthread=1)

    def forest(self, rate: float) -> XGBoostForest:
        """See `Soil.forest`."""
        return XGBoostForest(xgb.Booster(self._parameters | {"eta": rate}, [self._data]), self._data)


new_soil = XGBoostSoil

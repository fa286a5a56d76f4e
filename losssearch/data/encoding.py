"""Features as the numbers that a network reads, by statistics of the training rows alone."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder

from losssearch.data.documents import Documents
from losssearch.data.normal_scores import NormalScores
from losssearch.data.schema import Schema

MOST_CATEGORIES = 30
"""Beyond this number, the rarest categories of a column share one indicator."""

Features: TypeAlias = pd.DataFrame | NDArray[np.float32] | Documents
"""Features as given: a table, numbers ``[rows, columns]``, or the documents of queries, where a query is a row."""

_QUANTILE_ROWS = 10_000
_PIXEL_SCALE = 1e-3


class Encoder:
    """Encodes rows; what it knows of their distribution comes from the rows that it was fitted on.

    Tables: numbers and dates (year, month, weekday, day count) become normal scores with the median for a
    missing value; booleans 0 or 1; categories one indicator each; and each column that lacks values anywhere
    gets an indicator of that. Images: pixels are centred and scaled by one mean and one deviation. Documents of
    queries: as the rows of a table, put side by side.
    """

    def __init__(self, schema: Schema) -> None:
        """Prepare for rows of this schema; `fit` must come before `transform`."""
        self.schema = schema
        self._columns: ColumnTransformer | None = None
        self._centre, self._scale = 0.0, 1.0

    def fit(self, features: Features) -> Encoder:
        """Learn medians, quantiles and categories of these rows; return itself."""
        if isinstance(features, Documents):
            return self.fit(features.listed())
        if self.schema.shape:
            pixels = np.asarray(features)
            self._centre = float(np.nanmean(pixels, dtype=np.float64))
            self._scale = max(float(np.nanstd(pixels, dtype=np.float64)), _PIXEL_SCALE)
        else:
            self._columns = _column_transformer(self.schema, len(features)).fit(features)
        return self

    def transform(self, features: Features) -> NDArray[np.float32]:
        """Encode rows as float32 [rows, width], finite whatever the rows hold."""
        if isinstance(features, Documents):
            return features.spread(self.transform(features.listed()))
        if self._columns is None:
            pixels = (np.asarray(features, dtype=np.float32) - np.float32(self._centre)) / np.float32(self._scale)
            return np.where(np.isfinite(pixels), pixels, np.float32(0))
        return np.asarray(self._columns.transform(features), dtype=np.float32)


def rows_of(features: Features, rows: NDArray[np.int64]) -> Features:
    """The rows of these numbers."""
    if isinstance(features, Documents):
        return features.at(rows)
    return features.iloc[rows] if isinstance(features, pd.DataFrame) else features[rows]


def calendar_parts(dates: pd.DataFrame | NDArray[Any]) -> NDArray[np.float64]:
    """Year, month, day of week and days since 1970 of each date column [rows, 4 x columns]; NaN for NaT."""
    parts = []
    frame = pd.DataFrame(dates)
    for column in map(frame.__getitem__, frame.columns):
        days = (column - pd.Timestamp("1970-01-01")) / pd.Timedelta(days=1)
        parts += [column.dt.year, column.dt.month, column.dt.day_of_week, days]
    return np.column_stack([np.asarray(part, dtype=np.float64) for part in parts])


def gaps(columns: pd.DataFrame | NDArray[Any]) -> NDArray[np.float64]:
    """1 where a value is missing, else 0, of the shape of ``columns``."""
    return pd.DataFrame(columns).isna().to_numpy(dtype=np.float64)


def _column_transformer(schema: Schema, rows: int) -> ColumnTransformer:
    lacking = schema.positions("numeric", "boolean", "date", missing_only=True)
    dates = make_pipeline(FunctionTransformer(calendar_parts), _normal_scores(rows))
    return ColumnTransformer(
        [
            ("numeric", _normal_scores(rows), schema.positions("numeric")),
            ("boolean", SimpleImputer(strategy="most_frequent", keep_empty_features=True), schema.positions("boolean")),
            ("date", dates, schema.positions("date")),
            ("categorical", _indicators(rows), schema.positions("categorical")),
            # All columns that lack values in the dataset: draws of its rows then have one width.
            ("missing", FunctionTransformer(gaps), lacking),
        ],
        sparse_threshold=0,
    )


def _normal_scores(rows: int) -> Any:
    # Normal scores lie within 5.2, however long a column's tail. With an MLP of two layers on six public
    # tables they ranked above clipped standard scores, scaling by quartiles and Yeo-Johnson.
    return make_pipeline(
        SimpleImputer(strategy="median", keep_empty_features=True),
        NormalScores(quantiles=min(rows, 1000), most_rows=_QUANTILE_ROWS),
    )


def _indicators(rows: int) -> OneHotEncoder:
    return OneHotEncoder(
        handle_unknown="infrequent_if_exist",
        min_frequency=10 if rows >= 1000 else 2,
        max_categories=MOST_CATEGORIES,
        sparse_output=False,
        dtype=np.float32,
    )

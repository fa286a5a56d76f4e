"""The fingerprint of a dataset: the same in every run, another where the content differs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

if TYPE_CHECKING:
    from losssearch.data.given_splits import GivenSplit
    from losssearch.data.groups import Grouping
    from losssearch.data.schema import Schema
    from losssearch.data.targets import Target


def fingerprint_of(
    features: pd.DataFrame | NDArray[np.float32],
    schema: Schema,
    goal: Target,
    grouping: Grouping | None,
    split: GivenSplit | None,
    weight: NDArray[np.float64] | None,
    fields: Mapping[str, NDArray[np.float64]],
) -> str:
    """Sixteen hexadecimal digits of all that a study is given."""
    header = [[column.name, column.kind] for column in schema.columns], schema.shape, goal.classes, goal.task
    digest = hashlib.sha256(json.dumps(header).encode())
    if isinstance(features, pd.DataFrame):
        for name in features.columns:
            hashes = pd.util.hash_pandas_object(features[name], index=False).to_numpy()
            digest.update(hashes.astype("<u8").tobytes())
    else:
        digest.update(np.ascontiguousarray(features).astype("<f4").tobytes())
    digest.update(goal.values.astype("<f8").tobytes())
    if grouping is not None:
        digest.update(json.dumps(grouping.names).encode() + grouping.ids.astype("<i8").tobytes())
        if grouping.attribute is not None:
            digest.update(grouping.attribute.values.astype("<f4").tobytes())
    if split is not None:
        digest.update(split.digest())
    if weight is not None:
        digest.update(b"weight" + weight.astype("<f8").tobytes())
    for name, values in fields.items():
        digest.update(name.encode() + values.astype("<f8").tobytes())
    return digest.hexdigest()[:16]

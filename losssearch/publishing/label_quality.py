"""``label_quality.parquet``: how likely the label of each row is wrong that a study searched on.

It is made of the data and lies in the study's folder alone: nothing of single rows reaches a store or a tracker.
"""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from losssearch.data import Dataset
from losssearch.data.quality.suspicion import label_quality
from losssearch.export.writing import write_whole
from losssearch.study.context import Context
from losssearch.study.study_context import StudyContext

LABEL_QUALITY = "label_quality.parquet"


def judges_labels(context: StudyContext) -> bool:
    """Whether the study has labels to judge, and rows with numbers that a user knows them by."""
    return isinstance(context, Context) and bool(context.dataset.classes) and context.dataset.places is not None


def write_label_quality(context: StudyContext, out: Path) -> None:
    """Write the file, unless it is there: the same data and seed give the same.

    A line for each row that the study searched on: ``row``, its number in the data as given, from 0; ``label``;
    ``suggested``, the most probable class; ``wrong``, the probability that the label is wrong; ``loss``, minus the
    logarithm of the probability that was predicted of the label without it. No features.
    """
    if judges_labels(context) and not (out / LABEL_QUALITY).is_file():
        assert isinstance(context, Context)  # noqa: S101  (it has labels)
        write_whole(out / LABEL_QUALITY, _content(context.dataset, context.partition.search))


def _content(dataset: Dataset, rows: NDArray[np.int64]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    assert dataset.places is not None  # noqa: S101  (the caller looked)
    found = label_quality(dataset, rows)
    names, judged = np.array([*dataset.classes, None], dtype=object), np.isfinite(found.wrong)
    table = pa.table(
        {
            "row": pa.array(dataset.places[rows]),
            "label": pa.array(names[dataset.target[rows]], pa.string()),
            "suggested": pa.array(names[found.suggested], pa.string()),
            "wrong": pa.array(found.wrong.astype(np.float32), mask=~judged),
            "loss": pa.array(found.loss.astype(np.float32), mask=~judged),
        }
    )
    file = BytesIO()
    pq.write_table(table, file)
    return file.getvalue()

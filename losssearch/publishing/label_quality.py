"""``label_quality.parquet``: how likely the label of each row is wrong that a study searched on.

It is made of the data, and of what the recommended loss has kept for each row; it lies in the study's folder alone:
nothing of single rows reaches a store or a tracker.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from losssearch.data import Dataset
from losssearch.data.quality.suspicion import label_quality
from losssearch.errors import DataError
from losssearch.export.writing import write_whole
from losssearch.study.context import Context
from losssearch.study.selecting.row_memory import RowMemory
from losssearch.study.study_context import StudyContext

if TYPE_CHECKING:
    import pyarrow as pa

LABEL_QUALITY = "label_quality.parquet"
_OF_DATA = ["row", "label", "suggested", "wrong", "loss"]
"""Columns that follow from data and seed alone."""

_OF_TRIAL = b"losssearch trial"
"""The entry of the file's metadata that names the trial whose loss kept the last columns."""


def judges_labels(context: StudyContext) -> bool:
    """Whether the study has labels to judge, and rows with numbers that a user knows them by."""
    return isinstance(context, Context) and bool(context.dataset.classes) and context.dataset.places is not None


def write_label_quality(
    context: StudyContext, out: Path, result: Mapping[str, Any], memory: Callable[[], RowMemory | None]
) -> None:
    """Write the file, unless it is there: the same data, seed and trial give the same.

    A line for each row that the study searched on: ``row``, its number in the data as given, from 0; ``label``;
    ``suggested``, the most probable class; ``wrong``, the probability that the label is wrong; ``loss``, minus the
    logarithm of the probability that was predicted of the label without it. Where the recommended loss keeps something
    for each training row, which ``memory`` gives: ``kept``, its target, a share per class in the order of the classes,
    and ``running_loss``; missing otherwise, and for rows that no final training had. No features.
    """
    if not judges_labels(context):
        return
    assert isinstance(context, Context)  # noqa: S101  (it has labels)
    trial, place = str(result["best"].get("trial")).encode(), out / LABEL_QUALITY
    known = _known(place)
    if known is not None and (known.schema.metadata or {}).get(_OF_TRIAL) == trial:
        return
    rows = context.partition.search
    made = _of_data(context.dataset, rows) if known is None else known.select(_OF_DATA)
    made = _with_memory(made, memory()).replace_schema_metadata({_OF_TRIAL: trial})
    write_whole(place, _content(made))


def _known(place: Path) -> pa.Table | None:
    """The table that is there; None where there is none that holds these columns."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not place.is_file():
        return None
    try:
        found = pq.read_table(place)
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{place} must be the file that the study wrote, got {error!r:.80}: remove it") from None
    return found if set(_OF_DATA) <= set(found.column_names) else None


def _of_data(dataset: Dataset, rows: NDArray[np.int64]) -> pa.Table:
    import pyarrow as pa

    assert dataset.places is not None  # noqa: S101  (the caller looked)
    found = label_quality(dataset, rows)
    names, judged = np.array([*dataset.classes, None], dtype=object), np.isfinite(found.wrong)
    return pa.table(
        {
            "row": pa.array(dataset.places[rows]),
            "label": pa.array(names[dataset.target[rows]], pa.string()),
            "suggested": pa.array(names[found.suggested], pa.string()),
            "wrong": pa.array(found.wrong.astype(np.float32), mask=~judged),
            "loss": pa.array(found.loss.astype(np.float32), mask=~judged),
        }
    )


def _with_memory(table: pa.Table, memory: RowMemory | None) -> pa.Table:
    import pyarrow as pa

    kept, running = pa.nulls(len(table), pa.list_(pa.float32())), pa.nulls(len(table), pa.float32())
    if memory is not None and memory.target is not None:
        rows = [own.tolist() if np.isfinite(own).all() else None for own in memory.target]
        kept = pa.array(rows, pa.list_(pa.float32()))
    if memory is not None and memory.loss is not None:
        running = pa.array(memory.loss, pa.float32(), mask=~np.isfinite(memory.loss))
    return table.append_column("kept", kept).append_column("running_loss", running)


def _content(table: pa.Table) -> bytes:
    import pyarrow.parquet as pq

    file = BytesIO()
    pq.write_table(table, file)
    return file.getvalue()

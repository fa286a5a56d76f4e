"""The report of a finished study, made anew from its store and its result."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from losssearch.errors import DataError
from losssearch.export.reading import read_bundle
from losssearch.report.figures import write_figures
from losssearch.report.html import write_report
from losssearch.storage.sql import SqlStore


def remake_report(
    out: Path, result: Mapping[str, Any], file: Path | None = None, *, storage: str | None = None
) -> Path:
    """Write the report of the study in ``out`` to ``file``, by default where the study wrote it; return the place.

    ``storage`` is the URL of its store, where that is not a file in ``out``. Nothing is trained, and no data read.

    Raises:
        DataError: the folder lacks its store or its bundle.
        UnknownNameError: the store does not hold the study.
        ConnectionLostError: the store does not answer.
    """
    if storage is None and not (out / "study.db").is_file():
        raise DataError(
            f"a report needs the trials of the study, but {out} holds no study.db: name its store, --storage"
        )
    facts = read_bundle(out / "export")
    store = SqlStore(storage or f"sqlite:///{out / 'study.db'}", create=False)
    try:
        trials = store.trials(str(result["study"]))
    finally:
        store.close()
    with tempfile.TemporaryDirectory(prefix="losssearch-figures-") as folder:
        figures = write_figures(
            folder,
            result,
            trials,
            facts.spec,
            class_prior=facts.class_prior,
            learned=facts.learned,
            zero=facts.zero,
        )
        return write_report(file or out / "report.html", result, trials, figures)

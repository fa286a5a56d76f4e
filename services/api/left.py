"""What processes that were killed left of uploads: half-written files, and datasets that wait for their content."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from services.api.service import Service
from services.changing import datasets as changing
from services.reading import datasets as reading
from services.uploads.exclusive import Exclusive

BROKEN = "the service ended while the content came: send it again"

_ID = 32


def clear_left(service: Service) -> None:
    """Remove what is left of uploads that nobody receives any more, and say so of their datasets.

    An upload that another process receives is held by its lock, and continues.
    """
    folder = service.settings.incoming
    left = {path.name[:_ID] for path in folder.iterdir() if re.match(r"[0-9a-f]{32}[-.]", path.name)}
    for dataset in sorted(left | set(service.read(reading.list_awaited))):
        alone = Exclusive(folder / f"{dataset}.lock")
        if not alone.take():
            continue
        try:
            for path in _files(folder, dataset):
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink(missing_ok=True)
            service.write(lambda c, dataset=dataset: changing.break_content(c, dataset, BROKEN))  # type: ignore[misc]
        finally:
            alone.leave()


def _files(folder: Path, dataset: str) -> Iterator[Path]:
    return folder.glob(f"{dataset}-*")

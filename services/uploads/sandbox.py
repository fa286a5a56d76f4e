"""Starts the process that converts an upload, and says what became of it."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import services
from losssearch.errors import DataError
from services.uploads.limits import Limits

GRACE, PATIENCE = 60, 5
"""Seconds of the clock, and further ones per CPU second, after which a conversion is ended, as one that waits would be:
a busy machine is no fault of the file."""

_ENVIRONMENT = {
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "LANG": "C.UTF-8",
    "MALLOC_ARENA_MAX": "2",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "PATH": os.defpath,
    "PYTHONDONTWRITEBYTECODE": "1",
}


@dataclass(frozen=True)
class Converted:
    """A table as Parquet: its ``rows`` and ``columns``, and ``schema`` as in `services.uploads.preview.preview`."""

    rows: int
    columns: int
    schema: dict[str, Any]


def convert(received: Path, suffix: str, out: Path, limits: Limits) -> Converted:
    """Convert the file ``received`` to the Parquet file ``out``, in a process that can do little else.

    Args:
        received: the uploaded content.
        suffix: its format, such as ``"csv.gz"``.
        out: where the Parquet file will be; written as a whole, or not at all.
        limits: what the table may hold, and the process may take.

    Returns:
        What the table is.

    Raises:
        DataError: the file cannot be used; the message names it ``upload.SUFFIX``.
        OSError: the disk is full.
    """
    # Named as what was received: whoever finds the one after a kill finds the other.
    with tempfile.TemporaryDirectory(prefix=f"{received.stem}-", dir=received.parent) as folder:
        file = Path(folder) / f"upload.{suffix}"
        file.symlink_to(received.resolve())
        fresh = Path(folder) / "table.parquet"
        job: dict[str, Any] = {"file": file.name, "suffix": f".{suffix}", "out": fresh.name}
        job |= {"parent": os.getpid(), "limits": asdict(limits)}
        found = _run(job, folder, limits)
        if "full" in found:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(out))
        if "problem" in found:
            raise DataError(found["problem"])
        with fresh.open("rb") as written:
            os.fsync(written.fileno())
        fresh.replace(out)
    return Converted(**found)


def _run(job: dict[str, Any], folder: str, limits: Limits) -> dict[str, Any]:
    environment = {**_ENVIRONMENT, "PYTHONPATH": str(Path(services.__file__).resolve().parent.parent)}
    patience = GRACE + PATIENCE * limits.seconds
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "services.uploads.convert"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=folder,
        env=environment,
        start_new_session=True,
        close_fds=True,
    ) as process:
        try:
            answer, _ = process.communicate(json.dumps(job).encode(), timeout=patience)
        except subprocess.TimeoutExpired:
            raise DataError(f"a conversion must end within {patience} s, this did not") from None
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    if process.returncode in (-signal.SIGXCPU, -signal.SIGKILL):
        raise DataError(f"a table must be read within {limits.seconds} s of CPU time and {limits.memory:,} bytes")
    if process.returncode not in (0, 2) or not answer:
        raise DataError("the file is not a table: the process that read it failed")
    found: dict[str, Any] = json.loads(answer)
    return found

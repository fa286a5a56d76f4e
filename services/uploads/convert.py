"""``python -m services.uploads.convert``: the process that reads an uploaded file, with little to lose.

It reads a JSON object from stdin (``parent``, ``file``, ``suffix``, ``out``, ``limits``), gives up what it does not
need, and writes one JSON object to stdout: the table's ``rows``, ``columns`` and ``schema``, the ``problem`` with the
file, or that the disk is ``full``. It ends with its parent.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import resource
import sys
from pathlib import Path
from typing import Any

from services.parent import die_with

_NEW_USER, _NEW_NET = 0x10000000, 0x40000000
_LARGEST_OUTPUT = 8_000_000_000
_OPEN_FILES = 64
_LOOKED_UP = (
    *("/lib", "/lib64", "/usr/lib", "/usr/share/zoneinfo", "/etc/ld.so.cache", "/etc/localtime"),
    *("/dev/null", "/dev/urandom", "/proc/cpuinfo", "/proc/meminfo", "/sys/devices/system/cpu"),
)
"""Files and folders that libraries read."""


def main() -> int:
    """Convert one file; 0 where that worked, 2 for a file that cannot be used."""
    job = json.load(sys.stdin)
    die_with(job["parent"])
    _confine(int(job["limits"]["memory"]), int(job["limits"]["seconds"]))
    confine_files(Path(job["file"]))
    from losssearch.errors import DataError, LossSearchError

    try:
        found = _converted(job)
    except LossSearchError as error:
        if _is_full(error) or _is_full(error.__cause__):
            return _answer({"full": True}, 2)
        lacking = isinstance(error.__cause__, MemoryError)
        return _answer({"problem": _too_large(job) if lacking else str(error)}, 2)
    except MemoryError:
        return _answer({"problem": _too_large(job)}, 2)
    except Exception as error:  # noqa: BLE001  (a falsified file makes readers raise anything)
        if _is_full(error):
            return _answer({"full": True}, 2)
        return _answer({"problem": str(DataError(f"the file is not a table: {' '.join(str(error).split())[:200]}"))}, 2)
    return _answer(found, 0)


def _converted(job: dict[str, Any]) -> dict[str, Any]:
    import pyarrow as pa

    from services.uploads.limits import Limits
    from services.uploads.preview import preview
    from services.uploads.tables import write_parquet

    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    path, out = Path(job["file"]), Path(job["out"])
    rows, columns, notes = write_parquet(path, job["suffix"], out, Limits(**job["limits"]))
    schema = preview(out, len(columns))
    schema["notes"] = [*notes, *schema["notes"]]
    return {"rows": rows, "columns": len(columns), "schema": schema}


def _confine(memory: int, seconds: int) -> None:
    """Limit memory, CPU time and output, and leave the network where the kernel lets an ordinary user do so."""
    for what, most in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, _LARGEST_OUTPUT),
        (resource.RLIMIT_NOFILE, _OPEN_FILES),
    ):
        hard = resource.getrlimit(what)[1]
        allowed = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(what, (allowed, allowed))
    ctypes.CDLL(None, use_errno=True).unshare(_NEW_USER | _NEW_NET)


def _is_full(error: BaseException | None) -> bool:
    """Whether writing found no room on the disk, which is no fault of the file."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def confine_files(received: Path) -> bool:
    """Let this process reach its folder, ``received`` and what Python loads, and no other file.

    Not what is open already. The data of others, the service's database and the memory of other processes are out of
    reach.

    Returns:
        Whether the kernel does that; Linux 5.13 and newer do, unless Landlock is left out.
    """
    import landlock

    ctypes.set_errno(0)  # a call that failed before would count as this one
    reads = landlock.FSAccess.READ_FILE | landlock.FSAccess.READ_DIR
    try:
        rules = landlock.Ruleset()
        rules.allow(".")
        rules.allow(received.resolve(), rules=landlock.FSAccess.READ_FILE)
        for path in _loaded_from():
            rules.allow(path, rules=reads if path.is_dir() else landlock.FSAccess.READ_FILE)
        rules.apply()
    except landlock.LandlockError:
        return False
    return True


def _loaded_from() -> list[Path]:
    """Where Python, its libraries and ours lie, and what they look up; not the repository, which may hold data."""
    import losssearch
    import services

    ours = {Path(package.__file__ or "").resolve().parent for package in (losssearch, services)}
    root = Path(services.__file__).resolve().parent.parent
    given = {Path(one).resolve() for one in (*sys.path, sys.prefix, sys.base_prefix) if one} - {root, Path.cwd()}
    return [path for path in sorted({*given, *ours, *map(Path, _LOOKED_UP)}) if path.exists()]


def _too_large(job: dict[str, Any]) -> str:
    return f"a table that is uploaded must be read within {job['limits']['memory']:,} bytes of memory; this takes more"


def _answer(found: dict[str, Any], code: int) -> int:
    sys.stdout.write(json.dumps(found, allow_nan=False))
    sys.stdout.flush()
    return code


if __name__ == "__main__":
    os._exit(main())  # at once: threads of libraries have nothing left to do

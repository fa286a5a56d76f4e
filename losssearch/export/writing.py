"""Writing files whole: a reader sees the old content or the new one, and a link in their place is never followed."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
import uuid
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from losssearch.errors import ConnectionLostError, LossSearchError, OptionError

PREFIX = ".losssearch-"
"""With it begin the names of what is not in its place yet; a killed process may leave such files."""

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""Errors of a disk without room, of a quota, and of a limit on the size of files."""

_FRESH = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def write_whole(place: Path, content: bytes, *, follow: bool = True) -> None:
    """Write ``content`` to a new file in the same folder and rename it to ``place``; a link there is replaced.

    ``follow``: whether the folder itself may be a link, as one that a user named may. Raises `OSError` if that
    cannot be done; then ``place`` is what it was.
    """
    folder = os.open(place.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW))
    fresh = f"{PREFIX}{uuid.uuid4().hex}"
    try:
        _write(os.open(fresh, _FRESH, 0o666, dir_fd=folder), content)
        os.replace(fresh, place.name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        with suppress(OSError):
            os.unlink(fresh, dir_fd=folder)
        raise
    finally:
        os.close(folder)


def replace_folder(place: Path, files: Mapping[str, bytes]) -> None:
    """Write ``files`` to a new folder next to ``place`` and rename it; the old content is restored if that fails.

    The caller has made sure that ``place`` is a folder of ours, or is not there.
    """
    place.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=PREFIX, dir=place.parent))
    old = fresh.with_name(fresh.name + "-old")
    try:
        for name, content in files.items():
            _write(os.open(fresh / name, _FRESH, 0o666), content)
        fresh.chmod(0o755)
        if place.exists():
            place.rename(old)
        try:
            fresh.rename(place)
        except OSError:
            if old.exists():
                old.rename(place)
            raise
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    shutil.rmtree(old, ignore_errors=True)


def unwritable(place: Path, error: OSError, option: str) -> LossSearchError:
    """The error for a place that a user named by ``option`` and that cannot be written, or whose disk is full."""
    cause = error.strerror or error
    if error.errno in FULL:
        return ConnectionLostError(f"{option} must be writable, {place} was not ({cause}): make room and try again")
    return OptionError(f"{option} must be one that can be made and written, but {place} cannot: {cause}")


def remove_left(folder: Path) -> None:
    """Remove what a process that was killed had not put in its place."""
    for path in folder.glob(f"{PREFIX}*"):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _write(descriptor: int, content: bytes) -> None:
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())

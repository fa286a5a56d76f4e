"""Receiving an upload: counted, timed and digested as it comes; nothing is written beyond what was announced."""

from __future__ import annotations

import asyncio
import base64
import binascii
import errno
import hashlib
import re
import shutil
import time
from collections.abc import AsyncIterator
from pathlib import Path

from losssearch.errors import LossSearchError, OptionError

SILENCE = 30.0
"""Seconds without a byte after which an upload is given up."""

SLOWEST, GRACE = 10_000, 60.0
"""Bytes per second that an upload must have on average, after this many seconds."""

KEPT_FREE = 500_000_000
"""Bytes of the disk that uploads leave free: studies need them to end well."""


class SlowError(LossSearchError):
    """The content comes too slowly."""


class LengthError(LossSearchError):
    """The content is not what was announced: another length or digest."""


class FullError(LossSearchError):
    """The disk has no room for the content."""


def read_digest(header: str) -> bytes:
    """The SHA-256 digest of a ``Content-Digest`` or ``Repr-Digest`` header, as RFC 9530 writes it.

    Raises:
        OptionError: it has none.

    Example:
        >>> read_digest("sha-256=:RBNvo1WzZ4oRRq0W9+hknpT7T8If536DEMBg9hyq/4o=:").hex()[:8]
        '44136fa3'
    """
    found = re.search(r"(?:^|,)\s*sha-256=:([A-Za-z0-9+/]{43}=):", header)
    try:
        digest = base64.b64decode(found[1], validate=True) if found else b""
    except binascii.Error:
        digest = b""
    if len(digest) != hashlib.sha256().digest_size:
        raise OptionError(f"Content-Digest must be sha-256=:BASE64: of the content, got {header[:80]!r}")
    return digest


def require_disk(folder: Path, size: int) -> None:
    """Raise `FullError` if the disk of ``folder`` has no room for ``size`` bytes, their conversion, and studies."""
    free = shutil.disk_usage(folder).free
    if free < 2 * size + KEPT_FREE:
        raise FullError(
            f"the disk must have room for twice the content, it has {free:,} bytes: ask who runs the service"
        )


async def receive(chunks: AsyncIterator[bytes], place: Path, length: int, digest: bytes | None) -> bytes:
    """Write the content to the new file ``place``, which is the caller's to remove.

    Args:
        chunks: the content as it comes.
        place: the file.
        length: how many bytes were announced.
        digest: their SHA-256 digest; None where none was announced, as by a form: ``length`` is then the most.

    Returns:
        The digest of what came.

    Raises:
        LengthError: other content came than was announced.
        SlowError: nothing came for a while, or little.
        FullError: the disk is full.
    """
    received = _Received(length, digest)
    try:
        with place.open("xb") as file:
            while (chunk := await _next(chunks)) is not None:
                received.count(chunk)
                await asyncio.to_thread(file.write, chunk)
        return received.compare()
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise FullError("the disk has no room for the content: ask who runs the service") from error
        raise


class _Received:
    """What has come so far, against what was announced."""

    def __init__(self, length: int, digest: bytes | None) -> None:
        self._length, self._digest = length, digest
        self._hasher, self._size, self._began = hashlib.sha256(), 0, time.monotonic()

    def count(self, chunk: bytes) -> None:
        self._size += len(chunk)
        if self._size > self._length:
            raise LengthError(f"the content must have the {self._length:,} bytes of Content-Length, more came")
        spent = time.monotonic() - self._began
        if spent > GRACE and self._size < SLOWEST * spent:
            raise SlowError(f"content must come with at least {SLOWEST:,} bytes per second on average")
        self._hasher.update(chunk)

    def compare(self) -> bytes:
        found = self._hasher.digest()
        if self._digest is None:
            return found
        if self._size != self._length:
            raise LengthError(
                f"the content must have the {self._length:,} bytes of Content-Length, {self._size:,} came"
            )
        if found != self._digest:
            raise LengthError("the content must have the digest that was announced: it was changed on the way")
        return found


async def _next(chunks: AsyncIterator[bytes]) -> bytes | None:
    try:
        return await asyncio.wait_for(anext(chunks), SILENCE)
    except StopAsyncIteration:
        return None
    except TimeoutError:
        raise SlowError(f"content must come, none did for {SILENCE:.0f} s") from None


def remove_left(folder: Path, older_than: float) -> None:
    """Remove what processes that were killed left in ``folder``, once it is older than this many seconds."""
    for path in folder.glob("*"):
        if time.time() - path.lstat().st_mtime < older_than:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)

"""Receiving an upload: counted, timed and digested as it comes; nothing is written beyond what was announced."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import re
import shutil
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

from losssearch.errors import LossSearchError, OptionError
from losssearch.export.writing import FULL

SILENCE = 30.0
"""Seconds without a byte after which an upload is given up."""

SLOWEST, GRACE = 10_000, 60.0
"""Bytes per second that an upload must have on average, after this many seconds."""

NO_ROOM = "the disk has no room for the content: ask who runs the service, and send it again once there is some"

KEPT_FREE = 500_000_000
"""Bytes of the disk that uploads leave free: studies need them to end well."""


DIGEST = r"(?:^|, *)sha-256=:([A-Za-z0-9+/]{43}=):"
"""What a header with a SHA-256 digest has, as RFC 9530 writes it."""


class SlowError(LossSearchError):
    """The content comes too slowly."""


class LengthError(LossSearchError):
    """The content is not what was announced: another length or digest."""


class FullError(LossSearchError):
    """The disk has no room for the content."""


@contextmanager
def told_full() -> Iterator[None]:
    """Raise `FullError` where writing finds no room on the disk."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise FullError(NO_ROOM) from error
        raise


def read_digest(header: str) -> bytes:
    """The SHA-256 digest of a ``Content-Digest`` or ``Repr-Digest`` header, as RFC 9530 writes it.

    Raises:
        OptionError: it has none.

    Example:
        >>> read_digest("sha-256=:RBNvo1WzZ4oRRq0W9+hknpT7T8If536DEMBg9hyq/4o=:").hex()[:8]
        '44136fa3'
    """
    found = re.search(DIGEST, header)
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
    with told_full():
        with place.open("xb") as file:
            while (chunk := await _next(chunks)) is not None:
                received.count(chunk)
                await asyncio.to_thread(file.write, chunk)
        return received.compare()


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

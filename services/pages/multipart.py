"""A form with one file, read as it comes: its fields first, then the file, which is never held in memory or in /tmp."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator

from fastapi import Request
from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header

from losssearch.errors import InputError

MOST = 64_000
"""Bytes of all fields together, and of their headers."""

_RULE = "an upload must be a form with its file as the last field"
_TOO_MANY = f"the fields of a form must have at most {MOST:,} bytes, they have more"


class UploadForm:
    """The fields and the file of a multipart form.

    Args:
        request: whose body it is.

    Raises:
        InputError: it is no such form.
    """

    def __init__(self, request: Request) -> None:
        kind, options = parse_options_header(request.headers.get("Content-Type", ""))
        boundary = options.get(b"boundary", b"")
        if kind != b"multipart/form-data" or not 0 < len(boundary) <= 200:
            raise InputError(_RULE)
        self.fields: dict[str, str] = {}
        self.filename = ""
        self._stream = aiter(request.stream())
        self._chunks: deque[bytes] = deque()
        self._header, self._value, self._name = b"", b"", ""
        self._content, self._seen, self._used, self._read = b"", 0, 0, 0
        self._in_file = False
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_header_field": self._header_field,
                "on_header_value": self._header_value,
                "on_header_end": self._header_end,
                "on_headers_finished": self._headers_end,
                "on_part_data": self._data,
                "on_part_end": self._end,
            },
        )

    async def read_fields(self) -> dict[str, str]:
        """The fields in front of the file."""
        while not self._seen and await self._feed():
            pass
        return self.fields

    async def content(self) -> AsyncIterator[bytes]:
        """The file, in pieces."""
        while True:
            while self._chunks:
                yield self._chunks.popleft()
            if not await self._feed():
                return

    async def _feed(self) -> bool:
        """Take up the next piece of the body; False at its end."""
        chunk = await anext(self._stream, None)
        if chunk is None:
            if self._in_file:
                raise InputError("an upload must come whole, this one was broken off: send it again")
            return False
        try:
            self._parser.write(chunk)
        except MultipartParseError:
            raise InputError(_RULE) from None
        self._read += len(chunk)
        if not self._seen and self._read > MOST:  # parts without a byte are not counted, and take time as well
            raise InputError(_TOO_MANY)
        return True

    def _begin(self) -> None:
        self._header, self._value, self._name, self._content = b"", b"", "", b""

    def _count(self, size: int) -> None:
        self._used += size
        if self._used > MOST:
            raise InputError(_TOO_MANY)

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._count(end - start)
        self._header += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._count(end - start)
        self._value += data[start:end]

    def _header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            _, options = parse_options_header(self._value)
            self._name = options.get(b"name", b"").decode(errors="replace")
            if b"filename" in options:
                if self._seen:
                    raise InputError(_RULE)
                self._in_file, self._seen = True, 1
                self.filename = options[b"filename"].decode(errors="replace")
        self._header, self._value = b"", b""

    def _headers_end(self) -> None:
        if self._seen and not self._in_file:
            raise InputError(_RULE)

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._in_file:
            self._chunks.append(data[start:end])
        else:
            self._count(end - start)
            self._content += data[start:end]

    def _end(self) -> None:
        if not self._in_file:
            self.fields[self._name] = self._content.decode(errors="replace")
        self._in_file = False

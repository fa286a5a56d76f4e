"""Output whose reader goes away, as in ``losssearch terms | head``: the rest is dropped, and no command fails of it.

The command ends as it would have, with its own exit code: what a search found is in its folder all the same.
"""

from __future__ import annotations

import io
import os
import stat
import sys
from typing import TextIO


class _Pipe(io.FileIO):
    """A file descriptor that takes everything once nobody reads it any more."""

    def write(self, data: object, /) -> int:
        try:
            return super().write(data)  # type: ignore[arg-type]
        except BrokenPipeError:
            return memoryview(data).nbytes  # type: ignore[arg-type]


def let_readers_go() -> None:
    """Give stdout and stderr this behaviour where they are pipes; output that was closed before is dropped as well."""
    for name in ("stdout", "stderr"):
        stream: TextIO | None = getattr(sys, name)
        if stream is None:  # closed by the shell, as in `>&-`
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115  (for as long as the process is)
        elif isinstance(stream, io.TextIOWrapper) and _is_pipe(stream):
            stream.flush()
            raw = _Pipe(stream.fileno(), "w", closefd=False)
            own = io.TextIOWrapper(
                io.BufferedWriter(raw),
                encoding=stream.encoding,
                errors=stream.errors,
                line_buffering=name == "stderr" or stream.line_buffering,
            )
            setattr(sys, name, own)


def _is_pipe(stream: TextIO) -> bool:
    try:
        mode = os.fstat(stream.fileno()).st_mode
    except (OSError, ValueError):
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)

"""The memory that data may take, and what is said of a file that would take more."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from losssearch.errors import DataError
from losssearch.option_names import option

SHARE = 0.25
"""Share of the machine's memory that data may take, with their encoded draws."""


@dataclass(frozen=True)
class Room:
    """``limit``: bytes that reading may take, as the user set it, or as the machine allows.

    A file is measured before it is unpacked, and read only where it fits: what a compressed file says of its size may
    be a lie, so that bytes are counted as they come.
    """

    limit: int

    @classmethod
    def of(cls, limit: int | None = None) -> Room:
        """Room for ``limit`` bytes; `SHARE` of the memory by default."""
        return cls(int(SHARE * memory()) if limit is None else limit)

    def require(self, needed: float, where: object, advice: str = "") -> None:
        """Raise `DataError` if ``needed`` bytes, or more than that, do not fit."""
        if needed > self.limit:
            self.refuse(needed, where, advice)

    def refuse(self, needed: float, where: object, advice: str = "") -> NoReturn:
        """Raise the `DataError` of a file that needs at least ``needed`` bytes."""
        raise DataError(
            f"data may take {in_units(self.limit)} of memory; reading {where} would take {in_units(needed)} or more: "
            f"raise {option('data_memory')} if the file is what you take it for{advice}"
        )


def memory() -> int:
    """Bytes of memory that this process may use: the machine's, or its control group's where that is less."""
    limits = []
    for file, scale in (("/proc/meminfo", 1024), ("/sys/fs/cgroup/memory.max", 1)):
        try:
            words = Path(file).read_text(encoding="ascii").split()
            limits.append(int(words[1] if scale > 1 else words[0]) * scale)
        except (OSError, ValueError, IndexError):  # not Linux, or no limit
            continue
    return min(limits, default=8 << 30)


def in_units(size: float) -> str:
    """Bytes as people read them."""
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} GB"

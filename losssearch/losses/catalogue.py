"""Records by name, some of which are also known by a former name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeVar

T = TypeVar("T")


class Catalogue(Mapping[str, T]):
    """The records of ``own`` by name. One that is looked up by its name in ``former`` is found; that is not listed."""

    def __init__(self, own: Mapping[str, T], former: Mapping[str, T]) -> None:
        self._own, self._former = own, former

    def __getitem__(self, name: str) -> T:
        return self._own[name] if name in self._own else self._former[name]

    def __contains__(self, name: object) -> bool:
        return name in self._own or name in self._former

    def __iter__(self) -> Iterator[str]:
        return iter(self._own)

    def __len__(self) -> int:
        return len(self._own)

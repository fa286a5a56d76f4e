"""Seals on the JSON in a store, which detect rows that were written or changed by something else.

A seal is a digest of the content and of what names its row. It guards against accidents and edits, not against somebody
who makes a seal of their own. Rows of older versions have none.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from losssearch.redaction import redacted
from losssearch.storage import codec

SEAL = "$seal"


def sealed(value: Mapping[str, Any], *names: object) -> dict[str, Any]:
    """The content of a row, without secrets and with its seal; ``names`` are what its columns say of it."""
    content = redacted(dict(value))
    return {**content, SEAL: _digest(content, names)}


def unsealed(found: Any, *names: object, must: bool = False) -> dict[str, Any]:
    """The content again; raise `ValueError` if it is not what was sealed, or has no seal though it ``must``."""
    if not isinstance(found, dict):
        raise TypeError(f"{names[0]} must be a JSON object, found {found!r:.40}")
    content = {key: value for key, value in found.items() if key != SEAL}
    if SEAL not in found:
        if must:
            raise ValueError(f"{' '.join(map(str, names[:3]))} has no seal: something else than losssearch wrote it")
    elif found[SEAL] != _digest(content, names):
        raise ValueError(f"{' '.join(map(str, names[:3]))} was changed by something else than losssearch")
    return content


def is_sealed(found: Any) -> bool:
    """Whether a row was written by a version that seals."""
    return isinstance(found, dict) and SEAL in found


def _digest(content: Mapping[str, Any], names: tuple[object, ...]) -> str:
    return hashlib.blake2b(codec.dumps([*names, content]).encode("ascii"), digest_size=8).hexdigest()

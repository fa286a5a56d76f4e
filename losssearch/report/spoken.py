"""The verdict's sentence, split into what to do and why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_HEADLINE = 120
"""Characters that a headline may have."""


def spoken(result: Mapping[str, Any]) -> tuple[str, str]:
    """What a ``result.json`` advises (``"Use the searched loss, …"``), and the evidence for it as a sentence."""
    verdict = result.get("verdict") or {}
    head, colon, rest = str(verdict.get("text", "")).partition(": ")
    if colon and len(head) <= _HEADLINE:
        return head, rest[:1].upper() + rest[1:]
    if verdict.get("recommended") == "searched":
        return "Use the searched loss", head + rest
    return f"Use the baseline {verdict.get('against') or result['best'].get('name', '')}", head + rest

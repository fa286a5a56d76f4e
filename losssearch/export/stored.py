"""How an exported loss reads its weights file; this text is part of such a loss."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import Tensor


def stored(file: Path) -> dict[str, Tensor]:
    """The float32 tensors of a safetensors file, by name."""
    raw = bytearray(file.read_bytes())
    start = 8 + int.from_bytes(raw[:8], "little")
    found = {}
    for name, entry in json.loads(raw[8:start].decode()).items():
        if name != "__metadata__":
            first, last = entry["data_offsets"]
            flat = torch.frombuffer(raw, dtype=torch.float32, count=(last - first) // 4, offset=start + first)
            found[name] = flat.reshape(entry["shape"]).clone()
    return found

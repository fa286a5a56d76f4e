"""The resources of each worker of a cluster: cores, GPUs, memory."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from losssearch.errors import OptionError, shown
from losssearch.option_names import option

UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


@dataclass(frozen=True)
class WorkerResources:
    """What Ray keeps free for one worker.

    ``cpus`` above zero; ``gpus`` a fraction of one, or a whole number; ``memory`` in bytes, ``None`` for no
    reservation. Ray counts these and enforces none of them: a population trains on one thread whatever
    ``cpus`` says, and additional cores are for other work of a user's model.

    Raises `OptionError` for a number out of range.
    """

    cpus: float = 1.0
    gpus: float = 0.0
    memory: int | None = None

    def __post_init__(self) -> None:
        if not (math.isfinite(self.cpus) and self.cpus > 0):
            raise OptionError(f"cores per worker must be finite and above 0, got {self.cpus}")
        if not (math.isfinite(self.gpus) and self.gpus >= 0) or (self.gpus > 1 and self.gpus % 1):
            raise OptionError(f"GPUs per worker must be a share in [0, 1] or a whole number, got {self.gpus}")
        if self.memory is not None and self.memory <= 0:
            raise OptionError(f"memory per worker must be above 0 bytes, got {self.memory}")

    def share(self, device: str, workers: int) -> float:
        """The part of a CUDA device, or of a machine's memory, that each of ``workers`` may fill."""
        if device == "cuda" and self.gpus:
            return min(1.0, self.gpus)
        return 1 / max(1, workers)

    def options(self) -> dict[str, Any]:
        """As ``ray.remote`` takes them."""
        reserved = {} if self.memory is None else {"memory": self.memory}
        return {"num_cpus": self.cpus, "num_gpus": self.gpus, **reserved}

    def __str__(self) -> str:
        parts = [f"{self.cpus:g} CPU", *([f"{self.gpus:g} GPU"] if self.gpus else [])]
        return ", ".join([*parts, *([f"{self.memory / UNITS['G']:.1f} GiB"] if self.memory else [])])


ROOM = 0.9
"""Of a worker's share of a CUDA device, what its tensors may fill; the rest is for CUDA's own state of the process."""

LEAST = 1 << 30
"""Bytes of a CUDA device that a worker needs: CUDA's own state takes half of it."""


def device_share(workers: int) -> float:
    """The share of the CUDA devices that each worker gets, spread over them evenly.

    Raises `OptionError` if that is less than `LEAST`.
    """
    import torch

    sizes = [torch.cuda.get_device_properties(index).total_memory for index in range(torch.cuda.device_count())]
    on_each = -(-workers // max(1, len(sizes)))
    if sizes and on_each * LEAST > min(sizes):
        raise OptionError(
            f"{option('workers', workers)} leaves each worker {min(sizes) / on_each / UNITS['G']:.2f} GiB of a "
            f"CUDA device, and "
            f"it needs {LEAST / UNITS['G']:.0f}: ask for {len(sizes) * max(1, min(sizes) // LEAST)} at most, or say "
            f"{option('gpus_per_worker')}"
        )
    # Rounded down: Ray keeps four decimals, and shares must not add up to more than one.
    return math.floor(10_000 / on_each) / 10_000


def keep_to_share(share: float, device: str) -> None:
    """Limit this process to its share of its CUDA device."""
    if device == "cuda" and share < 1:
        import torch

        torch.cuda.set_per_process_memory_fraction(ROOM * share)


DECLARED = ("num_cpus", "num_gpus", "memory")
"""What may be declared, named as Ray names it: cores, GPUs, and memory in bytes or as a text such as ``"2G"``."""


def declared_resources(asked: Mapping[str, float | str] | None, function: object) -> dict[str, float | None]:
    """What each name of `DECLARED` is: as ``asked``, else as an attribute of a user's ``function`` says, else None.

    ``function`` is a model factory or a training function. Raises `OptionError` for another name, or for a value that
    is no number.
    """
    asked = asked or {}
    if unknown := sorted(set(map(str, asked)) - set(DECLARED)):
        raise OptionError(f"resources are {', '.join(DECLARED)}; got {shown(unknown)}")
    found: dict[str, float | None] = {}
    for name in DECLARED:
        value = asked.get(name, getattr(function, name, None))
        if name == "memory" and isinstance(value, str):
            value = parse_memory(value)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise OptionError(f"{name} of a worker's resources must be a number, got {shown(value)}")
        found[name] = value
    return found


def worker_resources(
    model: object, *, cpus: float | None = None, gpus: float | None = None, memory: int | None = None
) -> WorkerResources:
    """What a worker needs: as asked, else as the model's factory or the training function declares, else one core.

    ``model`` is that factory or function, or what `declared_resources` gave.

    Raises `OptionError` for a value that is no number or out of range.
    """
    declared = dict(model) if isinstance(model, Mapping) else declared_resources(None, model)
    chosen = {"cpus": (cpus, "num_cpus"), "gpus": (gpus, "num_gpus"), "memory": (memory, "memory")}
    asked = {name: declared[attribute] if value is None else value for name, (value, attribute) in chosen.items()}
    reserved = asked["memory"]
    if reserved is not None and not 0 < reserved < 1 << 63:
        raise OptionError(f"memory per worker must be above 0 bytes, got {shown(reserved)}")
    return WorkerResources(
        cpus=1.0 if asked["cpus"] is None else float(asked["cpus"]),
        gpus=float(asked["gpus"] or 0.0),
        memory=None if reserved is None else int(reserved),
    )


def parse_memory(text: str) -> int:
    """Bytes of ``"500M"``, ``"2G"``, ``"1.5GiB"`` or a plain number; units are powers of 1,024.

    Raises `OptionError` for any other text.
    """
    found = re.fullmatch(r"(\d{1,15}(?:\.\d{1,9})?)\s*([KMGT]?)(?:i?B)?", text.strip(), re.IGNORECASE)
    size = int(float(found[1]) * UNITS[found[2].upper()]) if found else 0
    if size <= 0:
        raise OptionError(f"memory must be a size such as 500M, 2G or 1.5GiB, got {text!r:.80}")
    return size

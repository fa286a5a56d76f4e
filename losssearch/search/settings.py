"""What a study is asked to do: every option of ``losssearch search`` that is not about its surroundings."""

from __future__ import annotations

import hashlib
import math
import re
from dataclasses import asdict, dataclass, field
from typing import Any

from losssearch.errors import OptionError
from losssearch.training.plan import TrainingPlan

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@dataclass(frozen=True)
class StudySettings:
    """The settings that decide the result of a study, so that a resume must find them unchanged.

    ``trials`` and ``time_budget`` (seconds) may be raised on resume; they and ``workers`` do not enter
    `fixed`.
    """

    study: str
    task: str
    metric: str
    space: dict[str, Any]
    model: str
    plan: TrainingPlan
    rates: tuple[float, ...]
    seed: int
    trials: int
    fingerprint: str
    confirm_seeds: int = 5
    time_budget: float | None = None
    replicas: int = 3
    data: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.trials < 2:
            raise OptionError(
                f"--trials must be at least 2, one for the plain loss and one for the search, got {self.trials}"
            )
        if self.confirm_seeds < 2:
            raise OptionError(f"--confirm-seeds must be at least 2 to give an interval, got {self.confirm_seeds}")
        if not 0 <= self.seed < 1 << 32:
            raise OptionError(f"--seed must lie in [0, 2^32), got {self.seed}")

    def fixed(self) -> dict[str, Any]:
        """What a resume must find unchanged, as JSON."""
        values = asdict(self)
        for name in ("trials", "time_budget", "data"):
            del values[name]
        values["plan"] = asdict(self.plan) | {"rungs": list(self.plan.rungs)}
        return values | {"rates": list(self.rates)}


def derived_seed(seed: int, *names: object) -> int:
    """A seed for one purpose, from the study's seed and the purpose's name; the same on every platform."""
    digest = hashlib.sha256(repr((seed, *map(str, names))).encode()).digest()
    return int.from_bytes(digest[:4], "big")


def parse_duration(text: str) -> float:
    """Seconds of ``90``, ``90s``, ``10m``, ``1.5h`` or ``1h30m``; raise `OptionError` for anything else."""
    parts = re.findall(r"(\d+(?:\.\d+)?)([smhd]?)", text.strip())
    if not parts or "".join(map("".join, parts)) != text.strip() or (len(parts) > 1 and any(not u for _, u in parts)):
        raise OptionError(f"a duration is a number with s, m, h or d, such as 90s or 1h30m, got {text!r}")
    seconds = sum(float(number) * UNITS[unit or "s"] for number, unit in parts)
    if not (math.isfinite(seconds) and seconds > 0):
        raise OptionError(f"a duration must be above 0, got {text!r}")
    return seconds

"""Who trains: workers and devices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from losssearch.arguments import named_fields
from losssearch.request import kinds
from losssearch.request.groups.panels import WORKERS
from losssearch.request.option import Range, asked


@named_fields
@dataclass(frozen=True)
class Compute:
    """Who trains: workers and devices. See docs/ray.md."""

    workers: int | None = asked(
        None,
        "Ray workers; 0: in this process. Default: all cores, or 0 for a small study.",
        kinds.WHOLE,
        range=Range(0, 4096),
        metavar="N",
        panel=WORKERS,
        local_only=True,
        resumed="may change",
    )
    ray_address: str | None = asked(
        None,
        "A Ray cluster that runs already.",
        kinds.TEXT,
        metavar="ADDRESS",
        panel=WORKERS,
        local_only=True,
        resumed="may change",
    )
    cpus_per_worker: float | None = asked(
        None,
        "Cores that Ray keeps free for each worker.",
        kinds.NUMBER,
        metavar="N",
        panel=WORKERS,
        local_only=True,
        resumed="may change",
    )
    gpus_per_worker: float | None = asked(
        None,
        "GPUs, or a share of one, for each worker.",
        kinds.NUMBER,
        metavar="N",
        panel=WORKERS,
        local_only=True,
        resumed="may change",
    )
    memory_per_worker: str | None = asked(
        None,
        "Memory for each worker, such as 2G.",
        kinds.SIZE,
        metavar="SIZE",
        panel=WORKERS,
        local_only=True,
        resumed="may change",
    )
    resources: Mapping[str, float | str] | None = asked(
        None,
        "The same three as {'num_cpus': …, 'num_gpus': …, 'memory': …}. Default: what a model factory or training "
        "function has as attributes of these names.",
        kinds.RESOURCES,
        panel=WORKERS,
        python_only=True,
        local_only=True,
        resumed="may change",
    )
    device: str = asked(
        "auto",
        "auto, cpu or cuda.",
        kinds.text("'auto', 'cpu' or 'cuda'"),
        metavar="NAME",
        panel=WORKERS,
        local_only=True,
        resumed="may change",
    )

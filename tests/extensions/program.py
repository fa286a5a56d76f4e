"""What the tests of extensions run in processes of their own: ``python program.py COMMAND CASE.json``."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

EVERY = {"trials": 4, "epochs": 1, "draws": 1, "rates": [0.01], "confirm_seeds": 2, "mlflow": False, "seed": 0}


def flags(options: dict[str, Any]) -> list[str]:
    """Options of Python as the command line has them."""
    written: list[str] = []
    for name, value in options.items():
        if value is False:
            written.append(f"--no-{name}")
        else:
            text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
            written += [f"--{name.replace('_', '-')}", text]
    return written


def whole(case: dict[str, Any]) -> None:
    """An undisturbed study, by the Python interface."""
    import losssearch as ls

    asked = {**EVERY, **case["options"], "imports": (case["file"],)}
    ls.search("rows.csv", **asked, workers=0, verbose=0, out="python")


def stopped(case: dict[str, Any]) -> None:
    """The same study by the command line, interrupted after some of its trials."""
    from losssearch import progress
    from losssearch.cli.app import main

    show = progress.progress

    def interrupting(verbose: bool | int) -> Any:
        shown = show(verbose)
        observer = type(shown.__enter__())

        def trials(self: Any, records: Any, best: Any) -> None:
            os.kill(os.getpid(), signal.SIGINT)

        observer.trials = trials
        return shown

    progress.progress = interrupting
    code = main(["search", "rows.csv", *flags({**EVERY, **case["options"]}), "--import", case["file"],
                 "--workers", "0", "--out", "cli", "--quiet"])  # fmt: skip
    sys.exit(0 if code == 130 else f"exit code {code} in place of 130")


def resumed(case: dict[str, Any]) -> None:
    """In a new process: the study resumed by its folder alone, its report and its export."""
    from losssearch.cli.app import main

    for command in (
        ["search", "--resume", "--out", "cli", "--silent"],
        ["report", "cli", "--out", "report.html", "--import", case["file"]],
        ["export", "cli", "--out", "exported", "--import", case["file"]],
        ["export", "cli", "--out", "spec", "--format", "json"],
    ):
        if code := main(command):
            sys.exit(f"exit code {code} of {' '.join(command)}")


def on_ray(cases: list[dict[str, Any]]) -> None:
    """Every case by workers of one cluster, each in a folder of its own."""
    import ray

    import losssearch as ls

    context = ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False)
    try:
        for case in cases:
            os.chdir(Path(case["file"]).parent)
            asked = {**EVERY, **case["options"], "imports": (case["file"],)}
            ls.search("rows.csv", **asked, workers=1, ray_address=context.address_info["address"], verbose=0, out="ray")
    finally:
        ray.shutdown()


if __name__ == "__main__":
    given = json.loads(Path(sys.argv[2]).read_text())
    {"whole": whole, "stopped": stopped, "resumed": resumed, "on_ray": on_ray}[sys.argv[1]](given)

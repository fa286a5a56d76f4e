"""Stops at random: ten studies interrupted, killed and frozen, and each must end as if nothing had happened.

    python -m benchmarks.stops [--quick] [--json FILE] [--stops 100] [--seed 0] [--studies GLOB] [--out DIR]

Every study runs once undisturbed. Then it is begun again and stopped at random moments, with a random kind of stop, and
resumed, until it has had its share. At the end all must be equal: the result but for times and places, every trial,
every tracked run. Exit codes are checked at every stop. ``docs/reliability.md`` tells more.
"""

from __future__ import annotations

import fnmatch
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.machine import describe_machine
from benchmarks.report import keep, make_parser, make_result, parse, print_table
from benchmarks.stops.kinds import KINDS, MOST_KILLS, Kind, Scene, listens
from benchmarks.stops.servers import Postgres, Tracking
from benchmarks.stops.studies import STUDIES, Study, write_tables

LONGEST = 900.0
"""Seconds after which a command that should have ended counts as hung."""

MOST_LACKING = 20
"""Resumes after which MLflow must hold everything."""

APART = ("timing", "mlflow", "export", "study")
"""Entries of `result.json` that are times, places and names."""


@dataclass
class Found:
    """What came of one study."""

    study: str
    seconds: float = 0.0
    stops: Counter[str] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)
    rounds: int = 0
    wrong: list[str] = field(default_factory=list)


class Run:
    """One study, undisturbed and then stopped."""

    def __init__(self, study: Study, folder: Path, tables: Path, servers: tuple[Tracking, Postgres], seed: str) -> None:
        self.study, self.folder, self.tables = study, folder, tables
        self.tracking, self.postgres = servers
        self.draw = random.Random(seed)
        self.found = Found(study.name)
        self._running: subprocess.Popen[str] | None = None

    def go(self, stops: int) -> Found:
        """Run it all."""
        begun = time.monotonic()
        expected = self._end(self._start("undisturbed"), "undisturbed", {0})
        if expected != 0:
            return self.found
        self.found.seconds = time.monotonic() - begun
        while sum(self.found.stops.values()) < stops and not self.found.wrong:
            self.found.rounds += 1
            self._round(f"stopped-{self.found.rounds}", stops)
        return self.found

    def _round(self, name: str, stops: int) -> None:
        """One study from its beginning to its end, stopped until it ends or has had its share."""
        kills = lacking = 0
        while lacking < MOST_LACKING:
            process, code, allowed, last = self._start(name), None, {0}, "no stop"
            while sum(self.found.stops.values()) < stops:
                try:
                    code = process.wait(self.draw.uniform(0.3, 1.0) * self.found.seconds)
                    break
                except subprocess.TimeoutExpired:
                    pass
                kind = self._choose(kills)
                last = kind.name
                self.found.stops[last] += 1
                kills += kind.name == "KILL"
                if kind.ends and not listens(process):  # Python itself still starts
                    allowed |= {-signal.SIGINT, -signal.SIGTERM}
                kind.act(Scene(process, self.draw, self.tracking, self.postgres))
                allowed |= kind.codes
                if kind.ends:
                    break
            code = self._end(process, f"{name} after {last}", allowed)
            if code is None:
                return
            if code == 0:
                if not self._lacks_runs(name):
                    self._compare(name)
                    return
                lacking += 1
        self.found.wrong.append(f"{name}: MLflow lacked runs after {lacking} resumes")

    def _lacks_runs(self, name: str) -> bool:
        """Whether the result says that MLflow holds less than all of it, so that it must be resumed once more."""
        if not self.study.tracking:
            return False
        result = json.loads((self.folder / name / "result.json").read_text(encoding="utf-8"))
        self.found.codes["0, incomplete"] += not result["mlflow"]["complete"]
        return not result["mlflow"]["complete"]

    def _choose(self, kills: int) -> Kind:
        fitting = [kind for kind in KINDS if kind.fits(self.study)]
        return self.draw.choice([kind for kind in fitting if kind.name != "KILL" or kills < MOST_KILLS])

    def _start(self, name: str) -> subprocess.Popen[str]:
        out = self.folder / name
        command = self.study.command(tables=self.tables, out=out, storage=self.postgres.url, tracking=self.tracking.url)
        if self._begun(out):
            command.append("--resume")
        log = (self.folder / f"{name}.log").open("a", encoding="utf-8")
        log.write(f"--- {' '.join(command[1:])}\n")
        log.flush()
        self._running = subprocess.Popen(
            [sys.executable, "-m", "losssearch", *command],
            stdout=log,
            stderr=log,
            text=True,
            start_new_session=True,
            cwd=self.folder,
        )
        return self._running

    def close(self) -> None:
        """End what still runs."""
        if self._running is not None and self._running.poll() is None:
            os.killpg(self._running.pid, signal.SIGKILL)
            self._running.wait()

    def _begun(self, out: Path) -> bool:
        """Whether there is a store, so that the study must be resumed."""
        from losssearch.errors import LossSearchError

        if not self.study.storage:
            return (out / "study.db").exists()
        try:
            return bool(self._trials(out, only_study=True))
        except LossSearchError:
            return False

    def _end(self, process: subprocess.Popen[str], what: str, allowed: set[int]) -> int | None:
        """Wait for the exit code; None where it is none of ``allowed``."""
        try:
            code = process.wait(LONGEST)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            self.found.wrong.append(f"{what}: did not end within {LONGEST:.0f} s")
            return None
        self.found.codes[str(code)] += 1
        if code not in allowed:
            self.found.wrong.append(f"{what}: exit {code}, expected {sorted(allowed)}")
            return None
        return code

    def _trials(self, out: Path, *, only_study: bool = False) -> list[dict[str, Any]]:
        from losssearch.storage.sql import SqlStore

        file = out / "study.db"
        store = SqlStore(self.postgres.url if self.study.storage else f"sqlite:///{file}", create=False)
        try:
            names = [out.name] if self.study.storage else store.studies()
            if only_study:
                return [{} for name in names if name in store.studies()]
            trials = [asdict(trial) for trial in store.trials(names[0])]
        finally:
            store.close()
        for trial in trials:
            for apart in ("seconds", "attempts", "started", "ended"):
                del trial[apart]
        return trials

    def _compare(self, name: str) -> None:
        whole, own = self.folder / "undisturbed", self.folder / name
        results = [json.loads((out / "result.json").read_text(encoding="utf-8")) for out in (whole, own)]
        for key in sorted(set(results[0]) | set(results[1])):
            if key not in APART and results[0].get(key) != results[1].get(key):
                self.found.wrong.append(f"{name}: {key} of result.json differs")
        expected, found = self._trials(whole), self._trials(own)
        if expected != found:
            differ = [a["number"] for a, b in zip(expected, found, strict=False) if a != b]
            self.found.wrong.append(f"{name}: {len(expected)} trials, found {len(found)}; different: {differ}")
        files = [_files(out) for out in (whole, own)]
        if files[0] != files[1]:
            self.found.wrong.append(f"{name}: files differ: {sorted(files[0] ^ files[1])}")
        if self.study.tracking:
            runs = [self._tracked(result["mlflow"]) for result in results]
            if runs[0] != runs[1]:
                self.found.wrong.append(f"{name}: tracked {dict(runs[1])}, expected {dict(runs[0])}")

    def _tracked(self, place: dict[str, Any]) -> Counter[str]:
        """States of the study's runs in MLflow."""
        from mlflow import MlflowClient

        client = MlflowClient(place["tracking_uri"])
        parent = client.get_run(place["run_id"])
        children = client.search_runs(
            [parent.info.experiment_id], f"tags.`mlflow.parentRunId` = '{place['run_id']}'", max_results=1000
        )
        return Counter([f"study {parent.info.status}", *(f"trial {run.info.status}" for run in children)])


def _files(out: Path) -> set[str]:
    """What lies in a study's folder; the artifacts in MLflow's lie under a number of their run."""
    found = {path.relative_to(out).parts for path in out.rglob("*") if path.is_file()}
    found = {parts for parts in found if not parts[-1].endswith(("-shm", "-wal"))}  # SQLite's own, gone at the next use
    return {"/".join((parts[0], *parts[2:]) if parts[0] == "mlartifacts" else parts) for parts in found}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; 0 where everything was as it must be, else 1."""
    parser = make_parser("stops", __doc__)
    parser.add_argument("--stops", type=int, default=100, metavar="N", help="stops in all (default: 100)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of kinds and moments (default: 0)")
    parser.add_argument("--studies", default="*", metavar="GLOB", help="studies by name")
    parser.add_argument("--out", type=Path, metavar="DIR", help="keep the studies there")
    options = parse(parser, arguments)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as shells start what runs in the background
        signal.signal(signal.SIGINT, signal.default_int_handler)
    studies = [study for study in STUDIES if fnmatch.fnmatch(study.name, options.studies)]
    stops = options.stops
    if options.quick:
        studies, stops = studies[:1], 3
    if not studies:
        parser.error(f"--studies {options.studies} fits none of {', '.join(study.name for study in STUDIES)}")
    with tempfile.TemporaryDirectory(prefix="losssearch-stops-") as temporary:
        place = (options.out or Path(temporary)).absolute()
        place.mkdir(parents=True, exist_ok=True)
        found = _run(studies, place, stops, options.seed)
    _show(found)
    machine = describe_machine(torch_threads=1)
    keep(make_result("stops", {"studies": [vars(one) for one in found]}, {}, machine), options.json)
    return int(any(one.wrong for one in found))


def _run(studies: Sequence[Study], place: Path, stops: int, seed: int) -> list[Found]:
    write_tables(place)
    tracking, postgres = Tracking(place / "tracking"), Postgres(Path(tempfile.mkdtemp(prefix="losssearch-postgres-")))
    started: list[Tracking | Postgres] = []
    found = []
    try:
        for wanted, server in (
            (any(study.tracking == "server" for study in studies), tracking),
            (any(study.storage for study in studies), postgres),
        ):
            if wanted:
                server.start()
                started.append(server)
        for number, study in enumerate(studies):
            share = stops * (number + 1) // len(studies) - stops * number // len(studies)
            folder = place / study.name.replace(", ", "-").replace(" ", "-")
            folder.mkdir(exist_ok=True)
            with closing(Run(study, folder, place, (tracking, postgres), f"{seed} {study.name}")) as run:
                found.append(run.go(share))
            print(f"{study.name}: {found[-1].wrong or 'equal'}", file=sys.stderr, flush=True)
    finally:
        for server in started:
            server.stop()
    return found


def _show(found: Sequence[Found]) -> None:
    rows = [
        [
            one.study,
            f"{one.seconds:.0f}",
            str(sum(one.stops.values())),
            ", ".join(f"{count} {name}" for name, count in sorted(one.stops.items())),
            ", ".join(f"{count} x {code}" for code, count in sorted(one.codes.items())),
            str(one.rounds),
            "; ".join(one.wrong) or "equal",
        ]
        for one in found
    ]
    headings = ("study", "alone, s", "stops", "kinds", "exit codes", "rounds", "against undisturbed")
    print_table("studies stopped at random", headings, rows)


if __name__ == "__main__":
    sys.exit(main())

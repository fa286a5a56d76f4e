"""The process of one study: ``python -m services.child``, started by a worker and by nobody else.

It reads its job from standard input, tells what happens in lines of JSON on standard output, explains an error on
standard error, and ends with the exit code that the command line would have. It ends when its worker does.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import traceback
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO

from losssearch import stopping
from losssearch.errors import ConstraintUnmetError, InterruptedStudyError, LossSearchError
from losssearch.option_names import ANY, in_python, spelled_by
from losssearch.redaction import guarded, redact
from services.parent import die_with

NICE = 10
"""How far a study steps back behind the processes that answer people."""


def main() -> int:
    """Run the study of the job on standard input, and return the exit code."""
    token = stopping.StopToken(ends_program=True)
    stopping.listen(token)
    try:
        with stopping.active(token), guarded(), spelled_by(as_users_say):
            code = _main()
    except KeyboardInterrupt:
        code = InterruptedStudyError.exit_code
    token.settle()
    for number in stopping.SIGNALS:
        signal.signal(number, signal.SIG_IGN)  # the interpreter's own end is not broken into
    if stopping.left_behind():
        sys.stderr.flush()
        os._exit(code)
    return code


def _main() -> int:
    job = json.load(sys.stdin)
    die_with(job["parent"])
    limit(job["memory"])
    step_back()
    lines = own_stdout()
    try:
        return _study(job, lines)
    except LossSearchError as error:
        problem, code = str(error), error.exit_code
    except KeyboardInterrupt:
        return InterruptedStudyError.exit_code
    except Exception as error:  # noqa: BLE001  (told to the worker, which must not read a traceback as a crash)
        if stopping.current().requested:  # what a signal broke off may fail in any way
            return InterruptedStudyError.exit_code
        sys.stderr.write(redact(traceback.format_exc()))
        problem, code = redact(f"unexpected {type(error).__name__}: {error}"), LossSearchError.exit_code
    tell(lines, "problem", message=problem)
    sys.stderr.write(f"losssearch: {problem}\n")
    return code


def _study(job: Mapping[str, Any], lines: TextIO) -> int:
    request = request_of(job)  # before torch is loaded: what is refused is refused at once

    from losssearch.api import run
    from losssearch.progress.events import EventLines
    from losssearch.storage.lease import Job

    try:
        # Of one search only the newest attempt counts: it takes the study from one that stands still.
        result = run(request, EventLines(lines), job=Job(job["search"], job["attempt"], tracks_later=True))
    except ConstraintUnmetError as error:
        tell_result(lines, error.result.to_json())
        raise
    tell_result(lines, result.to_json())
    return 0


def as_users_say(name: str, value: Any = ANY) -> str:
    """Spell an option in a message for users of the service, who continue a search by its page or by the API."""
    return "a resume" if name == "resume" else in_python(name, value)


def request_of(job: Mapping[str, Any]) -> Any:
    """The request of a job: what the client asked for, with data, folder, stores and workers of the service."""
    from losssearch.request.remote import remote_request

    tracking = job["tracking_uri"]
    known: dict[str, Any] = {
        "data": job["data"],
        "data_name": job["data_name"],
        "study": job["search"],
        "out": Path(job["out"]),
        "storage": job["storage"],
        "resume": "auto",
        "mlflow": tracking is not None,
        "tracking_uri": tracking,
        "ray_address": job["ray_address"],
        "workers": None if job["ray_address"] else 0,
    }
    if tracking is not None:
        known["experiment"] = job["experiment"]
    return replace(remote_request(job["request"]), **known)


def summary_of(result: Mapping[str, Any]) -> dict[str, Any]:
    """What a list of searches shows of ``result.json``."""
    verdict, best, metric = result["verdict"], result["best"], result["metric"]
    values = {part: (best.get(part) or {}).get("mean") for part in ("validation", "test")}
    return {
        "text": verdict.get("text"),
        "grade": verdict.get("grade"),
        "recommended": verdict.get("recommended"),
        "unmet": verdict.get("unmet"),
        "formula": best.get("formula"),
        "metric": metric["name"] if isinstance(metric, Mapping) else metric,
        **values,
    }


def tell_result(lines: TextIO, result: Mapping[str, Any]) -> None:
    """Write what came of a study that has finished, and whether MLflow was told all of it."""
    tracked = result.get("mlflow") or {}
    problems = [str(problem) for problem in tracked.get("problems") or []]
    tell(lines, "tracked", complete=tracked.get("complete") is True, problem=" ".join(problems)[:2000])
    tell(lines, "summary", summary=summary_of(result))


def tell(lines: TextIO, event: str, **fields: Any) -> None:
    """Write a line for the worker."""
    lines.write(json.dumps({"event": event, **fields}) + "\n")
    lines.flush()


def limit(memory: int | None) -> None:
    """Bound the memory that this process may write to, and let it leave no core."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if memory is not None:
        # Not RLIMIT_AS: libraries reserve address space by the gigabyte, and use little of it.
        resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))


def step_back() -> None:
    """Leave the processor to whoever answers people: the service's other processes on this machine come first."""
    os.nice(NICE)
    if os.getsid(0) == os.getpid():  # else it would concern whoever started this process
        # Where the kernel shares the processor among sessions, niceness counts within one alone.
        with suppress(OSError), open("/proc/self/autogroup", "w", encoding="ascii") as group:
            group.write(str(NICE))


def own_stdout() -> TextIO:
    """Standard output for the worker's lines alone: what libraries print goes to standard error."""
    sys.stdout.flush()
    own = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return own


if __name__ == "__main__":
    sys.exit(main())

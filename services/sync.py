"""The process that tells MLflow what it missed of one search: ``python -m services.sync``, started by a worker alone.

It reads its job from standard input, tells what came of it in a line of JSON on standard output, and ends with the exit
code that `losssearch sync` would have. It ends when its worker does.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from losssearch.errors import InterruptedStudyError, LossSearchError
from losssearch.option_names import spelled_by
from losssearch.redaction import guarded, redact
from services.child import as_users_say, limit, own_stdout, step_back, tell
from services.parent import die_with


def main() -> int:
    """Tell MLflow of the search of the job on standard input, and return the exit code."""
    job = json.load(sys.stdin)
    die_with(job["parent"])
    limit(job["memory"])
    step_back()
    lines = own_stdout()
    try:
        with guarded(), spelled_by(as_users_say):
            tell(lines, "synced", run=_sync(job))
    except LossSearchError as error:
        problem, code = str(error), error.exit_code
    except KeyboardInterrupt:
        return InterruptedStudyError.exit_code
    except Exception as error:  # noqa: BLE001  (whatever MLflow raises: the worker tries again later)
        problem, code = redact(f"unexpected {type(error).__name__}: {error}"), LossSearchError.exit_code
    else:
        return 0
    tell(lines, "problem", message=problem)
    return code


def _sync(job: Mapping[str, Any]) -> str:
    from losssearch.assembly.sync import sync
    from losssearch.storage.lease import Job

    told = sync(
        Path(job["out"]),
        tracking_uri=job["tracking_uri"],
        storage=job["storage"],
        study=job["search"],
        experiment=job["experiment"],
        # The attempt that ended: the search's next one takes the study from here at once.
        job=Job(job["search"], job["attempt"]),
        failed=job["failed"],
    )
    return told.run_id


if __name__ == "__main__":
    sys.exit(main())

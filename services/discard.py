"""``python -m services.discard``: deletes a study's runs in MLflow, whose client a worker does not load itself.

It reads a JSON object from stdin: ``parent``, ``tracking_uri``, ``experiment`` and ``study``. Exit code 0 says that the
runs are deleted, or were not there.
"""

from __future__ import annotations

import json
import sys

from losssearch.errors import LossSearchError
from losssearch.redaction import redact
from services.parent import die_with


def main() -> int:
    """Delete the runs of one study."""
    job = json.load(sys.stdin)
    die_with(job["parent"])
    from losssearch.tracking.mlflow import MlflowTracker

    try:
        MlflowTracker(job["tracking_uri"], job["experiment"]).remove(job["study"])
    except LossSearchError as error:
        sys.stderr.write(f"losssearch: {redact(str(error))}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())

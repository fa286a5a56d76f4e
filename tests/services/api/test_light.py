"""The process of the API stays small: what is heavy runs in processes of its own."""

from __future__ import annotations

import subprocess
import sys


def test_the_api_imports_nothing_heavy() -> None:
    script = (
        "import sys, services.api.app;"
        "print({'torch', 'pandas', 'pyarrow', 'ray', 'mlflow', 'optuna', 'matplotlib'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"

"""A study: menu, proposals, screening, selection, verdict."""

import sys
import warnings
from importlib import import_module

if "ipykernel" in sys.modules:
    # Optuna imports tqdm's bars, which warn in every notebook without ipywidgets; none of them is shown here.
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="IProgress not found")
        import_module("tqdm.auto")
